// Package supervisor starts the processes of the service, one per backend, and
// keeps them running. It opens no database, no bus and no storage: it has
// nothing to lose and can always start a child again.
//
// First come the one-shot children (the database migration) and, beside them,
// the bus; once these have succeeded and are ready, all backends start
// concurrently. Each goes through these states, and one never waits for another:
//
//	            .--------- blocked (a stranger holds the lock; again after 1 s)
//	            v
//	starting -> init -> ready <-> degraded -> draining -> stopped | exited
//	   ^          |       |           |           |
//	   '- backoff <-------+-----------+-----------'   died without being asked
//	              |
//	              '-> failed                          78, 64 or 77: only a person can help
//
// A backend whose options changed has a second process beside the first for a while,
// which is init, then warm, and takes its place when that has ended (replace.go).
// What a new configuration means for each is decided in apply.go.
//
// One goroutine, the loop of [Supervisor.Run], owns all of this. Everything that
// happens reaches it as an event (a message or the end of a child, a signal, one
// timer set to the next deadline), and after each event it does what is due. It
// never sleeps and nothing is polled, so an idle parent wakes up only for the
// beats of its children. What decides is in pure functions: policy.go says when
// a child starts again, verdict.go what an exit code means.
//
// Children are started by one goroutine locked to a thread that lives as long as
// any of them, because PDEATHSIG fires when that thread ends. They are signalled
// and waited for through pidfds, which package os uses wherever the kernel has
// them (Linux 5.4), so that a reused pid is never hit.
//
// A second supervisor on the same state path is refused by a lock taken before
// anything starts. The lock of a backend is taken before its first start and
// inherited by its children: no backend ever runs twice on a machine, even if a
// supervisor was killed and its children live on.
package supervisor
