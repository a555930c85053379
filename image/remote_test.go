package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
)

const gib = 1 << 30

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// newGate returns a gate to servers of this machine.
func newGate(t testing.TB, change func(*Config)) *Gate {
	t.Helper()
	cfg := Config{Networks: loopback, Idle: 10 * time.Second, Spool: t.TempDir(), CPU: time.Minute, Memory: 4 << 30}
	if change != nil {
		change(&cfg)
	}
	g := New(cfg)
	t.Cleanup(g.Close)
	return g
}

// serve returns the URL of a server.
func serve(t testing.TB, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL + "/image?signature=secret"
}

// content is a raw image.
func content(size int) []byte {
	buf := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(buf)
	buf[0] = 'x'
	return buf
}

// drained reads a source to its end.
func drained(t testing.TB, g *Gate, s Source) ([]byte, error) {
	t.Helper()
	stream, err := g.Open(t.Context(), s, gib)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return io.ReadAll(stream)
}

func checksum(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// breaking serves data, and breaks each answer off after some of it.
func breaking(data []byte, piece int, header http.Header) (handle http.HandlerFunc, requests *atomic.Int32) {
	requests = &atomic.Int32{}
	return func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		for k, v := range header {
			w.Header()[k] = v
		}
		http.ServeContent(&cutOff{ResponseWriter: w, left: piece}, r, "", time.Time{}, bytes.NewReader(data))
	}, requests
}

type cutOff struct {
	http.ResponseWriter
	left int
}

func (c *cutOff) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestTransferIsTakenUpAgain(t *testing.T) {
	data := content(1 << 20)
	handle, requests := breaking(data, 300_000, http.Header{"Etag": {`"v1"`}})
	got, err := drained(t, newGate(t, nil), Source{URL: serve(t, handle), Checksum: checksum(data)})
	wantKind(t, "", err)
	if !bytes.Equal(got, data) || requests.Load() < 3 {
		t.Errorf("%d bytes in %d requests", len(got), requests.Load())
	}
}

// A server that knows no ranges sends the whole again, of which the part that is known is
// left out.
func TestTransferWithoutRanges(t *testing.T) {
	data, requests := content(1<<20), 0
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if requests == 1 {
			_, _ = w.Write(data[:500_000])
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(data)
	})
	got, err := drained(t, newGate(t, nil), Source{URL: url})
	wantKind(t, "", err)
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestImageThatChangesMeanwhile(t *testing.T) {
	data, requests := content(1<<20), 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, requests))
		http.ServeContent(&cutOff{ResponseWriter: w, left: 500_000}, r, "", time.Time{}, bytes.NewReader(data))
	})
	_, err := drained(t, newGate(t, nil), Source{URL: url})
	wantKind(t, fault.Conflict, err)
}

// Nothing is joined of which nobody knows that it belongs together, unless a checksum tells.
func TestTransferWithoutMarks(t *testing.T) {
	data := content(1 << 20)
	handle, _ := breaking(data, 300_000, nil)
	_, err := drained(t, newGate(t, nil), Source{URL: serve(t, handle)})
	wantKind(t, fault.Busy, err)
	got, err := drained(t, newGate(t, nil), Source{URL: serve(t, handle), Checksum: checksum(data)})
	wantKind(t, "", err)
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}
}

// The mark is the same second's, and the size is another.
func TestImageThatGrowsMeanwhile(t *testing.T) {
	data, requests := content(1<<20), 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.ServeContent(&cutOff{ResponseWriter: w, left: 500_000}, r, "", time.Unix(1e9, 0), bytes.NewReader(data[:len(data)/2+requests*4096]))
	})
	_, err := drained(t, newGate(t, nil), Source{URL: url})
	wantKind(t, fault.Conflict, err)
}

// An end that looks like that of a connection which breaks is none.
func TestBodyWithoutEnd(t *testing.T) {
	data := content(1 << 20)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		_, _ = buf.Write(data)
		_ = buf.Flush()
	})
	_, err := drained(t, newGate(t, nil), Source{URL: url})
	wantKind(t, fault.Unsupported, err)
	got, err := drained(t, newGate(t, nil), Source{URL: url, Checksum: checksum(data)})
	wantKind(t, "", err)
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}
	_, err = drained(t, newGate(t, nil), Source{URL: url, Checksum: checksum(data[1:])})
	wantKind(t, fault.Invalid, err)
}

// What is known is skipped for longer than a server may be silent, as long as it comes.
func TestSkipTakesLong(t *testing.T) {
	data, requests := content(1<<20), 0
	const idle = time.Second
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if requests == 1 {
			_, _ = w.Write(data[:1_000_000])
			panic(http.ErrAbortHandler)
		}
		pace := time.NewTicker(idle / 8)
		defer pace.Stop()
		for at := 0; at < len(data); at += 1 << 16 {
			_, _ = w.Write(data[at:min(at+1<<16, len(data))])
			w.(http.Flusher).Flush()
			<-pace.C
		}
	})
	got, err := drained(t, newGate(t, func(c *Config) { c.Idle = idle }), Source{URL: url})
	wantKind(t, "", err)
	if !bytes.Equal(got, data) || requests != 2 {
		t.Errorf("%d bytes in %d requests", len(got), requests)
	}
}

