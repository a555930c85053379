package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/internal/logs"
)

// newLogger opens the log of a role, once in the life of a process, and returns its
// logger. Every line carries the pid, and the backend where there is one.
func (a *app) newLogger(cfg *config.Config, role string, pairs ...any) (hclog.Logger, error) {
	var err error
	a.logs, err = logs.Open(logs.Config{
		Path: cfg.Default.LogFile, JSON: cfg.Default.UseJSON, Level: level(cfg), Levels: cfg.Default.DefaultLogLevels, Mask: config.Mask,
	}, os.Stderr)
	if err != nil {
		return nil, err
	}
	log := a.logs.Logger(role, append(pairs, "pid", os.Getpid())...)
	if cfg.Default.LogOptions && !a.parent.Supervised() { // else the parent has done it
		logOptions(log, cfg)
	}
	return log, nil
}

// logOptions logs every option, if anybody wants to read that.
func logOptions(log hclog.Logger, cfg *config.Config) {
	if !log.IsDebug() {
		return
	}
	for _, s := range cfg.Effective() {
		log.Debug("option", "section", s.Section, "option", s.Option, "value", s.Value, "origin", s.Origin)
	}
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
