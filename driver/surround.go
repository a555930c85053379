package driver

import "context"

// Extent says what a call of an ability is like.
type Extent int

// Extents of calls.
const (
	Brief   Extent = iota // it is about one volume, as most calls of a Driver
	Listing               // it takes as long as there are volumes, and watches its ctx
	Long                  // it takes as long as there is data, and watches its ctx
)

// Call is a call of an ability.
type Call struct {
	Method string // as in Go
	Object string // what it is about; empty for the backend itself
	Extent Extent
}

// Surrounder is a decorator that does around the methods of abilities what it does
// around those of a Driver.
type Surrounder interface {
	Surround(ctx context.Context, c Call, progress Progress, call func(Progress) error) error
}

// Surround makes a call of an ability of d, one that takes as long as there is data and
// watches its ctx: with everything around it that the decorators of d do around such
// calls. method is its name as in Go, object what it is about.
func Surround(ctx context.Context, d Driver, method, object string, progress Progress, call func(Progress) error) error {
	return surround(ctx, d, Call{method, object, Long}, progress, call)
}

// SurroundBrief is Surround for a call about one volume.
func SurroundBrief(ctx context.Context, d Driver, method, object string, call func() error) error {
	return surround(ctx, d, Call{method, object, Brief}, nil, func(Progress) error { return call() })
}

// SurroundListing is Surround for a call that lists volumes.
func SurroundListing(ctx context.Context, d Driver, method string, call func() error) error {
	return surround(ctx, d, Call{method, "", Listing}, nil, func(Progress) error { return call() })
}

func surround(ctx context.Context, d Driver, c Call, progress Progress, call func(Progress) error) error {
	for d != nil {
		var below Driver
		if u, ok := d.(interface{ Unwrap() Driver }); ok {
			below = u.Unwrap()
		}
		if s, ok := d.(Surrounder); ok {
			return s.Surround(ctx, c, progress, func(p Progress) error { return surround(ctx, below, c, p, call) })
		}
		d = below
	}
	return call(progress)
}
