package main

import "context"

// logLevel asks for a level of the log, with nothing for the configured one, and
// tells which is in effect.
type logLevel struct {
	Level string `json:"level"`
}

// setLevel changes the level of this process.
func (a *app) setLevel(_ context.Context, l logLevel) (logLevel, error) {
	level, err := a.logs.SetLevel(l.Level)
	return logLevel{level}, err
}
