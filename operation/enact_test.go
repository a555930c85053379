package operation

import (
	"errors"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// naming is an enactment that makes a row of the name, once.
func naming(id, name string) Enactment {
	return Enactment{
		Request:  Request{RequestID: id, Method: "create_volume_type", Args: args{VolumeID: name}},
		Resource: volume.TypeResource,
		Change: func(tx Tx, op *volume.Operation) (any, error) {
			op.Resource.ID = name
			return map[string]string{"name": name}, tx.InsertVolume(&volume.Volume{ID: name, Status: volume.Available})
		},
	}
}

// What any service may write is written once, whichever of them is asked again.
func TestEnact(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		e := w.process()
		op, err := e.Enact(t.Context(), naming("r", "a"))
		if err != nil || op.Status != volume.Succeeded || string(op.Result) != `{"name":"a"}` || op.FinishedAt.IsZero() {
			t.Fatalf("%+v: %v", op, err)
		}
		if w.tables().volumes["a"].ID == "" || len(w.heard.of(op.ID)) != 1 {
			t.Errorf("the row or the publication is missing: %+v", w.heard.ops)
		}
		other := New(Config{
			Fence: w.journal.takeOver("node2@rbd0"), Journal: w.journal, Publisher: w.heard, Lanes: w.lanes, Log: e.cfg.Log,
		})
		if _, err := other.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		other.Start()
		w.engines = append(w.engines, other)
		again, err := other.Enact(t.Context(), naming("r", "a"))
		if err != nil || again.ID != op.ID || string(again.Result) != string(op.Result) {
			t.Errorf("another service made %+v of the same request: %v", again, err)
		}
		if _, err := other.Enact(t.Context(), naming("r", "b")); fault.KindOf(err) != fault.Conflict {
			t.Errorf("another request under the same id: %v", err)
		}
		if _, err := e.Enact(t.Context(), naming("s", "a")); fault.KindOf(err) != fault.Exists {
			t.Errorf("a refusal: %v", err)
		}
		late := naming("t", "c")
		late.Deadline = time.Now().Add(-time.Second)
		if _, err := e.Enact(t.Context(), late); fault.KindOf(err) != fault.Invalid {
			t.Errorf("after its deadline: %v", err)
		}
		if n := len(w.tables().ops); n != 1 {
			t.Errorf("%d operations", n)
		}
	})
}

// An answer that got lost is found by the repetition.
func TestEnactUnanswered(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		e := w.process()
		w.strike(1, mishap{after: errAway})
		if _, err := e.Enact(t.Context(), naming("r", "a")); !errors.Is(err, fault.Unavailable) {
			t.Fatalf("error = %v", err)
		}
		if op, err := e.Enact(t.Context(), naming("r", "a")); err != nil || op.Status != volume.Succeeded {
			t.Errorf("%+v: %v", op, err)
		}
	})
}
