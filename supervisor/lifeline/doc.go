// Package lifeline is the contract between a parent that starts processes and
// the child it starts, both ends of it.
//
// Child to parent: the sd_notify protocol, datagrams of KEY=VALUE lines to the
// socket named by NOTIFY_SOCKET, so that one and the same child is right under
// our supervisor, directly under systemd, and in the foreground under nobody:
//
//	READY=1                the child serves, or will once its backend is back
//	STOPPING=1             the child drains
//	STATUS=text            one line for people
//	WATCHDOG=1             a beat: the child's inner loops make progress
//	EXTEND_TIMEOUT_USEC=n  start-up takes this much longer
//	X_VOLUMED_STATE=s      init, warm, ready, degraded or draining
//	X_VOLUMED_REASON=text  why; always sent together with a state
//
// Parent to child: signals (TERM drains, QUIT dumps all stacks), one pipe, the
// lifeline, and descriptors named by number in the environment. A byte on the
// pipe is a [Word], such as the one that gives the backend to the child: nobody
// serves it any more. Its end of file is the death of the parent. The configuration that the parent validated comes as a sealed
// memfd, so that a child started later cannot read a half-edited file.
//
// # Use
//
// A child takes over what its parent left it first thing in main, says what it
// is doing, and begins to work only once the backend is its own:
//
//	parent, err := lifeline.FromEnv()
//	...
//	defer parent.Close()
//	parent.State(lifeline.Init, "connects to Ceph")
//	...
//	if parent.Replaces() > 0 {
//		parent.State(lifeline.Warm, "")
//	}
//	if err := parent.Go(ctx); err != nil { ... }
//	work()
//	parent.Ready()
//	select {
//	case <-terminate:
//	case <-parent.Died():
//	}
//	parent.Stopping()
//	drain()
//
// # Decisions
//
// The parent binds one datagram socket per child, as a path in a directory that
// only it may enter, and believes only datagrams whose kernel-attested
// credentials carry the pid of that child. An abstract socket would need no
// clean-up, but every local user could fill its queue of eleven datagrams, and
// a child whose beats find no room is killed as hung.
//
// A child sends from a goroutine of its own. What waits to be sent is one
// message per sender, into which newer values are merged: a parent that does
// not read costs the child nothing, and what gets lost is only what a newer
// value has replaced.
//
// A parent that is gone is known in three ways: the end of file of the lifeline
// ends [Parent.Died] and arms a timer that ends the process after the orphan
// grace, whatever its other goroutines do; PDEATHSIG delivers SIGTERM as a
// second wake-up; and the next parent finds the lock of the backend still held
// (see [Lock]).
package lifeline
