package limit_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/drivertest"
	"github.com/volumed/volumed/driver/limit"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPassesTheSuite(t *testing.T) {
	drivertest.Run(t, func(*testing.T) driver.Driver {
		return limit.New(mem.New(mem.NewWorld()), limit.Config{Slots: 4}, hclog.NewNullLogger())
	})
}

// held is a limited driver in which the first calls of some methods hang.
type held struct {
	*limit.Driver
	faulty  *drivertest.Faulty
	release []func()
}

func hold(cfg limit.Config) *held {
	f := drivertest.NewFaulty(mem.New(mem.NewWorld()))
	return &held{Driver: limit.New(f, cfg, hclog.NewNullLogger()), faulty: f}
}

// hang starts n calls of the method that hang.
func (h *held) hang(ctx context.Context, method string, n int, start func(ctx context.Context)) {
	for i := range n {
		_, release := h.faulty.Hold(method, i+1)
		h.release = append(h.release, release)
		go start(ctx)
	}
	synctest.Wait()
}

func (h *held) free() {
	for _, release := range h.release {
		release()
	}
	synctest.Wait()
}

func (h *held) create(ctx context.Context) {
	_, _ = h.CreateVolume(ctx, volume.Spec{Ref: volume.Ref{Name: fmt.Sprintf("volume-%p", &ctx)}, Size: 1})
}

func (h *held) flatten(ctx context.Context) { _ = h.FlattenVolume(ctx, volume.Ref{Name: "none"}, nil) }

func TestControlAndStatsKeepTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(limit.Config{Slots: 6, Control: 2, Stats: 1})
		h.hang(t.Context(), "CreateVolume", 10, h.create)
		if got := h.faulty.Calls("CreateVolume"); got != 3 {
			t.Errorf("%d creates at work, want the 3 slots that are not reserved", got)
		}
		_, releaseExtend := h.faulty.Hold("ExtendVolume", 1)
		h.release = append(h.release, releaseExtend)
		go func() { _ = h.ExtendVolume(t.Context(), volume.Ref{Name: "none"}, 2) }()
		synctest.Wait()
		if err := h.DeleteSnapshot(t.Context(), volume.SnapshotRef{Volume: volume.Ref{Name: "none"}, Name: "s"}); err != nil {
			t.Errorf("control call: %v", err)
		}
		if err := h.Ping(t.Context()); err != nil {
			t.Errorf("stats call: %v", err)
		}
		if got := h.Busy(); got != 4 {
			t.Errorf("busy = %d, want 3 creates and an extend", got)
		}
		h.free()
		if got := h.faulty.Calls("CreateVolume"); got != 10 {
			t.Errorf("%d creates ran in the end, want all 10", got)
		}
		if got := h.Busy(); got != 0 {
			t.Errorf("busy = %d in the end", got)
		}
	})
}

func TestBulkLeavesRoomForWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(limit.Config{Slots: 8, Bulk: 2})
		h.hang(t.Context(), "FlattenVolume", 5, h.flatten)
		if got := h.faulty.Calls("FlattenVolume"); got != 2 {
			t.Errorf("%d flattens at work, want 2", got)
		}
		if _, err := h.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1}); err != nil {
			t.Error(err)
		}
		h.free()
	})
}

func TestAbandonedCallKeepsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(limit.Config{Slots: 4})
		_, release := h.faulty.Hold("CreateVolume", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := h.CreateVolume(ctx, volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1})
		if fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("err = %v", err)
		}
		if h.Abandoned() != 1 || h.Busy() != 1 {
			t.Errorf("abandoned %d, busy %d", h.Abandoned(), h.Busy())
		}
		_, err = h.CreateVolume(ctx, volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1})
		if fault.KindOf(err) != fault.Unavailable || h.faulty.Calls("CreateVolume") != 1 {
			t.Errorf("a call with an ended ctx reached the driver: %v", err)
		}
		release()
		synctest.Wait()
		if h.Abandoned() != 0 || h.Busy() != 0 {
			t.Errorf("abandoned %d, busy %d after it returned", h.Abandoned(), h.Busy())
		}
	})
}

func TestWaitingForASlotEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(limit.Config{Slots: 4})
		h.hang(t.Context(), "CreateVolume", 1, h.create) // the one slot that is not reserved
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		go func() {
			_, err := h.DeleteVolume(ctx, volume.Ref{Name: "none"}, 0)
			errs <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-errs; fault.KindOf(err) != fault.Cancelled {
			t.Errorf("err = %v", err)
		}
		if h.faulty.Calls("DeleteVolume") != 0 || h.Abandoned() != 0 {
			t.Error("the call was made")
		}
		h.free()
		if _, err := h.DeleteVolume(t.Context(), volume.Ref{Name: "none"}, 0); err != nil {
			t.Errorf("the slot is lost: %v", err)
		}
	})
}

// A flatten ends by itself after its ctx; its outcome is waited for.
func TestOutcomeOfAnInterruptedFlatten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(limit.Config{})
		_, release := h.faulty.Hold("FlattenVolume", 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		time.AfterFunc(1500*time.Millisecond, release)
		err := h.FlattenVolume(ctx, volume.Ref{Name: "none"}, nil)
		if fault.KindOf(err) != fault.Cancelled || h.Abandoned() != 0 {
			t.Errorf("err = %v, abandoned %d", err, h.Abandoned())
		}
	})
}

// panicker breaks in the middle.
type panicker struct{ driver.Driver }

func (panicker) Ping(context.Context) error { panic("broken") }

func TestPanicIsAnInternalError(t *testing.T) {
	d := limit.New(panicker{mem.New(mem.NewWorld())}, limit.Config{}, hclog.NewNullLogger())
	if err := d.Ping(t.Context()); fault.KindOf(err) != fault.Internal {
		t.Errorf("err = %v", err)
	}
	if d.Busy() != 0 {
		t.Error("the slot is lost")
	}
}

// A defect that every call meets is told of once.
func TestPanicsAreOneTrouble(t *testing.T) {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out, Mutex: &sync.Mutex{}})
	d := limit.New(panicker{mem.New(mem.NewWorld())}, limit.Config{}, log)
	for range 100 {
		_ = d.Ping(t.Context())
	}
	if n := strings.Count(out.String(), "driver panicked"); n != 1 {
		t.Errorf("told %d times", n)
	}
}
