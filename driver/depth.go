package driver

import "github.com/volumed/volumed/fault"

// ErrTooDeep is in the chain of the error for a clone that would depend on more images,
// one above the other, than it may. A flatten of its source shortens the chain.
var ErrTooDeep = fault.New(fault.Conflict, "the clone would depend on too many images, one above the other")
