package e2e

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// A URL that is signed is shown nowhere, whether its image is under way or has come; the
// journal has it whole, so that the next process can go on with it.
func TestSignedURLIsNotShown(t *testing.T) {
	const signature = "signature=geheim-77a0"
	dir := t.TempDir()
	s := &imaging{started(t, options{defaults: "image_url_allow = 127.0.0.1\ndebug = true\n"}), dir}
	raw := s.raw("disk")
	files := http.FileServer(http.Dir(s.dir))
	begun, begin, live := make(chan struct{}), sync.Once{}, atomic.Bool{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.RawQuery != signature:
			w.WriteHeader(http.StatusForbidden)
		case live.Load():
			files.ServeHTTP(w, r)
		default: // as long as the first process lives
			begin.Do(func() { close(begun) })
			<-r.Context().Done()
		}
	}))
	t.Cleanup(web.Close)
	url := web.URL + "/" + filepath.Base(raw)
	reply, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{
		Size: 1, Image: &rpc.ImageSource{URL: url + "?" + signature, Format: "raw"},
	}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shown := func(where, text string) {
		t.Helper()
		if strings.Contains(text, signature) {
			t.Errorf("%s shows the signature: %s", where, text)
		}
	}
	seen := func(op *volume.Operation) string { return string([]byte(op.Args)) }
	<-begun
	if args := seen(reply.Operation); !strings.Contains(args, url) {
		t.Errorf("the arguments do not tell the image: %s", args)
	}
	shown("the answer", seen(reply.Operation))
	events := s.client.Watch(t.Context(), reply.Operation.ID)
	look := func() {
		t.Helper()
		for _, args := range [][]string{{"operation", "show", reply.Operation.ID, "-o", "json"}, {"operation", "list", "-o", "json"}, {"volume", "why", reply.Volume.ID, "-o", "json"}} {
			code, out := s.volumectl(args...)
			if shown("volumectl "+strings.Join(args, " "), out); code != 0 || !strings.Contains(out, reply.Operation.ID) {
				t.Errorf("volumectl %v: exit %d, %s", args, code, out)
			}
		}
		pid := s.worker(0)
		text, _ := s.reportOf(pid)
		shown("the report", text)
		for _, op := range s.vitals(pid).Operations {
			shown("the vitals", seen(&op))
		}
	}
	look()
	if err := syscall.Kill(s.worker(0), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	live.Store(true)
	for op := range events {
		shown("an event", seen(&op))
		if op.Status.Terminal() && op.Status != volume.Succeeded {
			t.Errorf("the operation has %s: %+v", op.Status, op.Error)
		}
	}
	s.holds(reply.Volume.ID, raw)
	s.answers(s.backend(0))
	look()
	shown("the log", s.log.String())
}
