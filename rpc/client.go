package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Options of a client. The zero value works.
type Options struct {
	Project, User string
	// Timeout is how long an answer may take beyond the wait that was asked for,
	// until the request is sent again; 10 s.
	Timeout time.Duration
}

// CallOptions are the terms of one request. The zero value answers once accepted.
type CallOptions struct {
	// RequestID makes it possible to repeat the request in another call or
	// process; a generated one when empty.
	RequestID string
	// Wait is how long the answer may wait for the end of the operation.
	Wait time.Duration
	// Deadline is when the request becomes pointless; zero for never.
	Deadline    time.Time
	TraceParent string
}

// Client calls the methods of services. Its methods block until there is an
// answer or ctx ends. An answer that gets lost, by a timeout or with the
// connection, is asked for again under the same request id, so a ctx without a
// deadline waits as long as it takes. Errors are faults: fault.KindOf tells what
// to do, and OperationOf has the operation when the service sent one. Where
// nobody answers for the service the error is fault.Unavailable at once, or, after
// a loss of the connection, in three seconds. A
// Client may be used by many goroutines.
type Client struct {
	conn *Conn
	opts Options
}

// NewClient returns a client on the connection, which stays the caller's.
func NewClient(conn *Conn, opts Options) *Client {
	opts.Timeout = or(opts.Timeout, 10*time.Second)
	return &Client{conn: conn, opts: opts}
}

const (
	// pause is the least time between two attempts.
	pause = 50 * time.Millisecond
	// reask is the pause after a service that did not wait as long as it was
	// asked to: it stops, and its successor will know more.
	reask = time.Second
	// waitSlice is the longest wait of one attempt. A longer one is made of
	// several, so that an answer which died with its worker is missed for seconds
	// only.
	waitSlice = 5 * time.Second
	// settle is how long after a loss of the connection "nobody answers" is not
	// believed: the services lost theirs too, and come back when they do.
	settle = 3 * time.Second
)

// invocation is one call of a client, whatever the number of attempts.
type invocation struct {
	*Client
	service string // "" for any worker
	method  string
	call    Call
	body    []byte
	end     time.Time // of the wait
}

// invoke calls a method of a service, or of any worker when service is empty.
func invoke[Resp any](ctx context.Context, c *Client, service, method string, req any, o CallOptions) (Resp, error) {
	var resp Resp
	body, err := json.Marshal(req)
	if err != nil {
		return resp, fault.New(fault.Invalid, "encode the request: %w", err)
	}
	i := invocation{Client: c, service: service, method: method, body: body, end: time.Now().Add(o.Wait), call: Call{
		RequestID: o.RequestID, ProjectID: c.opts.Project, UserID: c.opts.User,
		Wait: o.Wait, Deadline: o.Deadline, TraceParent: o.TraceParent,
	}}
	if i.call.RequestID == "" {
		i.call.RequestID = uuid.NewString()
	}
	return await[Resp](ctx, &i)
}

// await asks until the operation has ended or the wait is over. What was once
// accepted is not reported as unavailable after that: the answer then is the
// operation as it was last known.
func await[Resp any](ctx context.Context, i *invocation) (last Resp, err error) {
	for accepted := false; ; {
		asked := time.Now()
		reply, err := i.do(ctx)
		next := pause
		if err == nil && time.Since(asked) < i.call.Wait {
			next = reask
		}
		switch {
		case err != nil && (!accepted || !errors.Is(err, fault.Unavailable)):
			return last, err
		case err == nil:
			var answer Resp
			if err := json.Unmarshal(reply.Data, &answer); err != nil {
				return last, fault.New(fault.Internal, "the answer of %s to %s is not understood: %w", i.whom(), i.method, err)
			}
			p, ok := any(answer).(interface{ pending() bool })
			last, accepted = answer, ok && p.pending()
		}
		if !accepted || time.Now().Add(next).After(i.end) || ctx.Err() != nil {
			return last, nil
		}
		select {
		case <-time.After(next):
		case <-ctx.Done():
		}
	}
}

// unfinished reports whether waiting longer may change the answer.
func unfinished(op *volume.Operation) bool { return op != nil && !op.Status.Terminal() }

func (r VolumeReply) pending() bool    { return unfinished(r.Operation) }
func (r SnapshotReply) pending() bool  { return unfinished(r.Operation) }
func (r TypeReply) pending() bool      { return unfinished(r.Operation) }
func (r OperationReply) pending() bool { return unfinished(&r.Operation) }

// do repeats the request until it is answered.
func (i *invocation) do(ctx context.Context) (*nats.Msg, error) {
	var lost time.Time // when the connection was seen to be away
	for sent := false; ; sent = true {
		if !i.conn.Connected() {
			if err := i.conn.WaitConnected(ctx); err != nil {
				return nil, i.unanswered(ctx, err)
			}
			lost = time.Now()
		}
		reply, err := i.attempt(ctx)
		switch {
		case err == nil:
			return reply, decodeError(reply)
		case errors.Is(err, nats.ErrNoResponders):
			if time.Since(lost) > settle && !i.conn.link.settling() {
				return nil, i.nobody(sent)
			}
		case errors.Is(err, nats.ErrMaxPayload):
			return nil, fault.New(fault.Invalid, "the request has %d bytes, more than the server takes", len(i.body))
		case ctx.Err() != nil:
			return nil, i.unanswered(ctx, ctx.Err())
		case !errors.Is(err, context.DeadlineExceeded):
			lost = time.Now()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// attempt sends the request once. It ends early when the connection is lost,
// because the answer is then lost, too.
func (i *invocation) attempt(ctx context.Context) (*nats.Msg, error) {
	i.call.Wait = min(max(0, time.Until(i.end)), waitSlice).Truncate(time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, i.call.Wait+i.opts.Timeout)
	defer cancel()
	defer i.conn.link.onLoss(cancel)()
	return i.conn.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: i.subject(), Header: i.call.header(), Data: i.body})
}

func (i *invocation) subject() string {
	if i.service == "" {
		return AnySubject(i.method)
	}
	return ServiceSubject(i.service, i.method)
}

func (i *invocation) whom() string {
	if i.service == "" {
		return "any worker"
	}
	return i.service
}

// nobody is the error of a request that had nobody to go to. Where an earlier
// attempt may have arrived, the caller is told how to find out.
func (i *invocation) nobody(sent bool) error {
	switch {
	case i.service == "":
		return noAnswer{fault.New(fault.Unavailable, "nobody answers %s: no worker is running", i.method).
			WithHint("start volumed, or check that --nats names the bus that it uses")}
	case sent && i.operates():
		return noAnswer{fault.New(fault.Unavailable, "nobody answers for %s any more", i.service).
			WithHint("the request may have been carried out: once the worker is back, send it again with request id %s to find out", i.call.RequestID)}
	default:
		return noAnswer{fault.New(fault.Unavailable, "nobody answers for %s", i.service).
			WithHint("is its worker running? see volumectl service list")}
	}
}

// operates reports whether the request may start something that lasts.
func (i *invocation) operates() bool {
	m, ok := methodNamed(i.method)
	return ok && m.Operates
}

// unanswered is the error of a request whose ctx ended without an answer.
func (i *invocation) unanswered(ctx context.Context, cause error) error {
	kind := fault.Unavailable
	if errors.Is(ctx.Err(), context.Canceled) {
		kind = fault.Cancelled
	}
	err := fault.New(kind, "no answer from %s to %s: %w", i.whom(), i.method, cause)
	if i.operates() {
		err = err.WithHint("it may have been carried out all the same: send it again with request id %s to find out", i.call.RequestID)
	}
	return noAnswer{err}
}
