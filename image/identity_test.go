package image

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
)

// What an image is called, and what it is, tell it from others; a signature does not.
func TestIdentity(t *testing.T) {
	data := content(1 << 20)
	header := http.Header{}
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "bytes=0-0" {
			t.Errorf("asked for %q", r.Header.Get("Range"))
		}
		asked.Add(1)
		for k, v := range header {
			w.Header()[k] = v
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	base := url[:len(url)-len("/image?signature=secret")]
	g := newGate(t, nil)
	sum, names := checksum(data), map[string]string{} // of the first with an identity
	for _, tt := range []struct {
		name, tag, url, checksum string
		format                   Format
		like                     string // the first that has the same identity; - for having none
	}{
		{name: "plain", tag: `"1"`, url: "/image"},
		{name: "signed", tag: `"1"`, url: "/image?X-Amz-Signature=a&X-Amz-Date=b", like: "plain"},
		{name: "swift", tag: `"1"`, url: "/image?temp_url_sig=a&temp_url_expires=1", like: "plain"},
		{name: "other_tag", tag: `"2"`, url: "/image"},
		{name: "other_path", tag: `"1"`, url: "/other"},
		{name: "other_query", tag: `"1"`, url: "/image?id=2&X-Amz-Signature=a"},
		{name: "semicolon", tag: `"1"`, url: "/image?id=2;3"},
		{name: "another_semicolon", tag: `"1"`, url: "/image?id=2;4"},
		{name: "signed_semicolon", tag: `"1"`, url: "/image?X-Amz-Date=b&id=2;4&X-Amz-Signature=a", like: "another_semicolon"},
		{name: "not_only_a_signature", tag: `"1"`, url: "/image?X-Amz-Signature=a;id=2"},
		{name: "bad_escape", tag: `"1"`, url: "/image?id=%zz"},
		{name: "another_bad_escape", tag: `"1"`, url: "/image?id=%zy"},
		{name: "bad_escape_in_a_name", tag: `"1"`, url: "/image?%zz=1"},
		{name: "escaped_signature", tag: `"1"`, url: "/image?X%2DAmz-Signature=a", like: "plain"},
		{name: "taken_for_raw", tag: `"1"`, url: "/image", format: Raw},
		{name: "taken_for_vpc", tag: `"1"`, url: "/image", format: VPC},
		{name: "taken_for_what_can_be_seen", tag: `"1"`, url: "/image", format: QCOW2, like: "plain"},
		{name: "weak", tag: `W/"1"`, url: "/image", like: "-"},
		{name: "untagged", url: "/image", like: "-"},
		{name: "checksum", url: "/image", checksum: sum},
		{name: "checksum_in_capitals", tag: `"9"`, url: "/image", checksum: "sha256:" + string(bytes.ToUpper([]byte(sum[7:]))), like: "checksum"},
		{name: "checksum_elsewhere", url: "/other", checksum: sum},
	} {
		header = http.Header{}
		if tt.tag != "" {
			header.Set("ETag", tt.tag)
		}
		got, err := g.Identify(t.Context(), Source{URL: base + tt.url, Format: tt.format, Checksum: tt.checksum})
		wantKind(t, "", err)
		first, known := names[got]
		switch {
		case got == "":
			first = "-"
		case !known:
			names[got] = tt.name
		}
		if first != tt.like {
			t.Errorf("%s is like %q, want %q", tt.name, first, tt.like)
		}
	}
	if asked.Load() != 22 {
		t.Errorf("%d questions", asked.Load())
	}
}

// The answer to the question and the transfer tell the same, whether the server knows
// ranges or not.
func TestIdentityOfAStream(t *testing.T) {
	data := content(1 << 20)
	for name, handle := range map[string]http.HandlerFunc{
		"ranges": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			http.ServeContent(w, r, "", time.Unix(1000, 0), bytes.NewReader(data))
		},
		"none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", "1048576")
			_, _ = w.Write(data)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, source := newGate(t, nil), Source{URL: serve(t, handle)}
			asked, err := g.Identify(t.Context(), source)
			wantKind(t, "", err)
			stream, err := g.Open(t.Context(), source, gib)
			wantKind(t, "", err)
			defer stream.Close()
			if got := stream.Identity(); got == "" || got != asked {
				t.Errorf("asked %q, of the transfer %q", asked, got)
			}
		})
	}
}

// A server that refuses is asked by the URL of the caller, and its answer counts.
func TestIdentityIsRefused(t *testing.T) {
	for code, kind := range map[int]fault.Kind{
		http.StatusForbidden: fault.Invalid, http.StatusUnauthorized: fault.Invalid, http.StatusNotFound: fault.NotFound,
		http.StatusBadGateway: fault.Busy,
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		_, err := newGate(t, nil).Identify(t.Context(), Source{URL: url})
		wantKind(t, kind, err)
	}
}

