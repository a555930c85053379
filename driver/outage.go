package driver

import (
	"time"

	"github.com/volumed/volumed/fault"
)

// ErrShutOut is in the chain of an error of a backend that has shut this client
// out for good: no call of this process will succeed, a fresh process may.
var ErrShutOut = fault.New(fault.Unavailable, "the backend has shut this client out")

// Flight is one call that is in a driver.
type Flight struct {
	Method string    `json:"method"` // as in Go: CreateVolume
	Object string    `json:"object"` // what it is about
	Begun  time.Time `json:"begun"`
	// Sign is its last sign of life: its begin, or its last report of progress.
	Sign time.Time `json:"sign"`
}

// Tracker is a driver that knows which calls are in it, also those that nobody
// waits for any more.
type Tracker interface {
	// Flights returns the calls that have not returned, in no order.
	Flights() []Flight
}
