package rbd

// #include <stdint.h>
import "C"

import (
	"runtime/cgo"

	"github.com/ceph/go-ceph/rbd"
)

// volumedProgress is what librbd calls, from threads of its own.
//
//export volumedProgress
func volumedProgress(offset, total C.uint64_t, handle C.uintptr_t) C.int {
	step := cgo.Handle(handle).Value().(rbd.FlattenCallback)
	return C.int(step(uint64(offset), uint64(total), nil))
}
