package rpc

import "errors"

// ErrNoAnswer is found by errors.Is in every error of a call or of a connection
// that says that no answer came, as opposed to an answer that is an error: the
// NATS server is away, nobody answers for the service, or the ctx ended first.
var ErrNoAnswer = errors.New("no answer")

// noAnswer marks an error as ErrNoAnswer and leaves its text and kind alone.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

func (noAnswer) Is(target error) bool { return target == ErrNoAnswer }
