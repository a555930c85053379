package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// gallery is a web server with images that change.
type gallery struct {
	*httptest.Server
	mu       sync.Mutex
	data     map[string][]byte // by path
	version  int               // of all of them
	bytes    int               // sent
	wholes   int               // requests for a whole image
	denied   string            // a signature that is not taken any more
	hold     chan struct{}     // whole images are sent when it is closed
	reported chan struct{}     // told of each request for a whole image, if there is room
}

func newGallery(t *testing.T) *gallery {
	g := &gallery{data: map[string][]byte{}, reported: make(chan struct{}, 100)}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	data, hold, whole := g.data[r.URL.Path], g.hold, r.Header.Get("Range") == ""
	denied := g.denied != "" && r.URL.Query().Get("X-Amz-Signature") == g.denied
	if whole {
		g.wholes++
	}
	w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, g.version))
	g.mu.Unlock()
	if data == nil {
		http.NotFound(w, r)
		return
	}
	if denied {
		http.Error(w, "expired", http.StatusForbidden)
		return
	}
	if whole {
		g.reported <- struct{}{}
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	}
	http.ServeContent(&counted{w, g}, r, "", time.Time{}, bytes.NewReader(data))
}

type counted struct {
	http.ResponseWriter
	g *gallery
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.g.mu.Lock()
	c.g.bytes += n
	c.g.mu.Unlock()
	return n, err
}

// put makes the server serve the file under the path, as a new version.
func (g *gallery) put(t *testing.T, path, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.data[path] = data
	g.version++
}

// sent returns what was sent since the last time.
func (g *gallery) sent() (sent, wholes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sent, wholes = g.bytes, g.wholes
	g.bytes, g.wholes = 0, 0
	return sent, wholes
}

// cacheOn are the options of a backend with a cache.
const cacheOn = "image_volume_cache_enabled = true\n"

// caching is a service with a cache, and a server with one image in it.
type caching struct {
	*imaging
	web *gallery
	raw string // the image
}

func newCaching(t *testing.T, lines string) *caching {
	t.Helper()
	dir := t.TempDir()
	s := newService(t, options{defaults: fmt.Sprintf("image_file_allow = %s\nimage_url_allow = 127.0.0.1\nimage_idle_timeout = 60\n", dir)})
	s.configure("rbd_user = ", cacheOn+lines+"rbd_user = ")
	s.start()
	s.ready()
	c := &caching{imaging: &imaging{s, dir}, web: newGallery(t)}
	c.raw = c.imaging.raw("disk")
	c.web.put(t, "/disk", c.raw)
	return c
}

// from asks for a volume of an image on the server.
func (s *caching) from(path string, size int64) (rpc.VolumeReply, error) {
	return s.client.CreateVolume(s.t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: size, Image: &rpc.ImageSource{URL: s.web.URL + path}}, wait)
}

// made is from of what must succeed.
func (s *caching) made(path string, size int64) volume.Volume {
	s.t.Helper()
	reply, err := s.from(path, size)
	s.succeeded("create_volume", reply.Operation, err)
	return reply.Volume
}

// cached returns the volumes in the cache, newest first.
func (s *caching) cached() []volume.Volume {
	s.t.Helper()
	reply, err := s.client.ListVolumes(s.t.Context(), rpc.ListVolumesRequest{ProjectID: volume.CacheProject})
	if err != nil {
		s.t.Fatal(err)
	}
	return reply.Volumes
}

// sends wants the server to have been asked for so many whole images, and to have sent
// nothing else but answers to questions.
func (s *caching) sends(what string, wholes int) {
	s.t.Helper()
	sent, n := s.web.sent()
	if n != wholes || wholes == 0 && sent > 100 {
		s.t.Errorf("%s: %d bytes in %d transfers, want %d", what, sent, n, wholes)
	}
}

