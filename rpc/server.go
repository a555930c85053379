package rpc

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/fault"
)

// ServiceName is the name under which NATS's micro protocol knows every worker.
const ServiceName = "volumed"

// Config describes a server. The zero value of a number means its default.
type Config struct {
	// Service is the host@backend whose requests are answered. When it is empty
	// only the methods of scope Any are.
	Service string
	// Version is a semantic version, shown by nats micro info; 0.0.0.
	Version string
	// Metadata is shown by nats micro info: host, backend, database id.
	Metadata map[string]string
	// Concurrency is how many requests that start or await an operation are
	// handled at once; 4096. Most of them do nothing but wait.
	Concurrency int
	// ControlConcurrency is the same for all other requests; 1024.
	ControlConcurrency int
	// PendingMessages and PendingBytes bound what waits in memory for one method
	// before its handler sees it; beyond it messages are dropped, and logged.
	// 65536 and 64 MiB.
	PendingMessages, PendingBytes int
	// Open, if it is not nil, is closed when requests of methods that are Held may be
	// handled: those that come before wait. Until then they are refused only by Stop,
	// or when their deadline is over.
	Open <-chan struct{}
}

// Server answers requests. Register with Handle, then Start, then Stop.
type Server struct {
	conn *Conn
	cfg  Config
	log  hclog.Logger

	operations, control slots
	endpoints           []*endpoint
	service             micro.Service
	unknown             []*nats.Subscription

	stopped  atomic.Bool
	stopping chan struct{} // closed when Stop begins
	base     context.Context
	abort    context.CancelFunc
	requests *inflight
}

// NewServer returns a server on the connection, which stays the caller's.
func NewServer(conn *Conn, cfg Config, log hclog.Logger) *Server {
	base, abort := context.WithCancel(context.Background())
	cfg.Version = or(cfg.Version, "0.0.0")
	cfg.PendingMessages = or(cfg.PendingMessages, 65536)
	cfg.PendingBytes = or(cfg.PendingBytes, 64<<20)
	return &Server{
		conn: conn, cfg: cfg, log: log.Named("rpc"),
		operations: make(slots, or(cfg.Concurrency, 4096)),
		control:    make(slots, or(cfg.ControlConcurrency, 1024)),
		stopping:   make(chan struct{}), base: base, abort: abort,
		requests: newInflight(),
	}
}

// Handle registers fn for a method of the table. fn runs on a goroutine of its
// own, with a context that ends at the request's deadline, and finds the rest
// of the request by CallFrom. It returns a reply, or an error whose fault goes
// to the caller; wrap it by WithOperation to send an operation along. A panic in
// fn becomes fault.Internal. Handle panics when the scope or a type is not
// that of the table, or the method is there already: a mistake in the program.
func Handle[Req, Resp any](s *Server, scope Scope, method string, fn func(context.Context, Req) (Resp, error)) {
	m, ok := methodNamed(method)
	want := direct[Req, Resp](scope, method, "")
	if !ok || m.Scope != want.Scope || m.Request != want.Request || m.Reply != want.Reply {
		panic(fmt.Sprintf("rpc: %s method %s of %v to %v is not in the table of methods", scope, method, want.Request, want.Reply))
	}
	s.add(m, func(ctx context.Context, f fields, body []byte) (any, error) {
		var req Req
		if err := f.decode(body, &req); err != nil {
			return nil, err
		}
		return fn(ctx, req)
	})
}

func (s *Server) add(m Method, run runner) {
	for _, e := range s.endpoints {
		if e.Name == m.Name {
			panic("rpc: method " + m.Name + " is handled twice")
		}
	}
	e := &endpoint{Method: m, fields: fieldsOf(m.Request), run: run, slots: s.control}
	if m.Operates {
		e.slots = s.operations
	}
	s.endpoints = append(s.endpoints, e)
}

