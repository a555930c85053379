package worker_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// pictures is a web server with raw images, all of which hold the same.
type pictures struct {
	*httptest.Server
	mu     sync.Mutex
	data   []byte
	tag    string
	wholes int                        // requests for a whole image
	before func(r *http.Request) bool // an answer, unless it gives one itself
}

func newPictures(t *testing.T) *pictures {
	p := &pictures{data: bytes.Repeat([]byte("volume"), 1<<12), tag: `"1"`}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *pictures) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	before := p.before
	p.mu.Unlock()
	if before != nil && !before(r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	p.mu.Lock()
	data := p.data
	w.Header().Set("ETag", p.tag)
	if whole(r) {
		p.wholes++
	}
	p.mu.Unlock()
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// whole reports whether the request is for all of an image, not just about it.
func whole(r *http.Request) bool { return r.Header.Get("Range") == "" }

// caches returns a worker of the site, not running yet, with a cache for images of this machine.
func (s *site) caches() *process {
	p := s.bare()
	p.cfg.ImageCache.Enabled = true
	p.cfg.Images.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	p.cfg.Images.Spool = s.TempDir()
	return p
}

// of is a request for a volume of an image.
func of(url string, size int64) rpc.CreateVolumeRequest {
	return rpc.CreateVolumeRequest{Size: size, Image: &rpc.ImageSource{URL: url}}
}

// entries are the volumes of the cache of the site's service.
func (s *site) entries() []volume.CacheVolume {
	s.Helper()
	return must[[]volume.CacheVolume](s)(s.db.CacheVolumes(s.Context(), s.host))
}

// Services that share a database bring the same image each into its own cache: what one
// has begun keeps no other from doing so, whatever becomes of it.
func TestCachesAreApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	one := s.caches().start()
	reached, release := one.faulty.Hold("CreateVolume", 1)
	defer release()
	url := web.URL + "/image"
	answered := make(chan error, 1)
	first := s.host
	go func() {
		_, err := s.CreateVolume(s.Context(), first, of(url, 1), wait())
		answered <- err
	}()
	receive(t, "the first transfer", reached)

	s.host, s.world = "node2@mem0", mem.NewWorld()
	s.caches().start()
	s.create(of(url, 1))
	if got := s.entries(); len(got) != 1 || got[0].UsedAt.IsZero() {
		t.Errorf("in the cache: %+v", got)
	}
	release()
	if err := receive(t, "the first volume", answered); err != nil {
		t.Error(err)
	}
}

// waiting are the creates of the site's service that wait for an image.
func (s *site) waiting() (ops []volume.Operation) {
	s.Helper()
	for _, op := range s.operations(volume.OperationFilter{Unfinished: true}) {
		if op.Method == "create_volume_from_cached_image" && op.Status == volume.Waiting {
			ops = append(ops, op)
		}
	}
	return ops
}

// transfers are the operations that bring images into the cache, newest first.
func (s *site) transfers() []volume.Operation {
	s.Helper()
	return s.operations(volume.OperationFilter{Method: "cache_image"})
}

// hold makes the server keep those waiting whose requests are of the kind, tells of each,
// and answers them after release.
func (p *pictures) hold(kind func(*http.Request) bool) (asked <-chan string, release func()) {
	reached, released := make(chan string, 100), make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = func(r *http.Request) bool {
		if kind(r) {
			reached <- r.URL.Path
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}
		return true
	}
	return reached, sync.OnceFunc(func() { close(released) })
}

// The one who waits for an image is told how it gets on, of an operation that is not his;
// his deadline counts as long as nothing was made.
func TestWaitForAnImage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	p := s.caches().start()
	reached, release := p.faulty.Hold("CreateVolume", 1)
	defer release()
	first := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, of(web.URL+"/image", 5), rpc.CallOptions{}))
	receive(t, "the transfer", reached)
	s.until("it waits", func() bool { return len(s.waiting()) == 1 })
	s.until("the transfer is known to run", func() bool { return s.transfers()[0].Status == volume.Running })
	fetch := s.transfers()[0]
	why := s.whyOf(first.Volume.ID, rpc.VerdictWaiting)
	_ = wantCause(t, why, "brought into the cache", "operation "+fetch.ID+" (cache_image, running")
	if got := s.entries(); len(got) != 1 || got[0].Size != 1 {
		t.Errorf("measured: %+v", got)
	}

	late := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, of(web.URL+"/image", 1), rpc.CallOptions{Deadline: time.Now().Add(3 * time.Second)}))
	end := s.wants(late.Operation.ID, volume.Cancelled)
	if end.Error == nil || end.Error.Field != "deadline" {
		t.Errorf("past its deadline: %+v", end.Error)
	}
	if s.record(late.Volume.ID).Status != volume.Deleted {
		t.Errorf("it is %s", s.record(late.Volume.ID).Status)
	}
	release()
	s.wants(first.Operation.ID, volume.Succeeded)
}

