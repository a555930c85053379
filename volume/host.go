package volume

import (
	"strings"
)

// Host is the identity of a backend or of a pool in it, in the form of Cinder's
// column host: node@backend#pool. Cluster identities have the same form.
type Host struct {
	Node    string // host or backend_host; may hold any character but '@' and '#'
	Backend string // the section of the configuration
	Pool    string // empty for a service
}

// ParseHost splits s at its first '@' and its last '#'. Parts that are missing are
// left empty; no form is refused, since rows of other services are read too.
func ParseHost(s string) Host {
	var h Host
	if i := strings.LastIndexByte(s, '#'); i >= 0 {
		s, h.Pool = s[:i], s[i+1:]
	}
	h.Node, h.Backend, _ = strings.Cut(s, "@")
	return h
}

// Service returns the identity of the service: the host without the pool.
func (h Host) Service() string {
	if h.Backend == "" {
		return h.Node
	}
	return h.Node + "@" + h.Backend
}

// WithPool returns the identity of a pool of the same backend.
func (h Host) WithPool(pool string) Host { h.Pool = pool; return h }

// String returns the whole identity.
func (h Host) String() string {
	if h.Pool == "" {
		return h.Service()
	}
	return h.Service() + "#" + h.Pool
}
