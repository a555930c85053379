package metrics

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func get(t *testing.T, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// An address that is taken is said once, tried again, and served when it is free.
func TestServeWaitsForItsAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out lines
	log := hclog.New(&hclog.LoggerOptions{Output: &out})
	address := taken.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve(ctx, address, says("page"), log, time.Millisecond)
	}()
	out.await(t, "metrics are not served")
	taken.Close()
	out.await(t, "metrics are served")
	if n := strings.Count(out.text(), "not served"); n != 1 {
		t.Errorf("complained %d times", n)
	}
	r, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, _ := io.ReadAll(r.Body); string(body) != "page" {
		t.Errorf("the page is %q", body)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	<-ended
}

// lines is a log that can be waited for.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrote chan struct{} // closed at the next line, and replaced
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote != nil {
		close(l.wrote)
		l.wrote = nil
	}
	return l.buf.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) await(t *testing.T, what string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		is := strings.Contains(l.buf.String(), what)
		if l.wrote == nil {
			l.wrote = make(chan struct{})
		}
		wrote := l.wrote
		l.mu.Unlock()
		if is {
			return
		}
		select {
		case <-wrote:
		case <-limit:
			t.Fatalf("never logged %q: %s", what, l.text())
		}
	}
}