// A file is another one as soon as anything was written to it, also by the same number of
// bytes and with its time put back.
func TestIdentityOfAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	data := content(1 << 20)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGate(t, func(c *Config) { c.Directories = []string{dir} })
	source := Source{URL: "file://" + path}
	stream, err := g.Open(t.Context(), source, gib)
	wantKind(t, "", err)
	defer stream.Close()
	before, err := g.Identify(t.Context(), source)
	wantKind(t, "", err)
	if got := stream.Identity(); got != before || got == "" {
		t.Errorf("asked %q, of the stream %q", before, got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// The clock of the file system may not have moved on: until it has, the write is not
	// one that anybody could have read around.
	for stream.Identity() == before {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = g.Identify(t.Context(), Source{URL: "file:///etc/hostname"})
	wantKind(t, fault.Invalid, err)
}

// A server that sends a byte now and then is never silent, and given up all the same.
func TestServerThatTrickles(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000000")
		_, _ = w.Write(content(64 << 10)) // as much as to tell the format
		for tick := time.NewTicker(5 * time.Millisecond); r.Context().Err() == nil; <-tick.C {
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}
	})
	g := newGate(t, func(c *Config) { c.MinRate, c.RateTime = 1<<20, 200*time.Millisecond })
	_, err := drained(t, g, Source{URL: url})
	wantKind(t, fault.Busy, err)
	if f := fault.Of(err); f == nil || f.Field != "image.url" {
		t.Errorf("%+v", f)
	}
}

// The time in which nobody waits for the server does not count.
func TestPace(t *testing.T) {
	p := pace{least: 100, over: time.Second}
	for range 1000 {
		if err := p.note(10, 50*time.Millisecond); err != nil { // 200 a second
			t.Fatal(err)
		}
	}
	for range 9 {
		_ = p.note(5, 100*time.Millisecond)
	}
	if err := p.note(5, 100*time.Millisecond); fault.KindOf(err) != fault.Busy { // 50 a second
		t.Errorf("%v", err)
	}
	if err := (&pace{}).note(0, time.Hour); err != nil {
		t.Errorf("without a least rate: %v", err)
	}
}

// A server does not get around the least rate by breaking off: neither by a byte on each
// connection, nor by sending slowly, or again and again, what it has sent before.
func TestServerThatBreaksOff(t *testing.T) {
	const first = 600 << 10
	data := content(1 << 20)
	handlers := map[string]func(w http.ResponseWriter, r *http.Request, from int){
		"a byte each": func(w http.ResponseWriter, r *http.Request, from int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[from : from+1])
		},
		"slowly again": func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			for i := 0; r.Context().Err() == nil; i++ {
				_, _ = w.Write(data[i : i+1])
				w.(http.Flusher).Flush()
				pause(r, 5*time.Millisecond)
			}
		},
		"again and again": func(w http.ResponseWriter, r *http.Request, from int) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			for at := 0; at < from; at += 64 << 10 {
				_, _ = w.Write(data[at:min(from, at+64<<10)])
				pause(r, 10*time.Millisecond)
			}
			_, _ = w.Write(data[from : from+1])
		},
	}
	for name, handle := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var answers atomic.Int64
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"1"`)
				if answers.Add(1) == 1 {
					w.Header().Set("Content-Length", fmt.Sprint(len(data)))
					_, _ = w.Write(data[:first])
				} else {
					var from int
					if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
						t.Error(err)
					}
					handle(w, r, from)
				}
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			g := newGate(t, func(c *Config) { c.MinRate, c.RateTime = 100<<10, time.Second })
			_, err := drained(t, g, Source{URL: url})
			if wantKind(t, fault.Busy, err); !errors.Is(err, errSlow) {
				t.Errorf("%v", err)
			}
		})
	}
}

// pause waits for as long, or until the client is gone.
func pause(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// A server that has to begin from the start once more, and is fast, is not too slow: also
// if that takes longer than the time that the least rate counts over.
func TestPaceOfWhatIsSentAgain(t *testing.T) {
	p := pace{least: 100, over: time.Second, owed: time.Minute}
	if err := p.note(1000, time.Second); err != nil {
		t.Error(err)
	}
	if err := p.settle(); err != nil {
		t.Errorf("enough has come since: %v", err)
	}
	p.owed = time.Minute
	_ = p.note(1000, 900*time.Millisecond)
	if err := p.settle(); fault.KindOf(err) != fault.Busy {
		t.Errorf("16 a second: %v", err)
	}
}