// An image of which nothing is known but that it is wanted takes no room: neither in the
// figures nor from others.
func TestRoomForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	p := s.caches()
	p.cfg.ImageCache.MaxGB, p.cfg.ImageCache.MaxCount = 10, 3
	p.start()
	s.create(of(web.URL+"/old", 1))
	asked, release := web.hold(func(r *http.Request) bool { return whole(r) && r.URL.Path != "/new" })
	defer release()
	for _, name := range []string{"/a", "/b"} {
		_ = must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, of(web.URL+name, 9), rpc.CallOptions{}))
		receive(t, "a transfer", asked)
	}
	allocated := must[int64](t)(s.db.AllocatedGB(t.Context(), s.host))
	if want := int64(1 + 1 + 9 + 9); allocated != want { // a volume and its entry, two volumes
		t.Errorf("%d GiB are taken, want %d", allocated, want)
	}
	s.create(of(web.URL+"/new", 1))
	s.until("the figures", func() bool { return p.worker.Vitals().ImageCache.Misses == 4 })
	if n := p.worker.Vitals().ImageCache.Evictions; n != 0 {
		t.Errorf("%d had to leave", n)
	}
}

// An image that is changed after it was asked for is not fetched as what it was, and those
// who want it find out what it is now.
func TestImageChangesBeforeItComes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	p := s.caches()
	p.start()
	var asked atomic.Int64
	web.mu.Lock()
	web.before = func(r *http.Request) bool {
		if !whole(r) && asked.Add(1) == 1 {
			return true
		}
		web.mu.Lock()
		defer web.mu.Unlock()
		web.tag = `"2"`
		return true
	}
	web.mu.Unlock()
	s.create(of(web.URL+"/image", 1))
	fetched := s.transfers()
	if len(fetched) != 2 || fetched[0].Status != volume.Succeeded || fetched[1].Error == nil || fetched[1].Error.Kind != fault.Conflict {
		for _, op := range fetched {
			t.Errorf("transfer: %s, %+v", op.Status, op.Error)
		}
	}
	s.until("the entry of what it was is gone", func() bool { return len(s.entries()) == 1 })
	if n := asked.Load(); n != 2 {
		t.Errorf("%d questions", n)
	}
	s.create(of(web.URL+"/image", 1))
	if n := len(s.transfers()); n != 2 {
		t.Errorf("%d transfers", n)
	}
}

// A transfer that is begun again has the bound that it had at first: a file may be larger
// than the disk in it, for which the volume is made.
func TestTransferKeepsItsBound(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	name := filepath.Join(t.TempDir(), "image")
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "create", "-q", "-f", "qcow2", name, "1M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Truncate(name, volume.GiB+96<<20); err != nil {
		t.Fatal(err)
	}
	p := s.caches()
	p.cfg.Images.Directories = []string{filepath.Dir(name)}
	p.start()
	p.faulty.FailBefore("CreateVolume", 1, fault.New(fault.Unavailable, "away"))
	_, err := s.CreateVolume(t.Context(), s.host, of("file://"+name, 3), rpc.CallOptions{Wait: 2 * patience})
	_ = wantKind(t, err, fault.Unsupported, "") // by a driver in memory, when the image is there
	if end := s.transfers()[0]; end.Error == nil || end.Error.Kind != fault.Unsupported || p.faulty.Calls("CreateVolume") < 2 {
		t.Errorf("%+v", end.Error)
	}
}

// noting is a database that counts the writes of whoever waits.
type noting struct {
	worker.Store
	writes atomic.Int64
}

func (n *noting) Write(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	n.writes.Add(1)
	return n.Store.Write(ctx, fence, change)
}

// Who waits for an image leaves the database alone, and is woken when it is there.
func TestWaitersAreQuiet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	p := s.caches()
	db := &noting{}
	open := p.deps.OpenStore
	p.deps.OpenStore = func(ctx context.Context) (_ worker.Store, err error) {
		db.Store, err = open(ctx)
		return db, err
	}
	p.start()
	reached, release := p.faulty.Hold("CreateVolume", 1)
	defer release()
	var ids []string
	for range 5 {
		r := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, of(web.URL+"/image", 1), rpc.CallOptions{}))
		ids = append(ids, r.Operation.ID)
	}
	receive(t, "the transfer", reached)
	fetch := func() string { return s.transfers()[0].ID }
	s.until("all wait for it, and have looked again", func() bool {
		ops := s.waiting()
		return len(ops) == 5 && !slices.ContainsFunc(ops, func(op volume.Operation) bool {
			return op.Attempt < 2 || !slices.Equal(op.BlockedBy, []string{fetch()})
		})
	})
	for _, op := range s.waiting() {
		if wait := time.Until(op.NextTry); wait < 25*time.Second {
			t.Errorf("it looks again in %v", wait)
		}
	}
	before := time.Now()
	release()
	for _, id := range ids {
		s.wants(id, volume.Succeeded)
	}
	if took := time.Since(before); took > 20*time.Second {
		t.Errorf("nobody woke them: %v", took)
	}
	if n := len(s.transfers()); n != 1 {
		t.Errorf("%d transfers", n)
	}
}

