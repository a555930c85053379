package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// Nothing that fails on the way to a database or a bus puts its password into the log,
// however the address is wrong.
func TestNoSecretInTheLog(t *testing.T) {
	const secret = "geheim"
	cfg := &config.Config{}
	cfg.Default.LogFile, cfg.Default.Debug = filepath.Join(t.TempDir(), "log"), true
	a := &app{parent: &lifeline.Parent{}}
	log, err := a.newLogger(cfg, "test", "seed", "nats://u:geheim@h")
	if err != nil {
		t.Fatal(err)
	}
	defer a.logs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	failed := 0
	for _, address := range []string{"u:geheim@127.0.0.1:1", "u:geheim@127.0.0.1:x", "u:geh/eheim@127.0.0.1:1", "u:geheim@%zz", "u:%zzgeheim@h:1", ":geheim@127.0.0.1:1"} {
		if db, err := store.Open(ctx, "postgresql://"+address+"/d?connect_timeout=1", store.Options{}); err != nil {
			log.Error("no database", "error", err, "wrapped", fmt.Errorf("open: %w", err))
			failed++
		} else {
			_ = db.Close()
		}
		conn, err := rpc.Connect(ctx, rpc.ConnConfig{URL: "nats://" + address, FailFast: true}, log)
		if err == nil {
			conn.Close()
			continue
		}
		log.Error("no bus", "errors", errors.Join(err, err))
		failed++
	}
	if failed < 8 {
		t.Errorf("only %d addresses were refused", failed)
	}
	text, err := os.ReadFile(cfg.Default.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text)+strings.Join(a.logs.Recent().Debug, "\n"), "\n") {
		if strings.Contains(line, secret) {
			t.Errorf("in the log: %s", line)
		}
	}
}

// All options are logged at the start of a process that nobody has started, at the
// level debug, if that is not switched off.
func TestLogOptions(t *testing.T) {
	for _, tt := range []struct{ debug, options, want bool }{{true, true, true}, {true, false, false}, {false, true, false}} {
		cfg, _ := config.Parse(config.Sources{}) // no backends, but every option
		cfg.Default.LogFile, cfg.Default.Debug, cfg.Default.LogOptions = filepath.Join(t.TempDir(), "log"), tt.debug, tt.options
		a := &app{parent: &lifeline.Parent{}}
		if _, err := a.newLogger(cfg, "test"); err != nil {
			t.Fatal(err)
		}
		a.logs.Close()
		text, err := os.ReadFile(cfg.Default.LogFile)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "option: pid="); got != tt.want {
			t.Errorf("debug %v, log_options %v: logged %v", tt.debug, tt.options, got)
		}
	}
}
