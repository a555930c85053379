package rbd

import (
	"errors"
	"syscall"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
)

// meanings says, for every errno that librados and librbd return, what it means
// where nothing more is known. What an operation knows better it says itself.
var meanings = map[syscall.Errno]struct {
	kind          fault.Kind
	message, hint string
}{
	syscall.ENOENT:       {fault.NotFound, "it does not exist", ""},
	syscall.EEXIST:       {fault.Exists, "it exists already", ""},
	syscall.EBUSY:        {fault.Busy, "it is in use", "a client that died holds it for up to 30 s"},
	syscall.ENOTEMPTY:    {fault.Busy, "it has snapshots or clones", "delete or flatten what depends on it"},
	syscall.EMLINK:       {fault.Busy, "it is a member of a group", "take it out of the group first"},
	syscall.EINVAL:       {fault.Invalid, "librbd refuses it as invalid", ""},
	syscall.EDOM:         {fault.Invalid, "an image option is out of range", ""},
	syscall.EFBIG:        {fault.Invalid, "it is larger than an image can be", ""},
	syscall.ENAMETOOLONG: {fault.Invalid, "the name is too long", ""},
	syscall.EROFS:        {fault.Conflict, "the image is read-only: not the primary of its mirror, or being migrated", ""},
	syscall.ENOSPC:       {fault.Exhausted, "the cluster or the pool is full", "add space, raise the quota, or delete volumes"},
	syscall.EDQUOT:       {fault.Exhausted, "the pool is at its quota", "raise the quota or delete volumes"},
	syscall.EPERM:        {fault.Unavailable, "the cluster does not permit it to this user", "check the capabilities: ceph auth get client.<rbd_user>"},
	syscall.EACCES:       {fault.Unavailable, "the cluster does not permit it to this user", "check the capabilities: ceph auth get client.<rbd_user>"},
	syscall.ETIMEDOUT:    {fault.Unavailable, "the cluster did not answer in time; it may still be done", "check: ceph -s"},
	syscall.ESHUTDOWN:    {fault.Unavailable, "the cluster has blocklisted this client", "the worker replaces itself; who did it, and why: ceph osd blocklist ls"},
	syscall.ENOTCONN:     {fault.Unavailable, "there is no connection to the cluster", "check: ceph -s"},
	syscall.EAGAIN:       {fault.Unavailable, "the cluster asks to try again", ""},
	syscall.ECANCELED:    {fault.Cancelled, "it was interrupted", ""},
	syscall.ENOSYS:       {fault.Unsupported, "the installed librbd cannot do it", ""},
	syscall.EOPNOTSUPP:   {fault.Unsupported, "the cluster or the image does not support it", ""},
}

// errno returns the errno inside an error of go-ceph, 0 when there is none.
func errno(err error) syscall.Errno {
	var coded interface{ ErrorCode() int }
	if errors.As(err, &coded) {
		return syscall.Errno(-coded.ErrorCode())
	}
	return 0
}

// classify gives an error of go-ceph its kind, with the formatted operation in
// front. nil stays nil; an error that has a kind already is only prefixed.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	var known fault.Kind
	if errors.As(err, &known) {
		fault.Wrap(&err, "%s", doing)
		return err
	}
	m, ok := meanings[errno(err)]
	if !ok {
		return fault.New(fault.Internal, "%s: %w", doing, err)
	}
	if errno(err) == syscall.ESHUTDOWN {
		err = shutOut{err}
	}
	return fault.New(m.kind, "%s: %s (%w)", doing, m.message, err).WithHint("%s", m.hint)
}

// shutOut is the error of librados for a client that is blocklisted. Its entry
// expires, but what the client had open is lost all the same.
type shutOut struct{ error }

func (e shutOut) Unwrap() []error { return []error{driver.ErrShutOut, e.error} }
