// Package rbd is the driver for Ceph RBD. It is the only package that knows
// librados and librbd.
//
// # Connections
//
// A Driver holds connections to one cluster, shared by all calls. Calls that
// a person waits for (create, delete, snapshot, clone, attach, stats) go over the
// control connection, where every RADOS operation has a timeout: a hung cluster
// makes them Unavailable, never stuck. Calls that take as long as there is data
// (purge, copy, revert) go over the data connection, where no operation times out,
// since one slow object must not fail an hour of work. Flattens that nobody waits for
// have one more of that kind, which is there only while there are any. All use one I/O
// context each, with full-try set before it is shared: writes to a full pool fail
// instead of hanging, and deletes still work.
//
// A call into librbd cannot be interrupted, except flatten, between two objects.
// The methods block; package driver/limit gives each a goroutine and bounds their
// number. Close never shuts a connection down under a call: librados crashes or
// loses the thread then. It waits, and rather leaves the connection to the end of
// the process.
//
// # Recovery
//
// Every method can be repeated after a process died anywhere inside librbd. What
// such a death leaves is not always visible in an open or a list; half.go and
// trash.go say which traces there are and how each is finished:
//
//   - an image whose name is taken but that cannot be opened (half made, or half
//     moved to the trash),
//   - a clone that lacks its parent, or that its parent does not know of,
//   - a trash entry that was never completed, which librbd refuses for ever.
//
// An image is only ever touched when its name and, where the caller knows it,
// its internal id fit.
package rbd
