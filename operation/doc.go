// Package operation is the engine of the service: it turns requests into
// operations, and operations into effects that happen once or not at all.
//
// # The story
//
// A request is not a message here, it is a row. The message only carries it.
//
// Accept is one transaction: the operation is inserted, its target is claimed,
// and the resource it changes moves to its transient status (or its row is
// written, if it is new). Only when that is committed is the request answered;
// from then on it cannot be lost. A second request with the same project and
// request id meets the unique key and gets the operation of the first.
//
// Run is a sequence of named steps, each of which may be repeated: after a
// crash the steps begin again with the first, and a step that was done already
// finds so on the backend. A step holds a slot of its lane while it works, so
// that long work never stands in front of short work; inside a lane projects
// take turns. A step that fails because something does not answer makes the
// operation wait, with a reason and a next try, for as long as it takes: an
// outage is not an outcome. Where steps left something behind that the outcome
// does not want, the method's undo takes it away again.
//
// Finish is one transaction: the resource reaches its status of rest, the
// operation its end, the claims are given back, operations that follow from
// this one are accepted, and the events are appended. What is committed is then
// published.
//
//	    ┌──────────── accept ───────────┐
//	    v                               v
//	 queued ── first slot ─> running   waiting (claims, retry)
//	                        │  ^        ^ │
//	                        │  └────────┼─┘ next try, or woken
//	                        ├───────────┘ something is away
//	    ┌───────────────────┼──────────────────┐
//	    v                   v                  v
//	succeeded            failed            cancelled
//
// # When the answer of a commit is lost
//
// The journal may be told to write, and not answer. An accept is then looked for:
// if it is there, the operation runs, though its caller was told that nobody
// knows. A finish is tried again: its first statement is the update of the
// operation, which finds an end that is written already. Neither is guessed.
//
// # Stop
//
// The engine takes no more requests. What waits, for a slot, a claim or a next
// try, is left as it is; so is a step that can be interrupted; other steps come to
// their end, and no further one is begun. The next process finds it all in the
// journal. A step that is cut off by a kill is no different.
//
// # Claims
//
// A claim keeps two operations from changing one thing. The target of an
// operation is claimed exclusively where nothing else may use it meanwhile (a
// delete), shared where others may (a flatten beside a snapshot); a source is
// claimed shared. An exclusive claim waits for the shared ones that were there
// before it; no new ones come, because accept has moved the resource to a
// transient status in the same transaction. Claims are rows, so they hold
// across processes and end with their operation.
//
// # Epochs
//
// A process that takes a service over gets the next epoch, claims every
// unfinished operation of the service, and runs it from its first step. Each
// write of the engine is made under the epoch of its process: a predecessor
// that still lives changes nothing, and learns so by ErrFenced.
//
// # What the engine does not know
//
// It knows no SQL, no NATS and no Ceph. It is given a Journal, a Publisher and
// methods, and what a method's steps do is theirs.
package operation
