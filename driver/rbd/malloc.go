package rbd

// librbd builds a whole Ceph configuration for every image that it creates or
// opens: thousands of small allocations, which jemalloc serves faster than glibc
// (docs/decisions/0016). The flag alone is enough: the linker then takes malloc
// from there, for the whole process.

// #cgo LDFLAGS: -ljemalloc
import "C"
