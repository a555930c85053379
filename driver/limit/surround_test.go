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
