package rpc

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Headers of a request. Names are case-sensitive, as NATS has it.
const (
	// HeaderRequestID names the request within its project. The same id with the
	// same body is the same request, however often it comes. A request without
	// one gets an id of its own and cannot be repeated safely.
	HeaderRequestID = "Volumed-Request-Id"
	// HeaderProject and HeaderUser say for whom the request is made.
	HeaderProject = "Volumed-Project"
	HeaderUser    = "Volumed-User"
	// HeaderWait is how long the answer may wait for the end of the operation, as
	// a Go duration from 0s to 24h. Absent means 0s: answer once accepted.
	HeaderWait = "Volumed-Wait"
	// HeaderDeadline is the time (RFC 3339) after which the request is pointless.
	// A request that arrives later is refused.
	HeaderDeadline = "Volumed-Deadline"
	// HeaderTraceParent is W3C's trace context, in lower case.
	HeaderTraceParent = "traceparent"
)

// Limits of headers.
const (
	// MaxWait is the longest wait that a request may ask for.
	MaxWait = 24 * time.Hour
	// maxIdentity is the length in bytes of an id, project, user or trace.
	maxIdentity = 255
)

// identities are the headers that are taken as they are.
var identities = []string{HeaderRequestID, HeaderProject, HeaderUser, HeaderTraceParent}

// Call is what a request says beside its body.
type Call struct {
	Method string
	// RequestID is never empty in a handler.
	RequestID   string
	ProjectID   string
	UserID      string
	Wait        time.Duration // 0 to MaxWait
	Deadline    time.Time     // zero for none; the handler's context ends then, too
	TraceParent string
	// Stopping is closed when the server begins to stop. A handler that only
	// waits should then answer with what it has.
	Stopping <-chan struct{}
}

type callKey struct{}

// CallFrom returns the call that ctx belongs to; the zero Call outside a handler.
func CallFrom(ctx context.Context) Call {
	call, _ := ctx.Value(callKey{}).(Call)
	return call
}

// WithCall returns a context in which CallFrom finds the call, for tests of
// handlers and for work that a handler starts.
func WithCall(ctx context.Context, call Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// parseCall reads the headers of a request that arrived at the time now.
func parseCall(h nats.Header, now time.Time) (Call, error) {
	c := Call{
		RequestID: h.Get(HeaderRequestID), ProjectID: h.Get(HeaderProject),
		UserID: h.Get(HeaderUser), TraceParent: h.Get(HeaderTraceParent),
	}
	for _, name := range identities {
		if !printable(h.Get(name)) {
			return Call{}, badHeader(name, "must be at most %d printable ASCII characters", maxIdentity)
		}
	}
	if c.ProjectID == volume.CacheProject {
		return Call{}, badHeader(HeaderProject, "must not be %s, which is the service's own", c.ProjectID)
	}
	if c.RequestID == "" {
		c.RequestID = uuid.NewString()
	}
	if err := c.parseTimes(h, now); err != nil {
		// The ids stay, so that the refusal can be logged under them.
		return c, err
	}
	return c, nil
}

func (c *Call) parseTimes(h nats.Header, now time.Time) (err error) {
	if v := h.Get(HeaderWait); v != "" {
		c.Wait, err = time.ParseDuration(v)
		if err != nil || c.Wait < 0 || c.Wait > MaxWait {
			return badHeader(HeaderWait, "must be a duration from 0s to 24h, such as 30s")
		}
	}
	if v := h.Get(HeaderDeadline); v != "" {
		c.Deadline, err = time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return badHeader(HeaderDeadline, "must be a time in RFC 3339, such as 2026-01-02T15:04:05Z")
		}
		if late := now.Sub(c.Deadline); late >= 0 {
			return badHeader(HeaderDeadline, "passed %s before the request arrived; nothing was done", late.Round(time.Millisecond))
		}
	}
	return nil
}

// header returns the headers that say what c says.
func (c Call) header() nats.Header {
	h := nats.Header{}
	for i, value := range []string{c.RequestID, c.ProjectID, c.UserID, c.TraceParent} {
		if value != "" {
			h.Set(identities[i], value)
		}
	}
	if c.Wait > 0 {
		h.Set(HeaderWait, c.Wait.String())
	}
	if !c.Deadline.IsZero() {
		h.Set(HeaderDeadline, c.Deadline.UTC().Format(time.RFC3339Nano))
	}
	return h
}

func badHeader(name, format string, args ...any) error {
	return fault.New(fault.Invalid, name+" "+format, args...).WithField(name)
}

func printable(s string) bool {
	if len(s) > maxIdentity {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
