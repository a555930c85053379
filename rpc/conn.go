package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/spell"
)

// ConnConfig says which NATS server to talk to, and how. The zero value of a
// field means its stated default, or "not used".
type ConnConfig struct {
	URL   string // one or several by commas; required
	Name  string // shown in the server's list of connections
	Creds string // file with a JWT and its seed
	NKey  string // file with an nkey seed

	TLSCA, TLSCert, TLSKey string // PEM files

	ReconnectWait   time.Duration // between attempts, after some that come sooner; 1 s
	ReconnectJitter time.Duration // at most added to it; 0.5 s
	PingInterval    time.Duration // 10 s
	PingMaxOut      int           // unanswered pings until the connection is given up; 2
	// InboxPrefix is where answers arrive; _INBOX. Where accounts are shared, a
	// prefix for each user keeps one from reading another's.
	InboxPrefix string
	// FailFast makes Connect fail when no server can be reached now. Without it
	// Connect returns at once and connects when it can.
	FailFast bool
}

// Conn is a connection that comes back by itself for as long as it takes. What
// is sent while it is away is refused, never kept: a request that arrives late
// is worse than one that does not arrive.
type Conn struct {
	nc   *nats.Conn
	log  hclog.Logger
	told *spell.Log // of what a broken connection does to every write
	link *link
	name string // of the server, without secrets
}

// connectTimeout bounds one attempt to connect.
const connectTimeout = 2 * time.Second

// lull is how long a trouble must not show to be over.
const lull = 10 * time.Second

// Connect opens a connection. Without FailFast an error means that the
// configuration is wrong (fault.Invalid: files that are missing, a URL that is
// none), never that the server is away. Credentials that are refused are tried
// again too, since they may be put right at the other end. ctx bounds Connect only.
func Connect(ctx context.Context, cfg ConnConfig, log hclog.Logger) (*Conn, error) {
	name, err := redact(cfg.URL)
	if err != nil {
		return nil, err
	}
	log = log.Named("nats")
	c := &Conn{log: log, told: spell.New(log, lull), link: newLink(), name: name}
	opts, err := c.options(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c.nc, err = nats.Connect(cfg.URL, opts...)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, nats.ErrAuthorization):
		return nil, noAnswer{fault.New(fault.Unavailable, "connect to %s: the server refuses our credentials", name).
			WithHint("check the user and the password in the address, or the credentials file")}
	case cfg.FailFast:
		return nil, noAnswer{fault.New(fault.Unavailable, "connect to %s: %w", name, err).
			WithHint("is the NATS server running? see --nats and NATS_URL")}
	default:
		return nil, fault.New(fault.Invalid, "connect to %s: %w", name, err)
	}
}

func (c *Conn) options(ctx context.Context, cfg ConnConfig) ([]nats.Option, error) {
	timeout := connectTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(deadline)), time.Millisecond)
	}
	opts := []nats.Option{
		nats.Name(cfg.Name), nats.Timeout(timeout), nats.ReconnectBufSize(-1),
		nats.CustomReconnectDelay(reconnectDelay(or(cfg.ReconnectWait, time.Second), or(cfg.ReconnectJitter, time.Second/2))),
		nats.PingInterval(or(cfg.PingInterval, 10*time.Second)), nats.MaxPingsOutstanding(or(cfg.PingMaxOut, 2)),
		nats.DrainTimeout(drainTimeout),
		// micro hangs its own handlers on those given here, and loses them
		// when they are set later.
		nats.ConnectHandler(c.connected), nats.ReconnectHandler(c.connected),
		nats.DisconnectErrHandler(c.disconnected), nats.ClosedHandler(c.closed),
		nats.ErrorHandler(c.failed), nats.LameDuckModeHandler(c.lameDuck),
	}
	if cfg.FailFast {
		opts = append(opts, nats.MaxReconnects(-1))
	} else {
		opts = append(opts, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort())
	}
	if cfg.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(cfg.InboxPrefix))
	}
	return cfg.security(opts)
}

// security adds the options that read files, so that a missing one is told now
// and not at the first reconnect.
func (cfg ConnConfig) security(opts []nats.Option) ([]nats.Option, error) {
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if cfg.NKey != "" {
		nkey, err := nats.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, fault.New(fault.Invalid, "read the nkey %s: %w", cfg.NKey, err).WithField("nkey")
		}
		opts = append(opts, nkey)
	}
	if cfg.TLSCA != "" {
		opts = append(opts, nats.RootCAs(cfg.TLSCA))
	}
	if cfg.TLSCert != "" || cfg.TLSKey != "" {
		if _, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey); err != nil {
			return nil, fault.New(fault.Invalid, "read the TLS certificate %s with the key %s: %w", cfg.TLSCert, cfg.TLSKey, err).WithField("tls_cert")
		}
		opts = append(opts, nats.ClientCert(cfg.TLSCert, cfg.TLSKey))
	}
	return opts, nil
}

// redact returns the addresses in a list of URLs without what is secret in them.
func redact(urls string) (string, error) {
	var names []string
	for u := range strings.SplitSeq(urls, ",") {
		u = strings.TrimSpace(u)
		if _, err := url.Parse(u); err != nil { // the cause would repeat the password
			return "", fault.New(fault.Invalid, "the address of the NATS server is no URL; give one like nats://127.0.0.1:4222").WithField("url")
		}
		if _, after, ok := strings.Cut(u, "://"); ok {
			u = after
		}
		if i := strings.LastIndexByte(u, '@'); i >= 0 {
			u = u[i+1:]
		}
		if u == "" {
			return "", fault.New(fault.Invalid, "the address of the NATS server is empty; give one like nats://127.0.0.1:4222").WithField("url")
		}
		names = append(names, u)
	}
	return strings.Join(names, ","), nil
}

// or returns v, or the default for the zero value.
func or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}