// Start subscribes and returns once the server has confirmed it, waiting for
// the connection as long as ctx allows. A subscription that the server's
// permissions forbid is an error that names the subject. Start once; after an
// error nothing is subscribed.
func (s *Server) Start(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "start to answer requests for %q", s.cfg.Service)
	if err := s.conn.WaitConnected(ctx); err != nil {
		return err
	}
	before := s.conn.nc.LastError()
	err = s.subscribe()
	if err == nil {
		err = s.conn.confirm(ctx, before)
	}
	if err != nil {
		s.unsubscribe()
	}
	return err
}

func (s *Server) subscribe() (err error) {
	s.service, err = micro.AddService(s.conn.nc, micro.Config{
		Name: ServiceName, Version: s.cfg.Version, Metadata: s.cfg.Metadata,
		Description:  "volumes on Ceph RBD",
		StatsHandler: func(e *micro.Endpoint) any { return s.stats(e.Subject) },
	})
	if err != nil {
		return fault.New(fault.Invalid, "%w", err)
	}
	groups := map[string]string{}
	for _, e := range s.endpoints {
		tree, group := s.address(e.Scope)
		groups[tree] = group
		e.subject = tree + e.Name
		err := s.service.AddEndpoint(e.Name, micro.HandlerFunc(func(r micro.Request) { s.receive(e, r) }),
			micro.WithEndpointSubject(e.subject), micro.WithEndpointQueueGroup(group),
			micro.WithEndpointPendingLimits(s.cfg.PendingMessages, s.cfg.PendingBytes),
			micro.WithEndpointMetadata(metadata(e.Method)))
		if err != nil {
			return fault.New(fault.Unavailable, "subscribe to %s: %w", e.subject, err)
		}
	}
	return s.subscribeUnknown(groups)
}

// address returns the beginning of the subjects of a scope, and the queue group.
func (s *Server) address(of Scope) (tree, group string) {
	if of == Any {
		return AnySubject(""), "any"
	}
	return ServiceSubject(s.cfg.Service, ""), Token(s.cfg.Service)
}

// subscribeUnknown listens to everything below the server's subjects, to refuse
// methods that do not exist by name: without it a misspelt method looks like a
// service that is down. The queue group must be another one, or requests for
// known methods would be dealt to it.
func (s *Server) subscribeUnknown(groups map[string]string) error {
	for tree, group := range groups {
		sub, err := s.conn.nc.QueueSubscribe(tree+">", group+"!", func(m *nats.Msg) { s.refuseUnknown(tree, m) })
		if err != nil {
			return fault.New(fault.Unavailable, "subscribe to %s>: %w", tree, err)
		}
		s.unknown = append(s.unknown, sub)
	}
	return nil
}

func (s *Server) unsubscribe() {
	for _, sub := range s.unknown {
		_ = sub.Unsubscribe() // the connection is gone: so is the subscription
	}
	if s.service != nil {
		if err := s.service.Stop(); err != nil {
			s.log.Warn("stop of the micro service", "error", err)
		}
	}
}

// Stop ends the subscriptions, lets every request that was received be
// answered, and returns when the answers are on their way. Handlers that only
// wait see Call.Stopping. When ctx ends first, the contexts of the handlers
// that are left are cancelled and the error says how many they were. Requests
// that are still in memory then are refused with fault.Unavailable. A second
// Stop does nothing.
func (s *Server) Stop(ctx context.Context) error {
	if !s.stopped.CompareAndSwap(false, true) {
		return nil
	}
	defer s.abort()
	close(s.stopping)
	s.unsubscribe()
	// What the server sent before it read our UNSUB is here after a flush. Without a
	// server there is nothing to wait for: neither a request nor an answer gets through.
	_ = s.conn.flushWhileConnected(ctx)
	if left := s.requests.wait(ctx); left > 0 {
		return fault.New(fault.Unavailable, "%d requests were not answered in time", left)
	}
	_ = s.conn.flushWhileConnected(ctx) // those who get no answer will ask again
	return nil
}
