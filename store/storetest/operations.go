package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

func testSameRequest(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	first := NewOperation(fence)
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&first) })
	again := NewOperation(fence)
	again.RequestID = first.RequestID
	writeKind(t, db, fence, fault.Exists, func(tx operation.Tx) error { return tx.InsertOperation(&again) })
	write(t, db, fence, func(tx operation.Tx) error {
		found, err := tx.OperationByRequest(first.ProjectID, first.RequestID)
		if found.ID != first.ID {
			t.Errorf("found %s, want %s", found.ID, first.ID)
		}
		return err
	})
	again.ProjectID = "another"
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&again) })
}

// The newest operation at work on a resource is found by its method.
func testOperationOn(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	on := func(r volume.Resource, method string) (found volume.Operation, err error) {
		err = db.Write(t.Context(), fence, func(tx operation.Tx) error {
			found, err = tx.OperationOn(r, method)
			return err
		})
		return found, err
	}
	first := NewOperation(fence)
	_, err := on(first.Resource, first.Method)
	wantKind(t, err, fault.NotFound)
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&first) })
	second := NewOperation(fence)
	second.Resource, second.Method = first.Resource, first.Method
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&second) })
	if found, err := on(first.Resource, first.Method); err != nil || found.ID != second.ID {
		t.Errorf("found %s, %v; want the newer %s", found.ID, err, second.ID)
	}
	_, err = on(first.Resource, "another")
	wantKind(t, err, fault.NotFound)
	_, err = on(volume.Resource{Type: "another", ID: first.Resource.ID}, first.Method)
	wantKind(t, err, fault.NotFound)
	for _, op := range []volume.Operation{first, second} {
		op.Status = volume.Succeeded
		write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateOperation(&op) })
	}
	_, err = on(first.Resource, first.Method)
	wantKind(t, err, fault.NotFound)
}

// Of many that bring the same request at once, through two processes, one is
// accepted and the others are told of it.
func testSameRequestAtOnce(t *testing.T, url string) {
	db := Open(t, url)
	fences := []operation.Fence{TakeOver(t, db, "node@rbd0"), TakeOver(t, db, "node@rbd1")}
	dbs := []*store.DB{db, Reopen(t, url)}
	for round := range 10 {
		request, accepted := uuid.NewString(), make([]string, 16)
		err := each(len(accepted), func(i int) error {
			fence := fences[i%2]
			op := NewOperation(fence)
			op.RequestID = request
			return dbs[i%2].Write(t.Context(), fence, func(tx operation.Tx) error {
				found, err := tx.OperationByRequest(op.ProjectID, request)
				if err == nil {
					accepted[i] = found.ID
					return nil
				}
				if !errors.Is(err, fault.NotFound) {
					return err
				}
				accepted[i] = op.ID
				return tx.InsertOperation(&op)
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range accepted {
			if id != accepted[0] {
				t.Fatalf("round %d: accepted as %v", round, accepted)
			}
		}
	}
}

func testUpdateOperation(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	op := NewOperation(fence)
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&op) })

	cancelled := op
	cancelled.CancelRequested = true
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateOperation(&cancelled) })
	op.Status = volume.Running
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateOperation(&op) })
	if !op.CancelRequested {
		t.Error("a request to cancel was forgotten")
	}

	foreign := op
	foreign.Epoch++
	writeKind(t, db, fence, fault.Conflict, func(tx operation.Tx) error { return tx.UpdateOperation(&foreign) })
	other := TakeOver(t, db, "node@rbd1")
	writeKind(t, db, other, fault.Conflict, func(tx operation.Tx) error { return tx.UpdateOperation(&op) })
	none := NewOperation(fence)
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { return tx.UpdateOperation(&none) })

	op.Status = volume.Succeeded
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateOperation(&op) })
	if op.FinishedAt.IsZero() {
		t.Error("an operation that has ended has no finished_at")
	}
	op.Status = volume.Running
	writeKind(t, db, fence, fault.Conflict, func(tx operation.Tx) error { return tx.UpdateOperation(&op) })
	if got, err := db.Operation(t.Context(), op.ID); err != nil || got.Status != volume.Succeeded {
		t.Errorf("operation = %+v, %v", got, err)
	}
}