// A server that is redirected to is not told the URL, which may be signed.
func TestRedirectTellsNothing(t *testing.T) {
	data, told := content(10_000), ""
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		told = fmt.Sprint(r.Header)
		_, _ = w.Write(data)
	})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.ReplaceAll(other, "signature=secret", ""), http.StatusFound)
	})
	_, err := drained(t, newGate(t, nil), Source{URL: url})
	wantKind(t, "", err)
	if strings.Contains(told, "secret") {
		t.Errorf("the other server is told %s", told)
	}
}

func TestBadServers(t *testing.T) {
	data := content(1 << 20)
	whole := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
	secret := serve(t, whole)
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		change func(*Config)
		source Source
		disk   int64
		kind   fault.Kind
	}{
		"absent":        {handle: http.NotFound, kind: fault.NotFound},
		"forbidden":     {handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, kind: fault.Invalid},
		"unwell":        {handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, kind: fault.Busy},
		"checksum":      {handle: whole, source: Source{Checksum: checksum(data[1:])}, kind: fault.Invalid},
		"not_allowed":   {handle: whole, change: func(c *Config) { c.Networks = nil }, kind: fault.Invalid},
		"other_network": {handle: whole, change: func(c *Config) { c.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, kind: fault.Invalid},
		"too_large":     {handle: whole, disk: 1 << 19, kind: fault.Invalid},
		"packed": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(data)
		}, kind: fault.Unsupported},
		"redirect_to_file": {handle: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, kind: fault.Invalid},
		"redirect_for_ever": {handle: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }, kind: fault.Invalid},
		"redirect_to_metadata": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
			}, kind: fault.Invalid,
		},
		"endless": {handle: func(w http.ResponseWriter, _ *http.Request) { // more than it could say
			for range 4 {
				_, _ = w.Write(data)
			}
		}, disk: 2 << 20, kind: fault.Invalid},
		"more_than_said": {handle: func(w http.ResponseWriter, _ *http.Request) { // ten times
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(data))
				for range 10 {
					_, _ = buf.Write(data)
				}
				_ = buf.Flush()
				_ = conn.Close()
			}
		}, kind: ""},
		"stalls": {
			handle: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v1"`)
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				_, _ = w.Write(data[:1000])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}, change: func(c *Config) { c.Idle = 50 * time.Millisecond }, kind: fault.Busy,
		},
		"stalls_at_once": {
			handle: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			change: func(c *Config) { c.Idle = 20 * time.Millisecond }, kind: fault.Busy,
		},
		"user_in_url": {source: Source{URL: strings.Replace(secret, "http://", "http://user:password@", 1)}, kind: fault.Invalid},
		"scheme":      {source: Source{URL: "ftp://127.0.0.1/image"}, kind: fault.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.source.URL == "" {
				tt.source.URL = serve(t, tt.handle)
			}
			if tt.disk == 0 {
				tt.disk = gib
			}
			stream, err := newGate(t, tt.change).Open(t.Context(), tt.source, tt.disk)
			if err == nil {
				var got []byte
				got, err = io.ReadAll(stream)
				if err == nil && !bytes.Equal(got, data) {
					t.Errorf("%d bytes, and no error", len(got))
				}
				_ = stream.Close()
			}
			wantKind(t, tt.kind, err)
			if err != nil && (strings.Contains(err.Error(), "signature") || strings.Contains(err.Error(), "password")) {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}

func TestCancelledTransfer(t *testing.T) {
	began := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(content(headLength))
		w.(http.Flusher).Flush()
		close(began)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-began; cancel() }()
	stream, err := newGate(t, nil).Open(ctx, Source{URL: url}, gib)
	if err == nil {
		defer stream.Close()
		_, err = io.ReadAll(stream)
	}
	wantKind(t, fault.Cancelled, err)
}

func TestAllowedAddresses(t *testing.T) {
	g := New(Config{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for addr, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1": true, "10.1.2.3": true, "::ffff:10.1.2.3": true,
		"10.2.0.1": false, "127.0.0.1": false, "::1": false, "169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false,
		"0.0.0.0": false, "::": false, "::ffff:127.0.0.1": false, "192.168.1.1": false, "172.16.0.1": false, "100.64.0.1": false,
		"224.0.0.1": false, "255.255.255.255": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::7f00:1": false,
	} {
		if got := g.allowed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: allowed = %v", addr, got)
		}
	}
}

func TestFilesBelowAllowedDirectoriesOnly(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	data := content(10_000)
	for _, f := range []string{dir + "/image", outside + "/image"} {
		if err := os.WriteFile(f, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"/out": outside + "/image", "/passwd": "/etc/passwd", "/up": "../../../../etc/passwd", "/in": "image"} {
		if err := os.Symlink(to, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	g := newGate(t, func(c *Config) { c.Directories = []string{dir} })
	for url, kind := range map[string]fault.Kind{
		"file://" + dir + "/image":          "",
		"file://" + dir + "/in":             "",
		"file://" + dir + "/absent":         fault.NotFound,
		"file://" + dir + "/out":            fault.Invalid,
		"file://" + dir + "/up":             fault.Invalid,
		"file://" + dir + "/passwd":         fault.Invalid,
		"file://" + dir:                     fault.Invalid,
		"file://" + dir + "/../x":           fault.Invalid,
		"file://" + outside + "/image":      fault.Invalid,
		"file:///etc/passwd":                fault.Invalid,
		"file://elsewhere" + dir + "/image": fault.Invalid,
		"image":                             fault.Unsupported,
	} {
		got, err := drained(t, g, Source{URL: url, Checksum: checksum(data)})
		if fault.KindOf(err) != kind || kind == "" && !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", url, len(got), err)
		}
	}
}
