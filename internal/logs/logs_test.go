package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func open(t testing.TB, cfg Config) (*Log, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	l, err := Open(cfg, &out)
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

// Loggers have the level of their name, with the role or without, or of the longest
// beginning of it; a level set at run time counts for all of them, until it is taken
// back.
func TestLevels(t *testing.T) {
	l, out := open(t, Config{Level: hclog.Info, Levels: []string{"rpc=DEBUG", "rpc.nats=WARNING", "worker.driver=CRITICAL"}})
	worker := l.Logger("worker")
	loggers := map[string]hclog.Logger{
		"worker": worker, "rpc": worker.Named("rpc"), "client": worker.Named("rpc").Named("client").With("a", 1),
		"nats": worker.Named("rpc").Named("nats"), "driver": worker.Named("driver"), "rpcx": worker.Named("rpcx"),
	}
	check := func(want map[string]string) {
		t.Helper()
		for name, log := range loggers {
			out.Reset()
			for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
				log.Log(level, "x")
			}
			got := strings.Count(out.String(), "\n")
			if least := hclog.Error - hclog.LevelFromString(want[name]) + 1; got != int(least) {
				t.Errorf("%s wrote %d lines, want those from %s:\n%s", name, got, want[name], out)
			}
			if log.IsDebug() != (want[name] == "debug") || log.GetLevel().String() != want[name] {
				t.Errorf("%s says that its level is %v", name, log.GetLevel())
			}
		}
	}
	configured := map[string]string{"worker": "info", "rpc": "debug", "client": "debug", "nats": "warn", "driver": "error", "rpcx": "info"}
	check(configured)
	defer func() {
		if err := l.Configure(hclog.Warn, []string{"rpc=ERROR"}); err != nil || l.Level() != "warn" {
			t.Errorf("configured anew: %v, %s", err, l.Level())
		}
		if log := l.Logger("worker").Named("rpc"); log.GetLevel() != hclog.Error {
			t.Errorf("the level of a name is %s", log.GetLevel())
		}
		if err := l.Configure(hclog.Debug, []string{"rpc=LOUD"}); err == nil || l.Level() != "warn" {
			t.Errorf("configured with no level: %v, %s", err, l.Level())
		}
	}()
	if level, err := l.SetLevel("Debug"); err != nil || level != "debug" {
		t.Errorf("set to %s, %v", level, err)
	}
	check(map[string]string{"worker": "debug", "rpc": "debug", "client": "debug", "nats": "debug", "driver": "debug", "rpcx": "debug"})
	if level, err := l.SetLevel(""); err != nil || level != "info" {
		t.Errorf("set to %s, %v", level, err)
	}
	check(configured)
	if _, err := l.SetLevel("loud"); err == nil || !strings.Contains(err.Error(), "debug") {
		t.Errorf("level loud: %v", err)
	}
}

// An event is one line, whatever its values hold.
func TestOneLine(t *testing.T) {
	err := errors.Join(errors.New("first"), errors.New("second"))
	for _, asJSON := range []bool{false, true} {
		l, out := open(t, Config{Level: hclog.Info, JSON: asJSON})
		l.Logger("worker", "pid", 7).With("more", "a\nb").Error("panic", "stack", "x\n\ty", "error", err, "took", 1500*time.Millisecond)
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, out)
		}
		if !asJSON {
			if !strings.Contains(out.String(), `error="first\nsecond"`) || !strings.Contains(out.String(), "took=1.5s") {
				t.Error(out)
			}
			continue
		}
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["error"] != "first\nsecond" || line["took"] != "1.5s" || line["pid"] != 7.0 {
			t.Errorf("%v: %v", err, line)
		}
	}
}

type secretive struct{ text string }

func (s secretive) String() string { return s.text }

// No value is written with a secret in it, whatever its type, nor kept for a report
// with it.
func TestSecretsAreMasked(t *testing.T) {
	const secret = "geheim"
	l, out := open(t, Config{Level: hclog.Info, Mask: func(s string) string { return strings.ReplaceAll(s, secret, "***") }})
	log := l.Logger("worker", "url", secret).With("more", errors.New(secret))
	for _, v := range []any{
		secret, errors.New(secret), fmt.Errorf("x: %w", errors.New(secret)),
		secretive{secret},
		[]string{"a", secret},
		map[string]string{"password": secret},
		struct{ A string }{secret},
		[]error{errors.New(secret)},
		hclog.Quote(secret),
	} {
		log.Info("a", "v", v)
		log.Debug("b", "v", v)
	}
	text := out.String() + strings.Join(l.Recent().Debug, "\n")
	if strings.Contains(text, secret) || strings.Count(text, "***") < 3*27 {
		t.Errorf("%d times masked:\n%s", strings.Count(text, "***"), text)
	}
}

// What is below the level is kept too, as it was when it was logged; a flood of
// small things leaves what matters.
func TestRecent(t *testing.T) {
	l, out := open(t, Config{Level: hclog.Error})
	log := l.Logger("worker", "pid", 7).Named("rpc")
	log.Warn("first warning")
	log.Info("first info")
	list := []any{"before"}
	log.Debug("first debug", "list", list)
	list[0] = "after"
	if got := l.Recent(); len(got.Debug) != 3 || len(got.Info) != 2 || len(got.Warn) != 1 {
		t.Fatalf("kept %+v", got)
	}
	if got := l.Recent().Debug[2]; !strings.Contains(got, "[DEBUG] worker.rpc: first debug: pid=7 list=[before]") {
		t.Errorf("kept %q", got)
	}
	for i := range 2 * keptDebug {
		log.Debug("flood", "i", i)
	}
	got := l.Recent()
	if len(got.Debug) != keptDebug || len(got.Info) != 2 || len(got.Warn) != 1 {
		t.Fatalf("kept %d, %d, %d lines", len(got.Debug), len(got.Info), len(got.Warn))
	}
	if first, last := got.Debug[0], got.Debug[keptDebug-1]; !strings.HasSuffix(first, "i=1000") || !strings.HasSuffix(last, "i=1999") {
		t.Errorf("kept from %q to %q", first, last)
	}
	if out.Len() > 0 {
		t.Errorf("written: %s", out)
	}
}

// BenchmarkSuppressed is what a line costs that is not written: less than a
// microsecond, so that nobody has to think before writing one.
func BenchmarkSuppressed(b *testing.B) {
	l, err := Open(Config{Level: hclog.Info}, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	log := l.Logger("worker", "backend", "rbd0", "pid", 7).Named("driver")
	took := 1234 * time.Microsecond
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			log.Debug("driver call", "method", "CreateVolume", "object", "volume-1", "took", took, "kind", "")
		}
	})
}
