package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// coded is an error as go-ceph makes them.
type coded syscall.Errno

func (c coded) Error() string  { return syscall.Errno(c).Error() }
func (c coded) ErrorCode() int { return -int(c) }

func TestClassify(t *testing.T) {
	for code, want := range map[syscall.Errno]fault.Kind{
		syscall.ENOENT: fault.NotFound, syscall.EEXIST: fault.Exists, syscall.EBUSY: fault.Busy,
		syscall.ENOTEMPTY: fault.Busy, syscall.EMLINK: fault.Busy, syscall.EINVAL: fault.Invalid,
		syscall.EDOM: fault.Invalid, syscall.EROFS: fault.Conflict, syscall.ENOSPC: fault.Exhausted,
		syscall.EDQUOT: fault.Exhausted, syscall.EPERM: fault.Unavailable, syscall.ETIMEDOUT: fault.Unavailable,
		syscall.ESHUTDOWN: fault.Unavailable, syscall.ECANCELED: fault.Cancelled, syscall.ENOSYS: fault.Unsupported,
		syscall.ERANGE: fault.Internal, syscall.EIO: fault.Internal,
	} {
		err := classify(coded(code), "open image")
		if got := fault.KindOf(err); got != want {
			t.Errorf("%v is %q, want %q", code, got, want)
		}
		if errno(err) != code {
			t.Errorf("%v is lost", code)
		}
	}
	if classify(nil, "x") != nil {
		t.Error("nil became an error")
	}
	if got := fault.KindOf(classify(errors.New("no errno inside"), "set option")); got != fault.Internal {
		t.Errorf("an error without errno is %q", got)
	}
	busy := fault.New(fault.Busy, "watched").WithBlockers("a")
	if e := fault.Of(classify(busy, "delete")); e.Kind != fault.Busy || len(e.BlockedBy) != 1 {
		t.Errorf("a classified error changed: %+v", e)
	}
	if fault.KindOf(classify(rbd.ErrNotFound, "x")) != fault.NotFound {
		t.Error("go-ceph's own error is not recognised")
	}
}

func TestConfig(t *testing.T) {
	tests := map[string]struct {
		cfg   Config
		field string // at fault; empty = none
	}{
		"zero but the pool": {Config{Pool: "p"}, ""},
		"no pool":           {Config{}, "rbd_pool"},
		"chunk not a power": {Config{Pool: "p", ChunkSize: 3}, "rbd_store_chunk_size"},
		"chunk too large":   {Config{Pool: "p", ChunkSize: 64}, "rbd_store_chunk_size"},
		"chunk negative":    {Config{Pool: "p", ChunkSize: -1}, "rbd_store_chunk_size"},
		"largest chunk":     {Config{Pool: "p", ChunkSize: 32}, ""},
		"clone format":      {Config{Pool: "p", CloneFormat: "3"}, "rbd_clone_format"},
		"automatic format":  {Config{Pool: "p", CloneFormat: "auto"}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tc.cfg.withDefaults()
			if tc.field == "" {
				wantKind(t, "", err)
				return
			}
			wantKind(t, fault.Invalid, err)
			if got := fault.Of(err).Field; got != tc.field {
				t.Errorf("field = %q, want %q", got, tc.field)
			}
		})
	}
	cfg, _ := Config{Pool: "p", ConnectTimeout: -1}.withDefaults()
	if cfg.order() != 22 || cfg.ConnectTimeout != 10*time.Second || cfg.CloneFormat != "2" {
		t.Errorf("defaults = %+v, order %d", cfg, cfg.order())
	}
	for mib, order := range map[int]uint64{1: 20, 8: 23, 32: 25} {
		if got := (Config{ChunkSize: mib}).order(); got != order {
			t.Errorf("order of %d MiB = %d, want %d", mib, got, order)
		}
	}
}

func TestDefaultFeatures(t *testing.T) {
	for value, want := range map[string]uint64{
		"61": 61, "0": 1, "": 1, "nonsense": 1,
		"layering,exclusive-lock": 5, "layering, object-map": 9,
	} {
		if got := defaultFeatures(value); got != want {
			t.Errorf("defaultFeatures(%q) = %d, want %d", value, got, want)
		}
	}
}