// TestImageCache: the second volume of an image costs no transfer, and whatever may have
// changed since is noticed.
func TestImageCache(t *testing.T) {
	t.Parallel()
	s := newCaching(t, "")
	first := s.made("/disk?X-Amz-Signature=1", 1)
	s.sends("the first", 1)
	second := s.made("/disk?X-Amz-Signature=2", 2)
	s.sends("the second", 0)
	for _, v := range []volume.Volume{first, second} {
		s.holds(v.ID, s.raw)
		if n := s.used(v.ID); n != 0 {
			t.Errorf("%d objects were copied", n)
		}
		if !v.Bootable || v.ImageMetadata[volume.ImageVirtual] != "100663296" || v.ImageMetadata[volume.ImageURL] != s.web.URL+"/disk" {
			t.Errorf("bootable %v, %v", v.Bootable, v.ImageMetadata)
		}
	}
	entry := s.cached()[0]
	if second.Size != 2 || entry.Size != 1 || entry.Status != volume.Available {
		t.Errorf("sizes %d and %d, in the cache %+v", second.Size, entry.Size, entry)
	}

	s.web.mu.Lock()
	s.web.denied = "3"
	s.web.mu.Unlock()
	if _, err := s.from("/disk?X-Amz-Signature=3", 1); fault.KindOf(err) != fault.Invalid {
		t.Errorf("whoever the server refuses gets %v", err)
	}
	if _, err := s.from("/absent", 1); fault.KindOf(err) != fault.NotFound {
		t.Errorf("what is not there is %v", err)
	}
	_, _ = s.web.sent()
	s.made("/disk?image=other", 1)
	s.sends("another query, which may mean another image", 1)

	other := s.imaging.raw("other")
	s.web.put(t, "/disk", other)
	s.holds(s.made("/disk", 1).ID, other)
	s.sends("a changed image", 1)
	s.holds(s.made("/disk", 1).ID, other)
	s.sends("the changed image again", 0)
	s.holds(first.ID, s.raw)

	s.lostEntry()
	s.guarded(s.cached()[0])
	s.quiet()
	s.command(0, "", "audit", "--backend", "rbd0", "--deep")
	s.emptied()
}

// lostEntry has the image of an entry vanish, which is fetched anew then.
func (s *caching) lostEntry() {
	s.t.Helper()
	file := "file://" + s.imaging.raw("vanishes")
	create := func() volume.Volume {
		return s.createVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: file}})
	}
	v := create()
	entry := s.cached()[0]
	s.deleteVolume(v.ID)
	s.quiet()
	s.ceph.RBD(s.t, "snap", "purge", "--no-progress", s.pools[0]+"/volume-"+entry.ID)
	s.ceph.RBD(s.t, "rm", "--no-progress", s.pools[0]+"/volume-"+entry.ID)
	s.holds(create().ID, strings.TrimPrefix(file, "file://"))
	s.quiet()
	if slices.ContainsFunc(s.cached(), func(v volume.Volume) bool { return v.ID == entry.ID }) {
		s.t.Error("an entry without an image is still in the cache")
	}
	if v = create(); s.used(v.ID) != 0 {
		s.t.Error("the image did not come into the cache again")
	}
	s.deleteVolume(v.ID) // whose parent goes next
	s.quiet()
	s.sql("UPDATE image_volume_cache_entries SET volume_id = $1 WHERE volume_id = $2", uuid.NewString(), s.cached()[0].ID)
	if v := create(); s.used(v.ID) != 0 {
		s.t.Error("a row that nothing belongs to keeps the image out of the cache")
	}
}

