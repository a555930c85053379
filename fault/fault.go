// Package fault classifies errors by what a caller can do about them.
//
// There are eleven kinds. Each is itself an error, so that a caller decides with
// errors.Is(err, fault.NotFound), and each has the wire code under which it
// travels. An error gets its kind once, where foreign code is called (librbd,
// SQL, NATS); above that line it is only wrapped, or passed on as it is.
//
// What is lost when an error crosses the wire: the wrapped chain. What stays:
// the kind, the message and the details a caller can act on.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Error is an error with a kind and the details that a caller, human or
// program, needs to act on it. The zero details mean "nothing to add".
type Error struct {
	// Kind says what the caller can do. It is what Unwrap returns first.
	Kind Kind
	// Message is one lower-case sentence for a person: operation, object, cause.
	Message string
	// Field names the request field or option at fault, if it is one.
	Field string
	// BlockedBy names what stands in the way: watchers, children, operations.
	BlockedBy []string
	// Hint is the next thing to do, as a sentence.
	Hint string
	// RetryAfter is the least useful wait before the same request is sent
	// again; 0 means that no wait is known.
	RetryAfter time.Duration

	cause error
}

// New returns an error of the kind with a message formatted as by fmt.Errorf.
// An operand of %w becomes the cause and stays visible to errors.Is and As.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the kind and the cause, so that errors.Is finds both.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// WithField returns e with the name of the field at fault.
func (e *Error) WithField(name string) *Error { e.Field = name; return e }

// WithHint returns e with a sentence on what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithBlockers returns e with the names of what stands in the way.
func (e *Error) WithBlockers(names ...string) *Error { e.BlockedBy = names; return e }

// WithRetryAfter returns e with the least useful wait before a retry.
func (e *Error) WithRetryAfter(d time.Duration) *Error { e.RetryAfter = d; return e }

// KindOf returns the kind of err: its own when it carries one, Cancelled for
// context.Canceled, Unavailable for context.DeadlineExceeded, and Internal for
// everything unclassified. The kind of nil is the empty string.
func KindOf(err error) Kind {
	var kind Kind
	switch {
	case err == nil:
		return ""
	case errors.As(err, &kind):
		return kind
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	default:
		return Internal
	}
}

// Of returns err as an *Error: itself or the one it wraps, with the message of
// the whole chain, so that nothing a wrapper added is lost. It returns nil for
// nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	e := Error{Kind: KindOf(err)}
	var inner *Error
	if errors.As(err, &inner) {
		e = *inner
	}
	e.Message, e.cause = err.Error(), err
	return &e
}

// Wrap puts a formatted prefix before the error that err points to, if there is
// one. It is made for one deferred call at the top of an exported function:
//
//	defer fault.Wrap(&err, "clone %s to %s", src, dst)
func Wrap(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *err)
	}
}
