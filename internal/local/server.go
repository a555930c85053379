package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
)

// Listen binds a socket at path that only its owner can use. One that is left of a
// process that is gone is replaced. Closing the listener removes the socket.
//
// Kinds: Invalid for a path that cannot be one, or has something else on it; Conflict
// for a socket on which a living process listens.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := reclaim(path); err != nil {
		return nil, err
	}
	// Linux gives the socket in the file system the mode of the one in memory, so
	// there is no moment in which others could connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := private.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fault.New(fault.Invalid, "socket %s: %w", path, err)
	}
	return l, nil
}

// reclaim removes the socket of a process that is gone.
func reclaim(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fault.New(fault.Invalid, "socket %s: %w", path, err)
	case info.Mode().Type() != os.ModeSocket:
		return fault.New(fault.Invalid, "socket %s: there is something else of that name", path).WithHint("move it away, or choose another path")
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		conn.Close()
		fallthrough
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fault.New(fault.Conflict, "socket %s: another process listens there", path).WithHint("find it: ss -xlp src %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.Invalid, "socket %s: %w", path, err)
	}
	return nil
}

// closeTimeout bounds how long answers that are on their way may take at the end.
const closeTimeout = time.Second

// Serve answers requests until ctx ends, and returns when the answers under way
// are out, at most a second later; longer ones are cut off.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		stopped <- errors.Join(s.Shutdown(within), s.Close())
	})
	err := s.Serve(l)
	if !stop() { // the end has begun
		err = errors.Join(ignoreClosed(err), <-stopped)
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) { // what was too long was cut off
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Handler answers one kind of request: it returns what is sent as JSON, or an
// error whose kind, message and hint are. ctx ends when the caller goes away.
func Handler[Req, Resp any](answer func(ctx context.Context, req Req) (Resp, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := decode(r, &req); err != nil {
			Refuse(w, err)
			return
		}
		resp, err := answer(r.Context(), req)
		if err != nil {
			Refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(resp) // the caller may have gone away
	})
}

// maxBody bounds a request: a whole configuration fits.
const maxBody = 16 << 20

func decode(r *http.Request, req any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(req); err != nil && r.ContentLength != 0 {
		return fault.New(fault.Invalid, "request: %w", err)
	}
	return nil
}

// wireError is an error on its way.
type wireError struct {
	Error struct {
		Kind    fault.Kind `json:"kind"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	} `json:"error"`
}

// Refuse sends an error as the answer.
func Refuse(w http.ResponseWriter, err error) {
	var out wireError
	out.Error.Kind, out.Error.Message = fault.KindOf(err), err.Error()
	var f *fault.Error
	if errors.As(err, &f) {
		out.Error.Hint = f.Hint
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(out.Error.Kind.Status())
	_ = json.NewEncoder(w).Encode(out) // the caller may have gone away
}
