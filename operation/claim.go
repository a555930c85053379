package operation

import (
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// awaitClaim waits until the exclusive claim of the target is effective.
func (t *Task) awaitClaim() error {
	if t.target != Exclusive || (!t.recovered && len(t.holders) == 0) {
		return nil
	}
	defer t.engine.watch(t, nil)
	var retry backoffTimer
	// The holders only become fewer, so an end between the reading and the
	// waiting is not missed: it is watched for since before the reading.
	t.engine.watch(t, t.holders)
	for {
		holders, err := t.readHolders()
		if err != nil || len(holders) == 0 {
			return err
		}
		t.begun = false // no process has come further than this
		t.engine.giveWay(holders)
		if err := t.pause(t.until(nil), &retry, held(t.op.Resource, holders)); err != nil {
			return err
		}
	}
}

// giveWay has those of the operations cancelled that are background work.
func (e *Engine) giveWay(holders []string) {
	for _, id := range holders {
		if t := e.task(id); t != nil && t.behind && !t.Operation().CancelRequested {
			e.running.Go(func() {
				if _, err := e.Cancel(e.ctx, id); err != nil && fault.KindOf(err) != fault.Conflict {
					t.log.Warn("background work does not give way", "error", err)
				}
			})
		}
	}
}

// readHolders asks the journal whom the claim still waits for.
func (t *Task) readHolders() (holders []string, err error) {
	e := t.engine
	err = e.persist(e.ctx, func() error {
		return e.write(e.ctx, func(tx Tx) (err error) {
			holders, err = tx.Holders(t.op.ID, t.op.Resource)
			return err
		})
	})
	if e.ctx.Err() != nil {
		return nil, errLeft
	}
	return holders, err
}

// held is the reason of an operation whose target others still use.
func held(r volume.Resource, holders []string) *fault.Error {
	return fault.New(fault.Busy, "%s is used by %d other operations: %s", r, len(holders), strings.Join(holders, ", ")).
		WithBlockers(holders...)
}

// watch has the task woken when something that the blockers name comes to an
// end; without blockers, it has it left alone. It reports whether the blockers
// are others than before.
func (e *Engine) watch(t *Task, blockers []string) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed = strings.Join(e.blocked[t], "\n") != strings.Join(blockers, "\n")
	if len(blockers) > 0 {
		e.blocked[t] = blockers
	} else {
		delete(e.blocked, t)
	}
	return changed
}

// wake makes those tasks try again now that wait for what op has changed.
func (e *Engine) wake(op volume.Operation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for t, blockers := range e.blocked {
		names := strings.Join(blockers, "\n")
		if strings.Contains(names, op.ID) || strings.Contains(names, op.Resource.ID) {
			select {
			case t.woken <- struct{}{}:
			default:
			}
		}
	}
}
