package image

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/volumed/volumed/fault"
)

// Config says what images may come from and go to, and what they may cost.
type Config struct {
	// Directories are those below which files may be read and written.
	Directories []string
	// Networks are those of web servers beside the public addresses.
	Networks []netip.Prefix
	// Idle is how long a server may be silent; a minute if 0.
	Idle time.Duration
	// MinRate is what a server has to send at the least, in bytes per second; anything
	// will do if 0. It counts over RateTime of waiting for the server; a minute if 0.
	MinRate  int64
	RateTime time.Duration
	// Spool is the directory of what has to be had whole before it can be read.
	Spool string
	// Reserve is what images leave free on the file systems that they are spooled or
	// written to, in bytes.
	Reserve int64
	// Memory bounds the address space of qemu-img, in bytes; not if 0.
	Memory int64
	// CPU bounds the time that qemu-img computes to read a header, and again for
	// each GiB that it converts; not if 0.
	CPU time.Duration
}

// Gate is where images pass. Its methods may be used by several goroutines.
type Gate struct {
	cfg    Config
	client *http.Client
	spool  spool
}

// Bounds of a connection.
const (
	defaultIdle   = time.Minute
	defaultRate   = time.Minute // that the least rate counts over
	dialTimeout   = 30 * time.Second
	mostRedirects = 5
	mostHeader    = 64 << 10
)

// New returns a gate. Close lets go of its idle connections.
func New(cfg Config) *Gate {
	if cfg.Idle <= 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.RateTime <= 0 {
		cfg.RateTime = defaultRate
	}
	g := &Gate{cfg: cfg, spool: spool{dir: cfg.Spool, reserve: cfg.Reserve}}
	dialer := &net.Dialer{Timeout: dialTimeout, Control: g.control}
	g.client = &http.Client{
		CheckRedirect: redirect,
		Transport: &http.Transport{
			// No proxy: it would connect to where the dialer must not.
			DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
			// A connection is for one image: what a server sends beyond it goes nowhere.
			DisableCompression: true, MaxResponseHeaderBytes: mostHeader, DisableKeepAlives: true,
			ExpectContinueTimeout: time.Second,
		},
	}
	return g
}

// Close ends connections that nobody uses.
func (g *Gate) Close() { g.client.CloseIdleConnections() }

// redirect follows servers to others, but not out of TLS, and does not tell them where
// from: that may hold a signature.
func redirect(next *http.Request, before []*http.Request) error {
	next.Header.Del("Referer")
	last := before[len(before)-1].URL.Scheme
	switch scheme := next.URL.Scheme; {
	case len(before) > mostRedirects:
		return fault.New(fault.Invalid, "the server redirects more than %d times", mostRedirects).WithField("image.url")
	case scheme != schemeHTTP && scheme != schemeHTTPS, scheme == schemeHTTP && last == schemeHTTPS:
		return fault.New(fault.Invalid, "the server redirects from %s to %s", last, scheme).WithField("image.url")
	}
	return nil
}
