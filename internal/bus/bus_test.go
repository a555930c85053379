package bus

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/fault"
)

// childState names the state path of a child process that only runs a bus.
const childState = "BUS_TEST_STATE"

func TestMain(m *testing.M) {
	if state := os.Getenv(childState); state != "" {
		err := Run(context.Background(), Config{StatePath: state, Listen: os.Getenv(childState + "_LISTEN")},
			func() { os.Stdout.WriteString("ready\n") }, hclog.NewNullLogger())
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	// nats-server leaves a goroutine of its package behind for good.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.1.func1"))
}

// run runs a bus until stop is called, which returns what Run returned.
func run(t *testing.T, cfg Config) (stop func() error) {
	t.Helper()
	return runWith(t, cfg, hclog.NewNullLogger())
}

func runWith(t *testing.T, cfg Config, log hclog.Logger) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- Run(ctx, cfg, func() { close(ready) }, log) }()
	stop = func() error { cancel(); return <-done }
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("Run = %v", err)
	}
	return stop
}

// readURL returns the content of bus.url, and checks who may read it.
func readURL(t *testing.T, state string) string {
	t.Helper()
	info, err := os.Stat(filepath.Join(state, "bus.url"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode of bus.url is %v", info.Mode())
	}
	text, err := os.ReadFile(filepath.Join(state, "bus.url"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// use connects and sends a message to itself.
func use(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	defer func() { nc.Close(); <-closed }()
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("x", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if got := nc.MaxPayload(); got != 1<<20 {
		t.Errorf("max payload = %d", got)
	}
}

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestOnlyThoseWithCredentialsGetIn(t *testing.T) {
	state := t.TempDir()
	stop := run(t, Config{StatePath: state, Listen: "127.0.0.1:0"})
	url := readURL(t, state)
	use(t, url)
	_, address, _ := strings.Cut(url, "@")
	for _, bad := range []string{"nats://" + address, "nats://volumed:wrong@" + address} {
		if nc, err := nats.Connect(bad); err == nil {
			nc.Close()
			t.Errorf("%s gets in", bad)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it listens after the stop")
	}
}

// A client that tries a wrong password again and again is told of once.
func TestWrongPasswordsAreOneTrouble(t *testing.T) {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out, Mutex: &sync.Mutex{}})
	state := t.TempDir()
	stop := runWith(t, Config{StatePath: state, Listen: "127.0.0.1:0"}, log)
	wrong := strings.Replace(readURL(t, state), "@", "wrong@", 1)
	for range 20 {
		if nc, err := nats.Connect(wrong); err == nil {
			nc.Close()
			t.Fatal("the wrong password was taken")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "authentication error"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &out)
	}
}

func TestRestartKeepsTheAddress(t *testing.T) {
	cfg := Config{StatePath: t.TempDir(), Listen: freePort(t)}
	stop := run(t, cfg)
	first := readURL(t, cfg.StatePath)
	nc, err := nats.Connect(first, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	back, closed := make(chan struct{}), make(chan struct{})
	nc.SetReconnectHandler(func(*nats.Conn) { close(back) })
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	defer func() { nc.Close(); <-closed }()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	stop = run(t, cfg)
	if again := readURL(t, cfg.StatePath); again != first {
		t.Errorf("the address changed from %s to %s", first, again)
	}
	<-back
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A bus that was killed starts again with the same credentials, on its port.
func TestRestartAfterKill(t *testing.T) {
	cfg := Config{StatePath: t.TempDir(), Listen: freePort(t)}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childState+"="+cfg.StatePath, childState+"_LISTEN="+cfg.Listen)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		t.Fatalf("child says %q: %v", line, err)
	}
	url := readURL(t, cfg.StatePath)
	use(t, url)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	stop := run(t, cfg)
	use(t, url)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	state := t.TempDir()
	err = Run(t.Context(), Config{StatePath: state, Listen: l.Addr().String()}, func() { t.Error("ready") }, hclog.NewNullLogger())
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error = %v", err)
	}
	if !strings.Contains(fault.Of(err).Hint, "[nats] listen") {
		t.Errorf("hint = %q", fault.Of(err).Hint)
	}
	if _, err := os.Stat(filepath.Join(state, "bus.url")); err == nil {
		t.Error("bus.url was written for another program's port")
	}
}

func TestBadConfig(t *testing.T) {
	tests := map[string]struct {
		listen, file string
		want         string
	}{
		"no address":   {listen: "nonsense", want: "[nats] listen"},
		"no host":      {listen: ":4222", want: "[nats] listen"},
		"broken file":  {listen: "127.0.0.1:0", file: "nats://volumed:secret", want: "does not hold"},
		"no password":  {listen: "127.0.0.1:0", file: "nats://volumed@127.0.0.1:4222", want: "does not hold"},
		"no directory": {listen: "127.0.0.1:0", file: "-", want: "keep the credentials"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			switch tc.file {
			case "":
			case "-":
				state = filepath.Join(state, "missing")
			default:
				if err := os.WriteFile(filepath.Join(state, "bus.url"), []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := Run(t.Context(), Config{StatePath: state, Listen: tc.listen}, func() { t.Error("ready") }, hclog.NewNullLogger())
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want %q in it", err, tc.want)
			}
		})
	}
}
