//go:build !crashpoints

package crashpoint

import "context"

// Enabled tells whether this build has crash points.
const Enabled = false

// With returns a context whose points belong to the step of the method.
func With(ctx context.Context, _, _ string) context.Context { return ctx }

// At passes a point.
func At(_, _, _ string) {}

// Hit passes the point of that name in the step that ctx belongs to; there is none
// outside of a step.
func Hit(context.Context, string) {}

// Around calls f, between the points before/call and after/call.
func Around(_ context.Context, _ string, f func() error) error { return f() }

// List returns the names of all points, nil in a build without them.
func List() []string { return nil }