func TestCloneFormat(t *testing.T) {
	for in, want := range map[[3]string]uint64{
		{"2", "1", "luminous"}: 2, {"1", "2", "quincy"}: 1,
		{"auto", "auto", "luminous"}: 1, {"auto", "auto", "mimic"}: 2, {"auto", "auto", "reef"}: 2,
		{"auto", "auto", ""}: 1, {"auto", "2", "luminous"}: 2, {"auto", "1", "reef"}: 1, {"auto", "", "nautilus"}: 2,
	} {
		if got := cloneFormat(in[0], in[1], func() string { return in[2] }); got != want {
			t.Errorf("cloneFormat(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestMonitorAddresses(t *testing.T) {
	tests := map[string]struct{ dump, hosts, ports string }{
		"both protocols": {`{"mons":[{"public_addrs":{"addrvec":[{"type":"v2","addr":"10.0.0.1:3300"},{"type":"v1","addr":"10.0.0.1:6789"}]}}]}`, "10.0.0.1", "6789"},
		"v2 alone":       {`{"mons":[{"public_addrs":{"addrvec":[{"type":"v2","addr":"10.0.0.1:3300"}]},"addr":"10.0.0.1:0/0"}]}`, "10.0.0.1", "3300"},
		"IPv6":           {`{"mons":[{"public_addrs":{"addrvec":[{"type":"v1","addr":"[fd00::1]:6789"}]}}]}`, "fd00::1", "6789"},
		"old release":    {`{"mons":[{"addr":"10.0.0.1:6789/0"}]}`, "10.0.0.1", "6789"},
		"IPv6, old":      {`{"mons":[{"addr":"[fd00::1]:6789/0"}]}`, "fd00::1", "6789"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var dump monDump
			if err := json.Unmarshal([]byte(tc.dump), &dump); err != nil {
				t.Fatal(err)
			}
			hosts, ports, err := dump.addresses()
			wantKind(t, "", err)
			if diff := cmp.Diff([][]string{{tc.hosts}, {tc.ports}}, [][]string{hosts, ports}); diff != "" {
				t.Error(diff)
			}
		})
	}
	var dump monDump
	if err := json.Unmarshal([]byte(`{"mons":[{"name":"a","addr":"nowhere"}]}`), &dump); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dump.addresses(); err == nil {
		t.Error("a broken address was taken")
	}
}

func TestCapacity(t *testing.T) {
	const g = volume.GiB
	quota := func(u usage, bytes, objects float64) usage {
		u.quota.Bytes, u.quota.Objects = bytes, objects
		return u
	}
	base := usage{cluster: 100 * g, used: 10 * g, available: 80 * g, objects: 50}
	tests := map[string]struct {
		u           usage
		dynamic     bool
		total, free float64
	}{
		"plain":              {base, false, 100, 80},
		"dynamic":            {base, true, 90, 80},
		"quota":              {quota(base, 40*g, 0), false, 40, 30},
		"quota dynamic":      {quota(base, 40*g, 0), true, 40, 30},
		"quota over free":    {quota(base, 200*g, 0), false, 200, 80},
		"quota used up":      {quota(base, 5*g, 0), false, 5, 0},
		"objects used up":    {quota(base, 0, 50), false, 100, 0},
		"objects left":       {quota(base, 0, 51), false, 100, 80},
		"rounded to decimal": {usage{cluster: 1.239 * g, available: 0.004 * g}, false, 1.24, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			total, free := tc.u.capacity(tc.dynamic)
			if total != tc.total || free != tc.free {
				t.Errorf("total, free = %v, %v, want %v, %v", total, free, tc.total, tc.free)
			}
		})
	}
}

func TestTrashEntryOfAnotherForm(t *testing.T) {
	for name, value := range map[string][]byte{
		"empty": {}, "cut": {2, 1, 3, 0, 0, 0, 0, 9, 0, 0, 0}, "from the future": {3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if e, err := parseTrashEntry("1f", value); err == nil {
			t.Errorf("%s: parsed to %+v", name, e)
		}
	}
}

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		unlock, err := l.lock(t.Context(), "a")
		wantKind(t, "", err)
		other, err := l.lock(t.Context(), "b")
		wantKind(t, "", err)
		other()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = l.lock(ctx, "a")
		wantKind(t, fault.Unavailable, err)
		got := make(chan struct{})
		go func() {
			defer close(got)
			if unlock, err := l.lock(t.Context(), "a"); err == nil {
				unlock()
			}
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Error("the lock was given twice")
		default:
		}
		unlock()
		<-got
	})
}

func TestSourcesAreBounded(t *testing.T) {
	var s sources
	for i := range 3 * maxSources {
		s.put(volume.SnapshotRef{Name: string(rune('a' + i))}, source{size: uint64(i)})
	}
	if len(s.known) > maxSources {
		t.Errorf("%d sources are kept", len(s.known))
	}
}

// A driver that could not be closed under a call can be when that has returned.
func TestCloseAgain(t *testing.T) {
	d := &Driver{cfg: Config{ConnectTimeout: time.Millisecond}}
	leave, err := d.enter(t.Context())
	wantKind(t, "", err)
	for range 2 {
		wantKind(t, fault.Unavailable, d.Close())
	}
	leave()
	for range 2 {
		wantKind(t, "", d.Close())
	}
	_, err = d.enter(t.Context())
	wantKind(t, fault.Unavailable, err)
}
