package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

func testEvents(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	r := volume.Resource{Type: volume.VolumeResource, ID: "v"}
	var want []volume.Event
	for _, what := range []string{"one", "two", "three"} {
		e := volume.Event{Resource: r, OperationID: "o", What: what, Detail: json.RawMessage(`{"n":1}`)}
		write(t, db, fence, func(tx operation.Tx) error { return tx.AppendEvent(&e) })
		if e.ID == 0 || e.CreatedAt.IsZero() {
			t.Errorf("event = %+v", e)
		}
		want = append(want, e)
	}
	bare := volume.Event{Resource: volume.Resource{Type: volume.SnapshotResource, ID: "v"}, What: "other"}
	write(t, db, fence, func(tx operation.Tx) error { return tx.AppendEvent(&bare) })
	got, _, err := db.Events(t.Context(), volume.EventFilter{Type: r.Type, ResourceID: r.ID})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	last, err := db.LastEvents(t.Context(), r, 2)
	if diff := cmp.Diff([]volume.Event{want[2], want[1]}, last); diff != "" || err != nil {
		t.Errorf("the last: %v (-want +got):\n%s", err, diff)
	}
	if got, _, err := db.Events(t.Context(), volume.EventFilter{OperationID: "o", Page: volume.Page{Limit: 2}}); err != nil || len(got) != 2 {
		t.Errorf("of an operation: %v, %v", got, err)
	}
}

// One who asks again and again for what is new misses nothing: an event that
// becomes visible is newer than all that were visible before.
func testEventsInCommitOrder(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	dbs := []*store.DB{db, Reopen(t, url)}
	const writers, times = 16, 20
	wrote := make(chan error, 1)
	go func() {
		wrote <- each(writers, func(i int) error {
			for range times {
				err := dbs[i%2].Write(t.Context(), fence, func(tx operation.Tx) error {
					e := volume.Event{Resource: volume.Resource{Type: volume.VolumeResource, ID: "v"}, What: "x"}
					return tx.AppendEvent(&e)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}()
	marker, seen := "", 0
	for done := false; ; {
		select {
		case err := <-wrote:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		rows, _, err := db.Events(t.Context(), volume.EventFilter{Page: volume.Page{Limit: 1000, Marker: marker}})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > 0 {
			seen += len(rows)
			marker = ids(rows[len(rows)-1:], eventMarker)
		} else if done {
			break
		}
	}
	if seen != writers*times {
		t.Errorf("saw %d events of %d", seen, writers*times)
	}
}

func eventMarker(e volume.Event) string {
	b, _ := json.Marshal(e.ID)
	return string(b)
}

func testPrune(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	var ended []volume.Operation
	running := NewOperation(fence)
	holding := NewOperation(fence)
	write(t, db, fence, func(tx operation.Tx) error {
		for range 230 { // more than two batches
			op := NewOperation(fence)
			v := NewVolume(op.Resource.ID, fence.Host)
			if err := Accept(tx, &op, &v); err != nil {
				return err
			}
			op.Status, v.Status = volume.Succeeded, volume.Available
			if err := Finish(tx, &op, &v, volume.Creating); err != nil {
				return err
			}
			ended = append(ended, op)
		}
		if err := tx.InsertOperation(&running); err != nil {
			return err
		}
		holding.Status = volume.Failed
		if err := tx.InsertOperation(&holding); err != nil {
			return err
		}
		return tx.Claim(holding.ID, holding.Resource, operation.Exclusive)
	})
	if n, err := db.Prune(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("pruned %d young ones, %v", n, err)
	}
	if n, err := db.Prune(t.Context(), time.Now().Add(time.Hour)); n < len(ended) || err != nil {
		t.Errorf("pruned %d, %v; want %d", n, err, len(ended))
	}
	_, err := db.Operation(t.Context(), ended[0].ID)
	wantKind(t, err, fault.NotFound)
	if events, _, err := db.Events(t.Context(), volume.EventFilter{}); len(events) != 1 || err != nil {
		t.Errorf("%d events remain, %v; want the newest, whose id must not come again", len(events), err)
	}
	if _, err := db.Operation(t.Context(), running.ID); err != nil {
		t.Errorf("one that runs is gone: %v", err)
	}
	if _, err := db.Operation(t.Context(), holding.ID); err != nil {
		t.Errorf("one that holds a claim is gone: %v", err)
	}
}
