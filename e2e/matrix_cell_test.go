package e2e

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// recoveryLimit is how long after a death the last operation may take to end.
const recoveryLimit = 30 * time.Second

// cell is one death, or two, at one point.
type cell struct {
	*arena
	goal
	method    method
	requestID string
	ask       ask
	answers   chan answer // of the caller who asks until he is answered
}

type answer struct {
	op  volume.Operation
	err error
}

// try kills the service at the point and sees that everything comes to rest as
// promised. It returns how long that took.
func (a *arena) try(t *testing.T, g goal, kill string) time.Duration {
	a.t = t
	c := &cell{arena: a, goal: g, method: methods[g.way.target], requestID: uuid.NewString(), answers: make(chan answer, 1)}
	a.answers(a.backend(0)) // the row of one that was killed when it had done all says ready still
	c.ask = c.method.prepare(a)
	if c.way.spoil != nil {
		c.way.spoil(c)
	}
	a.quiet()
	volumes, snapshots := a.counts()
	action := "worker"
	if kill == killSupervisor {
		action = "parent"
	}
	if c.way.first != "" {
		c.dieFirst(action)
	} else {
		c.dieAtOnce(action)
	}
	died := time.Now()
	switch kill {
	case killSupervisor:
		a.revive()
	case killTwice:
		a.arm(string(g.point), action)
	}
	outcome := c.answered()
	a.within(recoveryLimit, "every operation has ended", a.unfinished)
	took := time.Since(died)
	_ = os.Remove(a.file(string(g.point))) // where the point is not on the way of a recovery
	c.checkAnswer(outcome)
	if outcome.Status == volume.Succeeded {
		volumes, snapshots = volumes+c.method.volumes, snapshots+c.method.snapshots
		if c.method.check != nil {
			c.method.check(c)
		}
	}
	if v, s := a.counts(); v != volumes || s != snapshots {
		t.Errorf("there are %d volumes and %d snapshots, want %d and %d", v, s, volumes, snapshots)
	}
	if outcome.Status == volume.Cancelled && c.method.cancelled != nil {
		c.method.cancelled(c)
	}
	a.checkRest()
	a.checkService()
	if t.Failed() {
		t.Logf("the operation: %+v", outcome)
		t.Logf("by hand: VOLUMED_CRASH_AT=%s volumed --config-file …, and send %s", g.point, g.way.target)
	}
	return took
}

// dieAtOnce sends the request and has the process die on its way.
func (c *cell) dieAtOnce(action string) {
	c.t.Helper()
	if c.way.hold != "" {
		c.arm(c.way.hold, "hold")
	}
	c.arm(string(c.point), action)
	c.send()
	cancelled := make(chan error, 1)
	if c.way.ask {
		go func() { cancelled <- c.cancel() }()
	} else {
		cancelled <- nil
	}
	c.reached(string(c.point))
	if c.way.hold != "" {
		c.disarm(c.way.hold)
	}
	c.t.Cleanup(func() {
		if err := <-cancelled; err != nil {
			c.t.Errorf("cancel: %v", err)
		}
	})
}

// dieFirst has everything die before the point, and the successor at it.
func (c *cell) dieFirst(action string) {
	c.t.Helper()
	c.arm(c.way.first, "parent")
	c.send()
	c.reached(c.way.first)
	<-c.ended
	if c.way.cancel {
		if _, err := c.tables.Exec("UPDATE operations SET cancel_requested = 1 WHERE finished_at IS NULL"); err != nil {
			c.t.Fatal(err)
		}
	}
	if c.way.tamper != nil {
		c.way.tamper(c)
	}
	c.arm(string(c.point), action)
	c.revive()
	c.reached(string(c.point))
}

// send has a caller send the request until it is answered.
func (c *cell) send() {
	o := rpc.CallOptions{RequestID: c.requestID, Wait: 100 * time.Millisecond}
	go func() {
		op, err := c.persist(func() (*volume.Operation, error) { return c.ask(o) })
		c.answers <- answer{op, err}
	}()
}

