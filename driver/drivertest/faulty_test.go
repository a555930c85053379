package drivertest_test

import (
	"errors"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/drivertest"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// A decorator that is told nothing changes nothing.
func TestFaultyPassesTheSuite(t *testing.T) {
	drivertest.Run(t, func(*testing.T) driver.Driver { return drivertest.NewFaulty(mem.New(mem.NewWorld())) })
}

func TestFaultyFailsBeforeAndAfterTheEffect(t *testing.T) {
	w := mem.NewWorld()
	f := drivertest.NewFaulty(mem.New(w))
	lost := fault.New(fault.Unavailable, "lost")
	f.FailBefore("CreateVolume", 1, lost)
	f.FailAfter("CreateVolume", 2, lost)
	spec := volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1}
	for n, made := range []int{0, 1} {
		if _, err := f.CreateVolume(t.Context(), spec); !errors.Is(err, lost) {
			t.Fatalf("call %d: %v", n+1, err)
		}
		if got := len(w.Images()); got != made {
			t.Fatalf("%d images after call %d, want %d", got, n+1, made)
		}
	}
	spec.Repeat = true
	if _, err := f.CreateVolume(t.Context(), spec); err != nil {
		t.Errorf("third call: %v", err)
	}
	if got := f.Calls("CreateVolume"); got != 3 {
		t.Errorf("%d calls counted", got)
	}
}

func TestFaultyHoldsACall(t *testing.T) {
	w := mem.NewWorld()
	f := drivertest.NewFaulty(mem.New(w))
	reached, release := f.Hold("CreateVolume", 1)
	done := make(chan error)
	go func() {
		_, err := f.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1})
		done <- err
	}()
	<-reached
	if len(w.Images()) != 0 {
		t.Error("the held call had its effect")
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, ok := driver.As[*mem.Driver](f); !ok {
		t.Error("As does not see through the decorator")
	}
}
