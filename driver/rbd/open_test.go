package rbd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// write makes a file that is gone after the test.
func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpenRefuses(t *testing.T) {
	env := testenv.Ceph(t)
	conf, err := os.ReadFile(env.Conf)
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := write(t, "keyring", "[client.volumed]\n\tkey = AQAAAAAAAAAAABAAMDEyMzQ1Njc4OWFiY2RlZg==\n")
	var lines []string
	for line := range strings.Lines(string(conf)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "keyring") {
			lines = append(lines, line)
		}
		if strings.HasPrefix(line, "[global]") {
			lines = append(lines, "keyring = "+wrongKey+"\n")
		}
	}
	tests := map[string]struct {
		change func(*Config)
		kind   fault.Kind
		says   string
	}{
		"missing pool": {func(c *Config) { c.Pool = "no-such-pool" }, fault.NotFound, "no such pool"},
		"missing conf": {func(c *Config) { c.ConfFile = "/no/such/ceph.conf" }, fault.Invalid, "/no/such/ceph.conf does not exist"},
		"broken conf":  {func(c *Config) { c.ConfFile = write(t, "c", "[global\nmon_host") }, fault.Invalid, "cannot be read"},
		"unknown user": {func(c *Config) { c.User = "nobody" }, fault.Invalid, "client.nobody"},
		"wrong key":    {func(c *Config) { c.ConfFile = write(t, "c", strings.Join(lines, "")) }, fault.Invalid, "client.volumed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config(env, "volumes")
			cfg.ConnectRetries = 3
			cfg.ConnectInterval = time.Hour // nothing that cannot mend itself is tried again
			tc.change(&cfg)
			_, err := Open(t.Context(), cfg, hclog.NewNullLogger())
			wantKind(t, tc.kind, err)
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v does not say %q", err, tc.says)
			}
		})
	}
}

// nowhere is a cluster whose monitor does not answer.
func nowhere(t testing.TB) Config {
	keys := write(t, "keyring", "[client.volumed]\n\tkey = AQAAAAAAAAAAABAAMDEyMzQ1Njc4OWFiY2RlZg==\n")
	conf := fmt.Sprintf("[global]\nmon_host = v1:127.0.0.1:%d\nkeyring = %s\n", testenv.FreePort(t), keys)
	return Config{ConfFile: write(t, "ceph.conf", conf), User: "volumed", Pool: "volumes", ConnectTimeout: time.Second}
}

func TestOpenWithoutMonitorIsTriedAgain(t *testing.T) {
	cfg := nowhere(t)
	cfg.ConnectRetries, cfg.ConnectInterval = 2, 10*time.Millisecond
	retries := make(chan struct{}, 9)
	log := listen(func(message string) {
		if strings.Contains(message, "trying again") {
			retries <- struct{}{}
		}
	})
	_, err := Open(t.Context(), cfg, log)
	wantKind(t, fault.Unavailable, err)
	if !strings.Contains(err.Error(), "no monitor answers") || len(retries) != 1 {
		t.Errorf("%d retries: %v", len(retries), err)
	}
}

// listen returns a logger that calls hear with every message.
func listen(hear func(message string)) hclog.Logger {
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard})
	log.RegisterSink(&sink{hear})
	return log
}

type sink struct{ hear func(message string) }

func (s *sink) Accept(_ string, _ hclog.Level, message string, _ ...any) { s.hear(message) }

func TestOpenReturnsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan struct{})
	log := listen(func(message string) {
		if strings.Contains(message, "left behind has ended") {
			close(ended)
		}
	})
	timely(t, 700*time.Millisecond, func() {
		_, err := Open(ctx, nowhere(t), log)
		wantKind(t, fault.Unavailable, err)
		if !strings.Contains(err.Error(), "left behind") {
			t.Errorf("%v does not tell of the attempt left behind", err)
		}
	})
	<-ended
}

// unnoticed is a ctx that has ended and does not say so when it is asked.
type unnoticed struct{ context.Context }

func (unnoticed) Err() error { return nil }

// An attempt that was left behind and connects all the same looks around, as every one
// does, and shuts its connections after that: librados aborts a process that uses them.
func TestOpenLeftBehindIsClosed(t *testing.T) {
	cfg := config(testenv.Ceph(t), "volumes")
	cfg.ConnectTimeout = 10 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		ended := make(chan struct{})
		log := listen(func(message string) {
			if strings.Contains(message, "left behind has ended") {
				close(ended)
			}
		})
		if d, _ := openOnce(unnoticed{ctx}, cfg, log); d != nil {
			t.Fatal("the attempt was not left behind")
		}
		<-ended
	}
}

func TestBlocklistedClientIsUnavailable(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	wantKind(t, "", d.Ping(t.Context()))
	for _, addr := range d.Addrs() {
		env.Ceph(t, "osd", "blocklist", "add", addr, "600")
		t.Cleanup(func() { env.Ceph(t, "osd", "blocklist", "clear") })
		err := d.Ping(t.Context())
		for fault.KindOf(err) == "" { // until the OSD has the map
			err = d.Ping(t.Context())
		}
		wantKind(t, fault.Unavailable, err)
		if !strings.Contains(err.Error(), "blocklisted") {
			t.Errorf("%v does not say why", err)
		}
	}
	_, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1})
	wantKind(t, fault.Unavailable, err)
	_, err = d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, fault.Unavailable, err)
	again := openDriver(t, d.cfg) // a new connection is not blocklisted
	wantKind(t, "", remove(t, again, v))
}
