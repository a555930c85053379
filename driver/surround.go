package driver

import "context"

// Surrounder is a decorator that does around the methods of abilities what it does
// around those of a Driver.
type Surrounder interface {
	Surround(ctx context.Context, method, object string, progress Progress, call func(Progress) error) error
}

// Surround makes a call of an ability of d, one that takes as long as there is data and
// watches its ctx: with everything around it that the decorators of d do around such
// calls. method is its name as in Go, object what it is about.
func Surround(ctx context.Context, d Driver, method, object string, progress Progress, call func(Progress) error) error {
	for d != nil {
		var below Driver
		if u, ok := d.(interface{ Unwrap() Driver }); ok {
			below = u.Unwrap()
		}
		if s, ok := d.(Surrounder); ok {
			return s.Surround(ctx, method, object, progress, func(p Progress) error {
				return Surround(ctx, below, method, object, p, call)
			})
		}
		d = below
	}
	return call(progress)
}
