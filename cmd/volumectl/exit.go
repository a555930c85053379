package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitNobody  = 3
	exitRunning = 4
)

// exitError is an error with the exit code it asks for.
type exitError struct {
	code int
	error
}

func (e *exitError) Unwrap() error { return e.error }

// stillRunning is the error for an operation that outlasts the wait.
func stillRunning(op volume.Operation) error {
	err := fault.New(fault.Unavailable, "operation %s is still %s", op.ID, op.Status).
		WithHint("it goes on: volumectl operation wait %s", op.ID)
	if op.Reason != "" {
		err.Message += ": " + op.Reason
	}
	return &exitError{exitRunning, err}
}

// report prints what went wrong, if anything did, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	if !a.started {
		fmt.Fprintln(a.stderr, "volumectl:", escape(err.Error()))
		return exitUsage
	}
	code := exitCode(err)
	if a.format == "json" && code != exitRunning && !errors.Is(err, errDrift) && !errors.Is(err, errPartly) { // the state was printed then
		a.printError(err)
	}
	f := fault.Of(err)
	fmt.Fprintln(a.stderr, "volumectl:", escape(f.Message))
	if len(f.BlockedBy) > 0 {
		fmt.Fprintln(a.stderr, "  blocked by:", escape(strings.Join(f.BlockedBy, ", ")))
	}
	if f.Hint != "" {
		fmt.Fprintln(a.stderr, "  hint:", escape(f.Hint))
	}
	return code
}

// exitCode returns the code for an error of a verb.
func exitCode(err error) int {
	var own *exitError
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, rpc.ErrNoAnswer):
		return exitNobody
	default:
		return exitFailed
	}
}

// printError prints an error in the form that it has on the wire.
func (a *app) printError(err error) {
	reply := rpc.ErrorReply{Error: volume.NewOperationError(err)}
	if op, ok := rpc.OperationOf(err); ok {
		reply.Operation = &op
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	_ = enc.Encode(reply) // a closed stdout is nobody's answer
}
