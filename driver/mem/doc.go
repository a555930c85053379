// Package mem is a complete driver in memory. It keeps volumes, snapshots,
// clones and a trash, refuses what the rbd driver refuses, and passes the same
// suite; volumes hold no data.
//
// What the driver stores lies in a World. It outlives the drivers on it, as a
// cluster outlives the processes that use it: a worker that is started again on
// the same World finds its volumes. The World also does what others do to a
// cluster: open an image, fill the pool, be away.
//
//	world := mem.NewWorld()
//	d := mem.New(world)
//
// It is meant for tests that inject faults; that something works is shown on
// real Ceph only.
package mem
