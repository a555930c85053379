// Package bus is the NATS server that a machine without one gets: in a process
// of its own, on loopback, for those who have the credentials.
//
// The credentials are made at the first start and kept in the state path, in
// the file bus.url, together with the address: whoever may read the file may use
// the bus. The file is written when the server listens, so that who finds a new
// one can connect at once, and it survives a restart and a kill, so that
// connections come back by themselves. Messages are not stored: there is no
// JetStream, since what was accepted is in SQL.
package bus

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
)

// DefaultListen is the address of [nats] listen when it is not set.
const DefaultListen = "127.0.0.1:4222"

// Limits of the server.
const (
	maxPayload = 1 << 20
	// lameDuck is how long clients have to notice that the server stops, and
	// over how long their connections are then closed.
	lameDuckGrace = 50 * time.Millisecond
	lameDuckTime  = time.Second
)

// Config says where the bus lives. The zero value of Listen means DefaultListen.
type Config struct {
	StatePath string // directory for bus.url
	Listen    string // host:port; port 0 takes a free one
}

// Run serves until ctx ends and returns nil then. It calls ready once, when
// clients can connect and bus.url is written. A port that is taken is
// fault.Unavailable and leaves bus.url untouched. It handles no signals.
func Run(ctx context.Context, cfg Config, ready func(), log hclog.Logger) (err error) {
	defer fault.Wrap(&err, "bus")
	login, err := readLogin(cfg.StatePath)
	if err != nil {
		return err
	}
	listen, err := address(cfg.Listen)
	if err != nil {
		return err
	}
	srv, err := start(listen, login, log.Named("bus"))
	if err != nil {
		return err
	}
	if err := login.write(cfg.StatePath, srv.Addr().String()); err != nil {
		srv.Shutdown()
		return err
	}
	log.Info("bus listens", "address", srv.Addr().String(), "credentials", urlFile(cfg.StatePath))
	ready()
	<-ctx.Done()
	log.Info("bus stops")
	// Clients are told first, so that they look for the next bus at once.
	srv.LameDuckShutdown()
	srv.WaitForShutdown()
	return nil
}

// address resolves host:port.
func address(listen string) (*net.TCPAddr, error) {
	if listen == "" {
		listen = DefaultListen
	}
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil || addr.IP == nil {
		return nil, fault.New(fault.Invalid, "[nats] listen = %s: give an address and a port, such as %s", listen, DefaultListen).WithField("listen")
	}
	return addr, nil
}
