package rbd

import (
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// Whether the pool can hold images is asked once, not with every image; a pool that
// librbd has never looked at is still looked at.
func TestPoolIsTrustedOnceValidated(t *testing.T) {
	env := testenv.Ceph(t)
	cfg, err := config(env, env.NewPool(t)).withDefaults()
	wantKind(t, "", err)
	l, err := dial(cfg, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	trusted := func() bool {
		validate, err := l.conn.GetConfigOption("rbd_validate_pool")
		wantKind(t, "", err)
		return validate == "false"
	}
	wantKind(t, "", l.io.Delete(infoObject))
	if err := l.trustPool(); err == nil || trusted() {
		t.Errorf("a pool that nobody has validated is trusted: %v", err)
	}
	opts := rbd.NewRbdImageOptions()
	defer opts.Destroy()
	wantKind(t, "", rbd.CreateImage(l.io, "first", volume.GiB, opts))
	if err := l.trustPool(); err != nil || !trusted() {
		t.Errorf("a validated pool is not trusted: %v", err)
	}
}
