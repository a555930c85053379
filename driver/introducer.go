package driver

import "context"

// Introducer is a backend that gets further addresses while it works.
type Introducer interface {
	// Introduce has note called whenever Addrs has got another address, before that
	// is used for anything; where note fails it is not used, and what wanted to fails
	// likewise. It is called once, before anything else is.
	Introduce(note func(context.Context) error)
}
