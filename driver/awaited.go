package driver

import "context"

// awaitedKey marks the ctx of calls that keep somebody waiting.
type awaitedKey struct{}

// Awaited returns a ctx for a call that somebody waits for, of a method that would
// otherwise stand back for the clients of the backend for as long as they suffer.
func Awaited(ctx context.Context) context.Context {
	return context.WithValue(ctx, awaitedKey{}, true)
}

// IsAwaited reports whether somebody waits for the call that ctx belongs to.
func IsAwaited(ctx context.Context) bool {
	return ctx.Value(awaitedKey{}) != nil
}
