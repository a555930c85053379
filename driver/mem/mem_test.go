package mem_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/drivertest"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func TestDriver(t *testing.T) {
	for name, format := range map[string]int{"format_1": 1, "format_2": 2} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(*testing.T) driver.Driver {
				w := mem.NewWorld()
				w.SetCloneFormat(format)
				return mem.New(w)
			})
		})
	}
}

func TestBetween(t *testing.T) {
	drivertest.RunBetween(t, func(*testing.T) (from, to driver.Driver) {
		here, there := mem.NewWorld(), mem.NewWorld()
		there.SetPool("other")
		return mem.New(here), mem.New(there)
	})
}

// A second driver on the world finds what the first one left.
func TestWorldOutlivesItsDrivers(t *testing.T) {
	w := mem.NewWorld()
	first := mem.New(w)
	v := volume.Ref{Name: "volume-1"}
	loc, err := first.CreateVolume(t.Context(), volume.Spec{Ref: v, Size: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	v.ImageID = loc.ImageID
	second := mem.New(w)
	if cmp.Equal(first.Addrs(), second.Addrs()) {
		t.Error("two drivers have one address")
	}
	if err := second.ExtendVolume(t.Context(), v, 4); err != nil {
		t.Error(err)
	}
	if got := w.Size(v.Name); got != 4 {
		t.Errorf("size = %d, want 4", got)
	}
	if _, err := second.DeleteVolume(t.Context(), v, time.Hour); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{v.Name}, w.Trash()); diff != "" || len(w.Images()) != 0 {
		t.Errorf("trash %s, images %v", diff, w.Images())
	}
}

func TestDeleteRefusesWatchersAndGroupMembers(t *testing.T) {
	w := mem.NewWorld()
	d := mem.New(w)
	v := volume.Ref{Name: "volume-1"}
	if _, err := d.CreateVolume(t.Context(), volume.Spec{Ref: v, Size: 1}); err != nil {
		t.Fatal(err)
	}
	release, err := w.Watch(v.Name, "10.0.0.1:0/7")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.DeleteVolume(t.Context(), v, 0)
	if diff := cmp.Diff([]string{"10.0.0.1:0/7"}, fault.Of(err).BlockedBy); fault.KindOf(err) != fault.Busy || diff != "" {
		t.Errorf("delete of a watched volume: %v %s", err, diff)
	}
	release()
	if err := w.SetGroup(v.Name, "g"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.DeleteVolume(t.Context(), v, 0); fault.KindOf(err) != fault.Busy {
		t.Errorf("delete of a group member: %v", err)
	}
	if err := w.SetGroup(v.Name, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.DeleteVolume(t.Context(), v, 0); err != nil {
		t.Errorf("delete of a free volume: %v", err)
	}
}

func TestFullAndDown(t *testing.T) {
	w := mem.NewWorld()
	d := mem.New(w)
	v := volume.Ref{Name: "volume-1"}
	if _, err := d.CreateVolume(t.Context(), volume.Spec{Ref: v, Size: 1}); err != nil {
		t.Fatal(err)
	}
	w.SetFull(true)
	if _, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1}); fault.KindOf(err) != fault.Exhausted {
		t.Errorf("create in a full pool: %v", err)
	}
	if _, err := d.DeleteVolume(t.Context(), v, 0); err != nil {
		t.Errorf("delete in a full pool: %v", err)
	}
	w.SetDown("no monitor answers")
	if err := d.Ping(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ping of what is down: %v", err)
	}
	c, err := d.Stats(t.Context())
	if err != nil || c.BackendState != volume.Down || c.Reason != "no monitor answers" {
		t.Errorf("stats of what is down: %+v, %v", c, err)
	}
	w.SetDown("")
	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