// persist sends a request until there is an answer that tells of an operation.
func (a *arena) persist(request func() (*volume.Operation, error)) (volume.Operation, error) {
	for {
		op, err := request()
		if with, ok := rpc.OperationOf(err); ok {
			return with, nil
		}
		if err == nil {
			return *op, nil
		}
		if !errors.Is(err, fault.Unavailable) {
			return volume.Operation{}, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-a.group.Context().Done():
			return volume.Operation{}, err
		}
	}
}

// cancel asks for the end of the operation until that is answered.
func (c *cell) cancel() error {
	var id string
	for id == "" {
		err := c.tables.QueryRow(`SELECT its.id FROM operations asked JOIN operations its ON its.resource_id = asked.resource_id
			WHERE asked.request_id = $1 AND its.method = $2 AND its.created_at >= asked.created_at`, c.requestID, c.way.target).Scan(&id)
		select {
		case <-time.After(2 * time.Millisecond):
		case <-c.group.Context().Done():
			return err
		}
	}
	_, err := c.persist(func() (*volume.Operation, error) {
		reply, err := c.client.CancelOperation(c.group.Context(), c.backend(0), rpc.OperationRequest{OperationID: id}, rpc.CallOptions{})
		return &reply.Operation, err
	})
	if errors.Is(err, fault.Conflict) { // it has ended
		return nil
	}
	return err
}

// answered returns the operation that the caller was told of, at its end.
func (c *cell) answered() volume.Operation {
	c.t.Helper()
	select {
	case a := <-c.answers:
		if a.err != nil {
			c.t.Fatalf("the caller was told: %v", a.err)
		}
		c.within(recoveryLimit, "the operation has ended", func() error {
			var status string
			err := c.tables.QueryRow("SELECT status FROM operations WHERE id = $1", a.op.ID).Scan(&status)
			if a.op.Status = volume.OperationStatus(status); err == nil && !a.op.Status.Terminal() {
				err = fmt.Errorf("it is %s", status)
			}
			return err
		})
		return a.op
	case <-time.After(recoveryLimit):
		c.t.Fatalf("no answer in %s", recoveryLimit)
		return volume.Operation{}
	}
}

// checkAnswer sends the request once more: the answer is the same operation, as it
// ended, and only a cancel keeps it from having succeeded.
func (c *cell) checkAnswer(op volume.Operation) {
	c.t.Helper()
	again, err := c.persist(func() (*volume.Operation, error) {
		return c.ask(rpc.CallOptions{RequestID: c.requestID})
	})
	if err != nil || again.ID != op.ID || again.Status != op.Status {
		c.t.Errorf("asked again: operation %s %s, %v; the first answer was %s %s", again.ID, again.Status, err, op.ID, op.Status)
	}
	wantCancelled := c.way.cancel && !c.method.follows
	mayCancel := (c.way.cancel || c.way.ask) && !c.method.follows
	switch {
	case op.Status == volume.Succeeded && !wantCancelled:
	case op.Status == volume.Cancelled && mayCancel:
	default:
		c.t.Errorf("the operation has %s: %+v", op.Status, again.Error)
	}
	if n := c.ints("SELECT count(*) FROM operations WHERE request_id = $1", c.requestID); c.method.first != "" && n[0] != 1 {
		c.t.Errorf("%d operations for one request", n[0])
	}
}

// checkService sees that the service is as if nothing had happened.
func (a *arena) checkService() {
	a.t.Helper()
	a.within(5*time.Second, "the service is ready and no claim is left", func() error {
		n := a.ints(`SELECT (SELECT count(*) FROM services), (SELECT count(*) FROM claims),
			(SELECT count(*) FROM services WHERE phase = 'ready' AND reason = '' AND json_array_length(ceph_addrs) BETWEEN 2
				AND 2 + EXISTS (SELECT 1 FROM operations WHERE method IN ('flatten_volume', 'flatten_in_background')))`)
		if services := int64(len(a.pools)); n[0] != services || n[1] != 0 || n[2] != services {
			return fmt.Errorf("%d services, %d claims, %d ready", n[0], n[1], n[2])
		}
		return nil
	})
}