// Of all who want to know whether an image has changed, a few ask at once.
func TestServersAreAskedByAFew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	s.caches().start()
	asked, release := web.hold(func(r *http.Request) bool { return !whole(r) })
	defer release()
	var ops []volume.Operation
	for range 12 {
		r := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, of(web.URL+"/image", 1), rpc.CallOptions{}))
		ops = append(ops, *r.Operation)
	}
	for range 8 {
		receive(t, "a question", asked)
	}
	s.until("all have begun", func() bool {
		return !slices.ContainsFunc(s.operations(volume.OperationFilter{Unfinished: true}), func(op volume.Operation) bool { return op.Step != "lookup" })
	})
	if n := len(asked); n != 0 {
		t.Errorf("%d more at once", n)
	}
	release()
	for _, op := range ops {
		s.wants(op.ID, volume.Succeeded)
	}
}

// expeller is a driver whose fence ends the clients' sessions.
type expeller struct {
	driver.Driver
	mu     sync.Mutex
	shut   []string
	leaves func()
}

func (d *expeller) Unwrap() driver.Driver { return d.Driver }
func (d *expeller) Addrs() []string       { return []string{"10.0.0.1:0/100"} }
func (d *expeller) Fence(_ context.Context, addrs []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = append(d.shut, addrs...)
	d.leaves()
	return nil
}

// What a process that was killed has left at work in a volume, a qemu-img that no row
// knows, is shut out before its volume is begun again.
func TestLeftInACachedVolume(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	p := s.caches()
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return p.faulty, nil }
	p.cfg.Live.DrainTimeout = 200 * time.Millisecond
	p.start()
	reached, release := p.faulty.Hold("CreateSnapshot", 1) // the image is there
	defer release()
	first := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, of(web.URL+"/image", 1), rpc.CallOptions{}))
	receive(t, "the image", reached)
	name := image(volume.Volume{ID: s.entries()[0].ID})
	p.fuse.arm(0)
	_ = p.fuse.moment("now")
	leaves := must[func()](t)(s.world.Watch(name, "10.0.0.1:0/77"))
	_ = p.end()
	release()

	next := s.caches()
	d := &expeller{Driver: next.faulty, leaves: leaves}
	next.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return d, nil }
	next.start()
	s.wants(first.Operation.ID, volume.Succeeded)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.shut, []string{"10.0.0.1:0/77"}) {
		t.Errorf("shut out: %v", d.shut)
	}
}

// Another image is refused before it is fetched: what is wrong with it is found by those
// who want it.
func TestImageChangesFormatBeforeItComes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	s.caches().start()
	web.mu.Lock()
	web.before = func(r *http.Request) bool {
		if whole(r) {
			web.mu.Lock()
			defer web.mu.Unlock()
			web.tag, web.data = `"2"`, append([]byte("QFI\xfb"), web.data[4:]...)
		}
		return true
	}
	web.mu.Unlock()
	_, err := s.CreateVolume(t.Context(), s.host, of(web.URL+"/image", 1), wait())
	if kind := fault.KindOf(err); kind == fault.Conflict || kind == "" {
		t.Errorf("%v", err)
	}
	fetched := s.transfers()
	if len(fetched) != 2 || fetched[1].Error == nil || fetched[1].Error.Kind != fault.Conflict {
		t.Errorf("%d transfers", len(fetched))
	}
}

// overlooking is a database in which something happens after each look at what is in the cache.
type overlooking struct {
	worker.Store
	then func([]volume.CacheVolume)
}

func (o overlooking) CacheVolumes(ctx context.Context, host string) ([]volume.CacheVolume, error) {
	list, err := o.Store.CacheVolumes(ctx, host)
	o.then(list)
	return list, err
}

// What leaves the cache already makes room: nothing else has to leave for it.
func TestRoomOfWhatLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := newPictures(t)
	p := s.caches()
	p.cfg.ImageCache.MaxCount = 2
	open := p.deps.OpenStore
	p.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
		db, err := open(ctx)
		return overlooking{db, func(list []volume.CacheVolume) {
			if len(list) == 3 { // the one that is coming, and two that were used
				if _, err := s.operator().DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: list[1].ID}, wait()); err != nil {
					t.Error(err)
				}
			}
		}}, err
	}
	p.start()
	for _, name := range []string{"/a", "/b", "/c"} {
		s.create(of(web.URL+name, 1))
	}
	if n := p.worker.Vitals().ImageCache.Evictions; n != 0 || len(s.entries()) != 2 {
		t.Errorf("%d had to leave, and %+v are left", n, s.entries())
	}
}
