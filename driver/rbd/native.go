package rbd

// What is here calls librbd itself: go-ceph, as of 0.41, has no rollback that tells its
// progress, nothing about flags and object maps, and its images do not show their handles.

/*
#cgo LDFLAGS: -lrbd -lrados
#include <errno.h>
#include <stdlib.h>
#include <rbd/librbd.h>

extern int volumedProgress(uint64_t offset, uint64_t total, uintptr_t handle);

static int volumed_progress(uint64_t offset, uint64_t total, void *arg) {
	return volumedProgress(offset, total, (uintptr_t)arg);
}

static int volumed_rollback(rados_ioctx_t io, const char *id, const char *snapshot, uintptr_t arg) {
	rbd_image_t image;
	int closed, r = rbd_open_by_id(io, id, &image, NULL);
	if (r < 0)
		return r;
	r = rbd_snap_rollback_with_progress(image, snapshot, volumed_progress, (void *)arg);
	closed = rbd_close(image);
	return r < 0 ? r : closed;
}

static int volumed_rebuild_map(rados_ioctx_t io, const char *id, const char *snapshot, uintptr_t arg) {
	const uint64_t invalid = RBD_FLAG_OBJECT_MAP_INVALID | RBD_FLAG_FAST_DIFF_INVALID;
	rbd_image_t image;
	uint64_t flags = 0;
	int closed, r = rbd_open_by_id(io, id, &image, NULL);
	if (r < 0)
		return r;
	if (*snapshot)
		r = rbd_snap_set(image, snapshot);
	if (r >= 0)
		r = rbd_get_flags(image, &flags);
	if (r >= 0 && (flags & invalid))
		r = rbd_rebuild_object_map(image, volumed_progress, (void *)arg);
	closed = rbd_close(image);
	return r < 0 ? r : closed;
}
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"

	"github.com/ceph/go-ceph/rbd"
)

// rollback rolls the image with the id back to a snapshot.
func (l *link) rollback(id, snapshot string, step rbd.FlattenCallback) error {
	image, name := C.CString(id), C.CString(snapshot)
	defer C.free(unsafe.Pointer(image))
	defer C.free(unsafe.Pointer(name))
	arg := cgo.NewHandle(step)
	defer arg.Delete()
	return nativeError(C.volumed_rollback(C.rados_ioctx_t(l.io.Pointer()), image, name, C.uintptr_t(arg)))
}

// rebuildMap rebuilds the object map of the image with the id, or of a snapshot of it
// unless the name is empty, if it is invalid.
func (l *link) rebuildMap(id, snapshot string, step rbd.FlattenCallback) error {
	image, name := C.CString(id), C.CString(snapshot)
	defer C.free(unsafe.Pointer(image))
	defer C.free(unsafe.Pointer(name))
	arg := cgo.NewHandle(step)
	defer arg.Delete()
	return nativeError(C.volumed_rebuild_map(C.rados_ioctx_t(l.io.Pointer()), image, name, C.uintptr_t(arg)))
}

// native is an error of librbd, in the form of those of go-ceph.
type native int

// nativeError returns the error of a call that has returned code; nil for none.
func nativeError(code C.int) error {
	if code >= 0 {
		return nil
	}
	return native(code)
}

// ErrorCode returns the negative errno.
func (e native) ErrorCode() int { return int(e) }

func (e native) Error() string { return fmt.Sprintf("librbd: ret=%d", int(e)) }
