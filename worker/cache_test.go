package worker_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
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