func testClaims(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	ops := make([]volume.Operation, 4)
	for i := range ops {
		ops[i] = NewOperation(fence)
		write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&ops[i]) })
	}
	a, b, c, d := ops[0].ID, ops[1].ID, ops[2].ID, ops[3].ID
	r := ops[0].Resource
	claim := func(id string, mode operation.ClaimMode) error {
		return db.Write(t.Context(), fence, func(tx operation.Tx) error { return tx.Claim(id, r, mode) })
	}
	holders := func(id string) (held []string) {
		write(t, db, fence, func(tx operation.Tx) (err error) { held, err = tx.Holders(id, r); return err })
		return held
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	busy := func(err error, by string) {
		t.Helper()
		wantKind(t, err, fault.Busy)
		if diff := cmp.Diff([]string{by}, fault.Of(err).BlockedBy); diff != "" {
			t.Errorf("blocked by (-want +got):\n%s", diff)
		}
	}

	ok(claim(a, operation.Shared))
	ok(claim(b, operation.Shared))
	ok(claim(b, operation.Shared)) // again
	ok(claim(c, operation.Exclusive))
	if diff := cmp.Diff([]string{a, b}, holders(c)); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	busy(claim(d, operation.Exclusive), c)
	busy(claim(d, operation.Shared), c)
	busy(claim(a, operation.Exclusive), c)
	ok(claim(c, operation.Exclusive)) // again
	ok(claim(c, operation.Shared))    // keeps the stronger
	busy(claim(d, operation.Shared), c)

	release := func(id string) {
		write(t, db, fence, func(tx operation.Tx) error { return tx.Release(id) })
	}
	release(a)
	release(b)
	if held := holders(c); len(held) != 0 {
		t.Errorf("holders after their release = %v", held)
	}
	release(c)
	release(c)
	ok(claim(d, operation.Shared))
	ok(claim(d, operation.Exclusive)) // an upgrade
	busy(claim(a, operation.Shared), d)

	elsewhere := volume.Resource{Type: volume.SnapshotResource, ID: r.ID}
	write(t, db, fence, func(tx operation.Tx) error { return tx.Claim(a, elsewhere, operation.Exclusive) })
}

