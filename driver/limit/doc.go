// Package limit bounds the calls that are inside a driver at a time.
//
// A call into C cannot be interrupted, and each one that hangs holds a thread of
// the operating system. So every method runs in a goroutine that holds one of a
// fixed number of slots until it really returns; its caller stops waiting when
// its ctx ends. A call that nobody waits for any more is abandoned: it is counted
// and its slot stays taken. When the abandoned calls take all there is, the
// driver below is stuck, and only a new process helps.
//
// Methods belong to classes: control (attach, snapshots, extend), work (create,
// clone, delete), bulk (flatten, purge) and stats; those of abilities by their extent.
// A ping has a slot of its own beside them. Some slots are
// reserved for control and stats, and bulk has an upper bound, so that no
// amount of long work keeps the short calls out. Within a class, calls that wait
// are admitted in the order they came.
package limit
