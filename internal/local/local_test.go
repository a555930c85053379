package local_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/local"
)

type question struct {
	Name string `json:"name"`
}

type answer struct {
	Greeting string `json:"greeting"`
}

// serve answers on a socket until the test ends, or stop is called.
func serve(t *testing.T, path string, h http.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l, err := local.Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- local.Serve(ctx, l, h) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return stop
}

func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "local") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestAskAndRefuse(t *testing.T) {
	path := socket(t)
	mux := http.NewServeMux()
	mux.Handle("POST /greet", local.Handler(func(_ context.Context, q question) (answer, error) {
		if q.Name == "" {
			return answer{}, fault.New(fault.Invalid, "no name").WithHint("give one")
		}
		return answer{"hello " + q.Name}, nil
	}))
	mux.Handle("GET /time", local.Handler(func(context.Context, struct{}) (answer, error) { return answer{"noon"}, nil }))
	serve(t, path, mux)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", info.Mode(), err)
	}
	c := local.NewClient(path)
	var got answer
	if err := c.Ask(t.Context(), "POST", "/greet", question{"rbd0"}, &got); err != nil || got.Greeting != "hello rbd0" {
		t.Errorf("answer %+v, %v", got, err)
	}
	if err := c.Ask(t.Context(), "GET", "/time", nil, &got); err != nil || got.Greeting != "noon" {
		t.Errorf("answer without a request %+v, %v", got, err)
	}
	var refused *fault.Error
	err := c.Ask(t.Context(), "POST", "/greet", question{}, &got)
	if !errors.As(err, &refused) || refused.Kind != fault.Invalid || refused.Message != "no name" || refused.Hint != "give one" {
		t.Errorf("refusal %#v", err)
	}
	if err := c.Ask(t.Context(), "POST", "/greet", map[string]string{"nmae": "x"}, &got); !errors.Is(err, fault.Invalid) {
		t.Errorf("unknown field: %v", err)
	}
	if err := c.Ask(t.Context(), "GET", "/nothing", nil, nil); !errors.Is(err, fault.Unsupported) {
		t.Errorf("unknown path: %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	path := socket(t)
	c := local.NewClient(path)
	if err := c.Ask(t.Context(), "GET", "/", nil, nil); !errors.Is(err, local.ErrNobody) || !errors.Is(err, fault.NotFound) {
		t.Errorf("no socket: %v", err)
	}
	stop := serve(t, path, http.NewServeMux())
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestListenReplacesWhatADeadProcessLeft(t *testing.T) {
	path := socket(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	serve(t, path, http.NewServeMux())
	if err := local.NewClient(path).Ask(t.Context(), "GET", "/", nil, nil); !errors.Is(err, fault.Unsupported) {
		t.Errorf("asked the new one: %v", err)
	}
}

// What is not the socket of a dead process is left alone.
func TestListenTakesNothingAway(t *testing.T) {
	file := socket(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Listen(t.Context(), file); !errors.Is(err, fault.Invalid) {
		t.Errorf("on a file: %v", err)
	}
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	path := socket(t)
	serve(t, path, http.NewServeMux())
	if _, err := local.Listen(t.Context(), path); !errors.Is(err, fault.Conflict) {
		t.Errorf("where another listens: %v", err)
	}
	if err := local.NewClient(path).Ask(t.Context(), "GET", "/", nil, nil); !errors.Is(err, fault.Unsupported) {
		t.Errorf("asked the first one: %v", err)
	}
}

func TestNoAnswerInTime(t *testing.T) {
	path := socket(t)
	asked := make(chan struct{})
	stop := serve(t, path, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(context.DeadlineExceeded) }()
	began := time.Now()
	if err := local.NewClient(path).Ask(ctx, "GET", "/", nil, nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("no answer: %v", err)
	}
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
}
