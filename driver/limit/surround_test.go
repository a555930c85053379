package limit_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/limit"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/fault"
)

// What abilities do has a slot, is watched, and is left behind like everything else.
func TestAbilitiesAreSurrounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []observe.Call
		watched := observe.New(mem.New(mem.NewWorld()), hclog.NewNullLogger(), func(c observe.Call) { ended = append(ended, c) })
		d := limit.New(watched, limit.Config{Slots: 4, Bulk: 1}, hclog.NewNullLogger())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		release, left := make(chan struct{}), make(chan error, 1)
		go func() {
			left <- driver.Surround(ctx, d, "WriteVolume", "volume-1", nil, func(driver.Progress) error { <-release; return nil })
		}()
		synctest.Wait()
		if d.Busy() != 1 || len(watched.Flights()) != 1 {
			t.Errorf("%d slots are taken, %d calls known", d.Busy(), len(watched.Flights()))
		}
		cancel()
		if err := <-left; fault.KindOf(err) != fault.Cancelled || d.Abandoned() != 1 {
			t.Errorf("%v, %d calls are left behind", err, d.Abandoned())
		}
		close(release)
		synctest.Wait()
		if len(ended) != 1 || ended[0].Method != "WriteVolume" || ended[0].Object != "volume-1" {
			t.Errorf("ended: %+v", ended)
		}
	})
}

// Each extent has its class: what lists does not wait for long work, nor does what is brief.
func TestExtentsHaveTheirClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := limit.New(mem.New(mem.NewWorld()), limit.Config{Slots: 3, Control: 1, Stats: 1, Bulk: 1}, hclog.NewNullLogger())
		release, ended := make(chan struct{}), make(chan string, 3)
		go func() {
			_ = driver.Surround(t.Context(), d, "WriteVolume", "volume-1", nil, func(driver.Progress) error { <-release; return nil })
			ended <- "long"
		}()
		synctest.Wait()
		go func() {
			_ = driver.SurroundBrief(t.Context(), d, "ConfigureVolume", "volume-1", func() error { return nil })
			ended <- "brief"
		}()
		synctest.Wait()
		if err := driver.SurroundListing(t.Context(), d, "Images", func() error { return nil }); err != nil || len(ended) != 0 {
			t.Errorf("%v, and %d others have ended: the one slot that is not reserved was taken", err, len(ended))
		}
		close(release)
		synctest.Wait()
		if len(ended) != 2 {
			t.Errorf("%d calls have ended", len(ended))
		}
	})
}