// Whatever meets on one resource, there is at most one exclusive claim, and it
// sees every shared one.
func testClaimsMeet(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	dbs := []*store.DB{db, Reopen(t, url)}
	for range 10 {
		r := volume.Resource{Type: volume.VolumeResource, ID: uuid.NewString()}
		var granted [12]bool
		var ids [12]string
		err := each(len(granted), func(i int) error {
			op := NewOperation(fence)
			ids[i] = op.ID
			mode := operation.Shared
			if i%3 == 0 {
				mode = operation.Exclusive
			}
			err := dbs[i%2].Write(t.Context(), fence, func(tx operation.Tx) error {
				if err := tx.InsertOperation(&op); err != nil {
					return err
				}
				return tx.Claim(op.ID, r, mode)
			})
			granted[i] = err == nil
			if errors.Is(err, fault.Busy) {
				err = nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		exclusive, shared, owner := 0, 0, ""
		for i, ok := range granted {
			switch {
			case ok && i%3 == 0:
				exclusive, owner = exclusive+1, ids[i]
			case ok:
				shared++
			}
		}
		if exclusive != 1 {
			t.Fatalf("%d exclusive claims", exclusive)
		}
		write(t, db, fence, func(tx operation.Tx) error {
			held, err := tx.Holders(owner, r)
			if len(held) != shared {
				t.Errorf("%d holders, %d were granted", len(held), shared)
			}
			return err
		})
	}
}

func testClaimUnfinished(t *testing.T, url string) {
	db := Open(t, url)
	old := TakeOver(t, db, "node@rbd0")
	other := TakeOver(t, db, "node@rbd1")
	statuses := []volume.OperationStatus{volume.Queued, volume.Running, volume.Waiting, volume.Succeeded, volume.Failed, volume.Cancelled}
	var want []string
	for _, status := range statuses {
		op := NewOperation(old)
		op.Status = status
		write(t, db, old, func(tx operation.Tx) error { return tx.InsertOperation(&op) })
		if !status.Terminal() {
			want = append(want, op.ID)
		}
	}
	foreign := NewOperation(other)
	write(t, db, other, func(tx operation.Tx) error { return tx.InsertOperation(&foreign) })

	fence := TakeOver(t, db, "node@rbd0")
	claimed, err := db.Claim(t.Context(), fence)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, op := range claimed {
		got = append(got, op.ID)
		if op.Epoch != fence.Epoch || op.Attempt != 2 {
			t.Errorf("claimed %s with epoch %d, attempt %d", op.Status, op.Epoch, op.Attempt)
		}
		if now, err := db.Operation(t.Context(), op.ID); err != nil || !cmp.Equal(now, op) {
			t.Errorf("the row differs from what was claimed: %v %s", err, cmp.Diff(now, op))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claimed, oldest first (-want +got):\n%s", diff)
	}
	if op, err := db.Operation(t.Context(), foreign.ID); err != nil || op.Attempt != 1 {
		t.Errorf("another service's operation is now %+v, %v", op, err)
	}
	if _, err := db.Claim(t.Context(), old); !errors.Is(err, operation.ErrFenced) {
		t.Errorf("claim of the old process: %v", err)
	}
}

// A process whose service was taken over changes nothing, whichever way it writes.
func testFencing(t *testing.T, url string) {
	db := Open(t, url)
	old := TakeOver(t, db, "node@rbd0")
	op := NewOperation(old)
	v := NewVolume(op.Resource.ID, old.Host)
	write(t, db, old, func(tx operation.Tx) error { return Accept(tx, &op, &v) })

	second := Reopen(t, url)
	fence := TakeOver(t, second, "node@rbd0")
	if fence.Epoch != old.Epoch+1 {
		t.Errorf("epoch %d follows %d", fence.Epoch, old.Epoch)
	}
	ran := false
	v.Status = volume.Available
	err := db.Write(t.Context(), old, func(tx operation.Tx) error {
		ran = true
		return tx.UpdateVolume(&v, volume.Creating)
	})
	if !errors.Is(err, operation.ErrFenced) || ran {
		t.Errorf("write of the old process: %v, change ran: %v", err, ran)
	}
	if err := db.Heartbeat(t.Context(), old, volume.Ready, "", nil); !errors.Is(err, operation.ErrFenced) {
		t.Errorf("heartbeat of the old process: %v", err)
	}
	if got, err := db.Volume(t.Context(), v.ID); err != nil || got.Status != volume.Creating {
		t.Errorf("volume = %+v, %v", got, err)
	}
	nobody := operation.Fence{Host: "nobody@rbd0", Epoch: 1}
	if err := db.Write(t.Context(), nobody, func(operation.Tx) error { return nil }); !errors.Is(err, operation.ErrFenced) {
		t.Errorf("write for a service that is not there: %v", err)
	}
}

// A change that fails is undone alone, whatever was committed together with it.
func testFailingChanges(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	ids := make([]string, 200)
	err := each(len(ids), func(i int) error {
		v := NewVolume(uuid.NewString(), fence.Host)
		ids[i] = v.ID
		err := db.Write(t.Context(), fence, func(tx operation.Tx) error {
			if err := tx.InsertVolume(&v); err != nil {
				return err
			}
			if i%3 == 0 {
				return errRefused
			}
			return nil
		})
		if i%3 == 0 && err == errRefused { //nolint:errorlint // it must come back as it is
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		_, err := db.Volume(t.Context(), id)
		if want := i%3 != 0; (err == nil) != want {
			t.Errorf("change %d: there is a row: %v, want %v", i, err == nil, want)
		}
	}
}

func testNoLostUpdate(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	dbs := []*store.DB{db, Reopen(t, url)}
	v := NewVolume(uuid.NewString(), fence.Host)
	v.Size = 0
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertVolume(&v) })
	const writers, times = 32, 10
	err := each(writers, func(i int) error {
		for range times {
			err := dbs[i%2].Write(t.Context(), fence, func(tx operation.Tx) error {
				now, err := tx.Volume(v.ID)
				if err != nil {
					return err
				}
				now.Size++
				return tx.UpdateVolume(&now, now.Status)
			})
			if err != nil {
				return fmt.Errorf("writer %d: %w", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := db.Volume(t.Context(), v.ID); err != nil || got.Size != writers*times {
		t.Errorf("size = %d, %v, want %d", got.Size, err, writers*times)
	}
}
