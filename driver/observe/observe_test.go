package observe_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/drivertest"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/logs/logtest"
	"github.com/volumed/volumed/internal/virtual"
	"github.com/volumed/volumed/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPassesTheSuite(t *testing.T) {
	drivertest.Run(t, func(*testing.T) driver.Driver {
		return observe.New(mem.New(mem.NewWorld()), hclog.NewNullLogger(), nil)
	})
}

func TestEveryCallIsHandedOver(t *testing.T) {
	var got []observe.Call
	f := drivertest.NewFaulty(mem.New(mem.NewWorld()))
	f.FailAfter("ExtendVolume", 1, fault.New(fault.Unavailable, "lost"))
	d := observe.New(f, hclog.NewNullLogger(), func(c observe.Call) { got = append(got, c) })
	ctx, v := t.Context(), volume.Ref{Name: "volume-1"}
	s := volume.SnapshotRef{Volume: v, Name: "s"}
	_, _ = d.CreateVolume(ctx, volume.Spec{Ref: v, Size: 1})
	_ = d.CreateSnapshot(ctx, s)
	_, _ = d.CreateVolumeFromSnapshot(ctx, volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1}, s)
	_ = d.ExtendVolume(ctx, v, 2)
	_, _ = d.InitializeConnection(ctx, v, "", nil)
	_ = d.TerminateConnection(ctx, v, nil)
	_ = d.FlattenVolume(ctx, volume.Ref{Name: "volume-2"}, nil)
	_ = d.DeleteSnapshot(ctx, s)
	_, _ = d.DeleteVolume(ctx, v, 0)
	_ = d.PurgeVolume(ctx, v, nil)
	_, _ = d.Stats(ctx)
	_ = d.Ping(ctx)
	want := []observe.Call{
		{Method: "CreateVolume", Object: "volume-1"},
		{Method: "CreateSnapshot", Object: "volume-1@s"},
		{Method: "CreateVolumeFromSnapshot", Object: "volume-2"},
		{Method: "ExtendVolume", Object: "volume-1", Kind: fault.Unavailable},
		{Method: "InitializeConnection", Object: "volume-1"},
		{Method: "TerminateConnection", Object: "volume-1"},
		{Method: "FlattenVolume", Object: "volume-2"},
		{Method: "DeleteSnapshot", Object: "volume-1@s"},
		{Method: "DeleteVolume", Object: "volume-1"},
		{Method: "PurgeVolume", Object: "volume-1", Kind: fault.Invalid},
		{Method: "Stats"},
		{Method: "Ping"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(observe.Call{}, "Took")); diff != "" {
		t.Error(diff)
	}
}

func TestSlowCallIsNamedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFaulty(mem.New(mem.NewWorld()))
		reached, release := f.Hold("CreateVolume", 1)
		var out bytes.Buffer
		var took time.Duration
		log := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: &out, Mutex: &sync.Mutex{}})
		d := observe.New(f, log, func(c observe.Call) { took = c.Took })
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = d.CreateVolume(context.Background(), volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1})
		}()
		<-reached
		virtual.Pass(3 * time.Second)
		if text := out.String(); strings.Count(text, "slow") != 1 || !strings.Contains(text, "volume-1") {
			t.Errorf("logged %q", text)
		}
		release()
		<-done
		if took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A thousand calls that hang together are told of like one, and at the end how many
// they were.
func TestManySlowCallsAreOneTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: &out, Mutex: &sync.Mutex{}})
		below := hanging{mem.New(mem.NewWorld()), make(chan struct{})}
		d := observe.New(below, log, nil)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { _ = d.Ping(context.Background()) })
		}
		virtual.Pass(30 * time.Second)
		if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "driver call is slow: method=Ping") {
			t.Errorf("%d lines:\n%.500s", strings.Count(text, "\n"), text)
		}
		close(below.released)
		all.Wait()
		if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "no driver call is slow any more: times=1000 lasted=29s") {
			t.Errorf("%d lines:\n%.500s", strings.Count(text, "\n"), text)
		}
	})
}

// A call that hangs for ever does not hide the next one that is slow.
func TestSlowBesideOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logtest.Buffer
		below := hanging{mem.New(mem.NewWorld()), make(chan struct{})}
		d := observe.New(below, hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: &out}), nil)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _ = d.Ping(context.Background()) })
			virtual.Pass(time.Minute)
		}
		if n := out.Count("driver call is slow"); n != 3 {
			t.Errorf("%d of 3 are told:\n%s", n, &out)
		}
		close(below.released)
		all.Wait()
	})
}

// A snapshot waits for a commit of the monitors: it is slow later than other calls.
func TestSnapshotsTakeLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFaulty(mem.New(mem.NewWorld()))
		reached, release := f.Hold("CreateSnapshot", 1)
		var out logtest.Buffer
		d := observe.New(f, hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: &out}), nil)
		var call sync.WaitGroup
		call.Go(func() { _ = d.CreateSnapshot(context.Background(), volume.SnapshotRef{Name: "s"}) })
		<-reached
		virtual.Pass(4 * time.Second)
		if out.String() != "" {
			t.Errorf("after 4 s: %s", &out)
		}
		virtual.Pass(time.Second)
		if out.Count("driver call is slow: method=CreateSnapshot") != 1 {
			t.Errorf("after 5 s: %s", &out)
		}
		release()
		call.Wait()
	})
}

// hanging is a driver whose pings do not return until they are released.
type hanging struct {
	driver.Driver
	released chan struct{}
}

func (h hanging) Ping(context.Context) error {
	<-h.released
	return nil
}

// A call is known as long as it is in the driver below, with its last sign of life.
func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := drivertest.NewFaulty(copying{mem.New(mem.NewWorld())})
		reached, release := f.Hold("CreateVolume", 1)
		d := observe.New(f, hclog.NewNullLogger(), nil)
		begun := time.Now()
		done := make(chan struct{}, 2)
		go func() {
			_, _ = d.CreateVolume(context.Background(), volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1})
			done <- struct{}{}
		}()
		<-reached
		if diff := cmp.Diff([]driver.Flight{{Method: "CreateVolume", Object: "volume-1", Begun: begun, Sign: begun}}, d.Flights()); diff != "" {
			t.Error(diff)
		}
		release()
		<-done
		go func() {
			_ = d.FlattenVolume(context.Background(), volume.Ref{Name: "volume-2"}, nil)
			done <- struct{}{}
		}()
		<-time.After(2 * copyTime)
		synctest.Wait()
		want := []driver.Flight{{Method: "FlattenVolume", Object: "volume-2", Begun: begun, Sign: begun.Add(copyTime)}}
		if diff := cmp.Diff(want, d.Flights()); diff != "" {
			t.Error(diff)
		}
		<-done
		if left := d.Flights(); len(left) > 0 {
			t.Errorf("%+v are left", left)
		}
	})
}

const copyTime = time.Second

// copying tells that it is half done when a third of its time is over.
type copying struct{ driver.Driver }

func (copying) FlattenVolume(_ context.Context, _ volume.Ref, p driver.Progress) error {
	<-time.After(copyTime)
	p(50)
	<-time.After(2 * copyTime)
	return nil
}
