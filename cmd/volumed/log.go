package main

import (
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
)

// newLogger returns the logger of a role. Every line carries the pid, and the
// backend where there is one.
func newLogger(cfg *config.Config, name string, pairs ...any) (hclog.Logger, error) {
	var out io.Writer = os.Stderr
	if path := cfg.Default.LogFile; path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fault.New(fault.Invalid, "log_file: %w", err)
		}
		out = f
	}
	log := hclog.New(&hclog.LoggerOptions{
		Name: name, Level: level(cfg), Output: out, JSONFormat: cfg.Default.UseJSON, TimeFormat: "2006-01-02 15:04:05.000",
	})
	return log.With(append(pairs, "pid", os.Getpid())...), nil
}

func level(cfg *config.Config) hclog.Level {
	if cfg.Default.Debug {
		return hclog.Debug
	}
	return hclog.Info
}

// warn logs what the configuration could say better.
func warn(log hclog.Logger, problems []config.Problem) {
	for _, p := range problems {
		log.Warn(fmt.Sprintf("configuration: %v", p))
	}
}