// guarded wants nobody to use or change an image of the cache, nor others than operators
// to see it.
func (s *caching) guarded(entry volume.Volume) {
	s.t.Helper()
	ctx := s.t.Context()
	for what, ask := range map[string]func() error{
		"extend": func() error {
			_, err := s.client.ExtendVolume(ctx, s.backend(0), rpc.ExtendVolumeRequest{VolumeID: entry.ID, NewSize: 9}, wait)
			return err
		},
		"clone": func() error {
			_, err := s.client.CreateVolume(ctx, s.backend(0), rpc.CreateVolumeRequest{SourceVolID: entry.ID}, wait)
			return err
		},
		"reimage": func() error {
			_, err := s.client.Reimage(ctx, s.backend(0), rpc.ReimageRequest{VolumeID: entry.ID, Image: rpc.ImageSource{URL: "file://" + s.raw}}, wait)
			return err
		},
		"snapshot": func() error {
			_, err := s.client.CreateSnapshot(ctx, s.backend(0), rpc.CreateSnapshotRequest{VolumeID: entry.ID}, wait)
			return err
		},
		"unmanage": func() error {
			_, err := s.client.DeleteVolume(ctx, s.backend(0), rpc.DeleteVolumeRequest{VolumeID: entry.ID, UnmanageOnly: true}, wait)
			return err
		},
		"connect": func() error {
			_, err := s.client.InitializeConnection(ctx, s.backend(0), rpc.ConnectionRequest{VolumeID: entry.ID}, rpc.CallOptions{})
			return err
		},
	} {
		if err := ask(); fault.KindOf(err) != fault.Conflict {
			s.t.Errorf("%s of an image in the cache: %v", what, err)
		}
	}
	s.command(0, entry.ID, "volume", "list", "--image-cache")
	user := rpc.NewClient(s.conn, rpc.Options{Project: "p1", Timeout: time.Second})
	if _, err := user.DeleteVolume(ctx, s.backend(0), rpc.DeleteVolumeRequest{VolumeID: entry.ID}, wait); fault.KindOf(err) != fault.NotFound {
		s.t.Errorf("delete by a user: %v", err)
	}
	if reply, err := user.ListVolumes(ctx, rpc.ListVolumesRequest{ProjectID: volume.CacheProject}); err != nil || len(reply.Volumes) > 0 {
		s.t.Errorf("a user sees %+v, %v", reply.Volumes, err)
	}
	thief := rpc.NewClient(s.conn, rpc.Options{Project: volume.CacheProject, Timeout: time.Second})
	if _, err := thief.GetVolume(ctx, rpc.VolumeIDRequest{VolumeID: entry.ID}); fault.KindOf(err) != fault.Invalid {
		s.t.Errorf("in the name of the cache: %v", err)
	}
}

