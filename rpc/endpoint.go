package rpc

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
)

// runner decodes a body, runs the handler, and returns its reply.
type runner func(ctx context.Context, f fields, body []byte) (any, error)

// endpoint is one registered method.
type endpoint struct {
	Method
	subject string
	fields  fields
	run     runner
	slots   slots
	counters
}

// request is a received message, without the micro.Request it came in: that one
// is not safe to use outside of the callback.
type request struct {
	subject, reply string
	header         nats.Header
	body           []byte
	received       time.Time
}

func (r request) pending(method string) *Pending {
	return &Pending{Method: method, RequestID: clip(r.header.Get(HeaderRequestID)), Project: clip(r.header.Get(HeaderProject)), Received: r.received}
}

// receive runs on the goroutine of the subscription, so it never waits.
func (s *Server) receive(e *endpoint, r micro.Request) {
	req := request{r.Subject(), r.Reply(), nats.Header(r.Headers()), r.Data(), time.Now()}
	if !e.slots.take() {
		s.answer(e, req, Call{}, nil, fault.New(fault.Overloaded, "%s: %d requests are at work already", e.Name, cap(e.slots)).
			WithRetryAfter(time.Second))
		return
	}
	pending := req.pending(e.Name)
	if !s.requests.begin(pending) {
		e.slots.give()
		s.answer(e, req, Call{}, nil, fault.New(fault.Unavailable, "%s: the service is stopping", e.Name).WithRetryAfter(time.Second))
		return
	}
	go func() {
		defer s.requests.end(pending)
		defer e.slots.give()
		s.serve(e, req)
	}()
}

// serve handles one request from its headers to its answer.
func (s *Server) serve(e *endpoint, req request) {
	call, err := parseCall(req.header, req.received)
	call.Method, call.Stopping = e.Name, s.stopping
	var reply any
	if err == nil {
		ctx, cancel := s.contextOf(call)
		if err = s.opened(ctx, e); err == nil {
			reply, err = s.guard(ctx, e, req.body)
		}
		cancel()
	}
	e.pass("before")
	s.answer(e, req, call, reply, err)
	e.pass("after")
}

// opened waits until requests of the method may be handled.
func (s *Server) opened(ctx context.Context, e *endpoint) error {
	if s.cfg.Open == nil || !e.Held {
		return nil
	}
	select {
	case <-s.cfg.Open:
		return nil
	default:
	}
	select {
	case <-s.cfg.Open:
		return nil
	case <-s.stopping:
		return fault.New(fault.Unavailable, "the service is stopping").WithRetryAfter(time.Second)
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the service has not begun: %w", ctx.Err()).WithRetryAfter(time.Second)
	}
}

// pass passes a crash point, if the method changes anything.
func (e *endpoint) pass(when string) {
	if e.Operates {
		crashpoint.At(e.Name, "reply", when)
	}
}

func (s *Server) contextOf(call Call) (context.Context, context.CancelFunc) {
	ctx := WithCall(s.base, call)
	if call.Deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, call.Deadline)
}

// guard runs the handler and turns a panic into an error.
func (s *Server) guard(ctx context.Context, e *endpoint, body []byte) (reply any, err error) {
	defer func() {
		if p := recover(); p != nil {
			id := CallFrom(ctx).RequestID
			s.log.Error("handler panicked", "method", e.Name, "request_id", id, "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "%s: a defect of the service; its log tells more under request id %s", e.Name, id)
		}
	}()
	return e.run(ctx, e.fields, body)
}

// answer sends the reply or the error, and counts it.
func (s *Server) answer(e *endpoint, req request, call Call, reply any, err error) {
	out := &nats.Msg{Subject: req.reply}
	if err == nil {
		out.Data, err = json.Marshal(reply)
	}
	if most := s.conn.nc.MaxPayload(); err == nil && most > 0 && int64(len(out.Data)) > most {
		err = fault.New(fault.Invalid, "%s: the answer has %d bytes, more than the server carries", e.Name, len(out.Data)).
			WithField("limit").WithHint("ask for fewer entries at once")
	}
	e.count(err, time.Since(req.received))
	if err != nil {
		s.note(e.Name, call, err)
		out.Header, out.Data = encodeError(err)
	}
	s.send(out, "method", e.Name, "request_id", call.RequestID)
}

// send publishes an answer. That answers cannot be sent is logged, with the pairs of
// the first of them: their callers will ask again.
func (s *Server) send(msg *nats.Msg, pairs ...any) {
	if msg.Subject == "" {
		return // the caller wants no answer
	}
	if err := s.conn.publish(msg); err != nil {
		s.conn.told.Note(answerTrouble, hclog.Warn, "answer not sent", append(pairs, "error", err)...)
	}
}

// note logs an error at the level it deserves: what callers do wrong is theirs.
func (s *Server) note(method string, call Call, err error) {
	pairs := []any{"method", method, "request_id", call.RequestID, "project", call.ProjectID, "kind", fault.KindOf(err), "error", err}
	if fault.KindOf(err) == fault.Internal {
		s.log.Error("request failed", pairs...)
		return
	}
	s.log.Debug("request refused", pairs...)
}

// refuseUnknown answers requests for methods that nobody handles.
func (s *Server) refuseUnknown(tree string, m *nats.Msg) {
	name := m.Subject[len(tree):]
	var known []string
	for _, e := range s.endpoints {
		if e.subject == m.Subject {
			return
		}
		if e.subject == tree+e.Name {
			known = append(known, e.Name)
		}
	}
	err := fault.New(fault.Unsupported, "unknown method %q", clip(name))
	if near := nearest(name, known); near != "" {
		err = err.WithHint("did you mean %q?", near)
	}
	header, body := encodeError(err)
	s.send(&nats.Msg{Subject: m.Reply, Header: header, Data: body}, "method", clip(name))
}