// emptied deletes everything, the entries first, and wants nothing to be left.
func (s *caching) emptied() {
	s.t.Helper()
	for _, v := range s.cached() {
		s.deleteVolume(v.ID)
	}
	reply, err := s.client.ListVolumes(s.t.Context(), rpc.ListVolumesRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range reply.Volumes {
		s.deleteVolume(v.ID)
	}
	s.quiet()
	if images, trash := s.images(0), s.trash(0); len(images)+len(trash) > 0 {
		s.t.Errorf("left: %v, in the trash %v", images, trash)
	}
}

// TestImageComesOnce: whoever wants an image that is on its way waits for it, and the
// next one fetches it if it does not come.
func TestImageComesOnce(t *testing.T) {
	t.Parallel()
	s := newCaching(t, "")
	s.web.hold = make(chan struct{})
	var all sync.WaitGroup
	var ids []string
	var mu sync.Mutex
	for i := range 20 {
		all.Go(func() {
			reply, err := s.from(fmt.Sprintf("/disk?X-Amz-Signature=%d", i), 1)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || reply.Operation.Status != volume.Succeeded {
				t.Errorf("%v, %+v", err, reply.Operation)
				return
			}
			ids = append(ids, reply.Volume.ID)
		})
	}
	<-s.web.reported
	var fetch volume.Operation
	s.eventually("all wait for one transfer", func() error {
		reply, err := s.client.ListOperations(t.Context(), rpc.ListOperationsRequest{Unfinished: true})
		if err != nil {
			return err
		}
		waiting := 0
		for _, op := range reply.Operations {
			switch {
			case op.Method == "cache_image":
				fetch = op
			case op.Status == volume.Waiting && slices.Equal(op.BlockedBy, []string{fetch.ID}) || op.Status == volume.Waiting && strings.Contains(op.Reason, "brought into the cache"):
				waiting++
			}
		}
		if waiting != 20 {
			return fmt.Errorf("%d of %d do", waiting, len(reply.Operations))
		}
		return nil
	})
	reply, err := s.client.ListVolumes(t.Context(), rpc.ListVolumesRequest{Status: volume.Creating})
	if err != nil || len(reply.Volumes) == 0 {
		t.Fatal(reply, err)
	}
	for _, v := range reply.Volumes {
		if v.ProjectID != volume.CacheProject {
			s.why(v.ID, rpc.VerdictWaiting, "the image is being brought into the cache", "cache_image")
			break
		}
	}
	if _, n := s.web.sent(); n != 1 {
		t.Errorf("%d transfers", n)
	}
	// It is given up: one of those that wait begins another.
	if _, err := s.client.CancelOperation(t.Context(), s.backend(0), rpc.OperationRequest{OperationID: fetch.ID}, rpc.CallOptions{}); err != nil {
		t.Fatal(err)
	}
	<-s.web.reported
	// And that one does not survive its process.
	if err := syscall.Kill(s.worker(0), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.web.reported
	close(s.web.hold)
	all.Wait()
	if _, n := s.web.sent(); n > 4 { // the next one, that after the death, and whose own was cancelled
		t.Errorf("%d transfers for 20 volumes", n)
	}
	if len(s.cached()) != 1 || len(ids) != 20 {
		t.Errorf("%d volumes, in the cache %+v", len(ids), s.cached())
	}
	for _, id := range ids {
		s.holds(id, s.raw)
	}
	s.quiet()
	s.command(0, "", "audit", "--backend", "rbd0", "--deep")
	s.emptied()
}

// TestImageCacheIsBounded: what was not used for the longest time goes, by number and by
// size, and its clones stay.
func TestImageCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := newCaching(t, "image_volume_cache_max_count = 2\n")
	names := func() (paths []string) {
		for _, v := range s.cached() {
			paths = append(paths, strings.TrimPrefix(v.Name, s.web.URL))
		}
		slices.Sort(paths)
		return paths
	}
	for _, path := range []string{"/a", "/b", "/c"} {
		s.web.put(t, path, s.raw)
	}
	s.web.mu.Lock()
	s.web.version = 7
	s.web.mu.Unlock()
	first := s.made("/a", 1)
	s.made("/b", 1)
	s.made("/a", 1)
	s.made("/c", 1)
	s.eventually("the one that was not used goes", func() error {
		if got := names(); !slices.Equal(got, []string{"/a", "/c"}) {
			return fmt.Errorf("in the cache: %v", got)
		}
		return nil
	})
	_, _ = s.web.sent()
	s.made("/a", 1)
	s.sends("what was used", 0)

	s.configureSection("rbd0", "image_volume_cache_max_count = 2", "image_volume_cache_max_size_gb = 2")
	before := s.worker(0)
	s.must("reload")
	s.eventually("the worker has the new limit", func() error {
		if s.worker(0) == before {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	s.answers(s.backend(0))
	large := filepath.Join(s.dir, "large")
	if err := os.Truncate(s.imaging.raw("large"), 3<<29); err != nil {
		t.Fatal(err)
	}
	s.web.put(t, "/large", large)
	s.made("/large", 2)
	s.eventually("an image of 2 GiB takes the place of two", func() error {
		if got := names(); !slices.Equal(got, []string{"/large"}) {
			return fmt.Errorf("in the cache: %v", got)
		}
		return nil
	})
	if _, err := s.from("/large", 1); fault.KindOf(err) != fault.Invalid || fault.Of(err).Field != "size" {
		t.Errorf("a volume that is too small: %v", err)
	}
	_, _ = s.web.sent()
	s.made("/b", 3)
	if got := names(); !slices.Equal(got, []string{"/large"}) {
		t.Errorf("what may be too large is cached: %v", got)
	}
	s.holds(first.ID, s.raw)
	s.command(0, "", "audit", "--backend", "rbd0", "--deep")
	s.emptied()
}
