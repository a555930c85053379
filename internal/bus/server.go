package bus

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/spell"
)

// lull is how long the server must not say something to have said it anew.
const lull = time.Minute

// start starts a server and returns when it listens.
func start(listen *net.TCPAddr, l login, log hclog.Logger) (*natsd.Server, error) {
	port := listen.Port
	if port == 0 {
		port = natsd.RANDOM_PORT // 0 would mean NATS's own default
	}
	srv, err := natsd.NewServer(&natsd.Options{
		ServerName: "volumed-bus", Host: listen.IP.String(), Port: port,
		Username: l.user, Password: l.password,
		MaxPayload: maxPayload, NoSigs: true, NoSystemAccount: true,
		LameDuckGracePeriod: lameDuckGrace, LameDuckDuration: lameDuckTime,
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	bridge := &logger{log: log, told: spell.New(log, lull)}
	srv.SetLoggerV2(bridge, log.IsDebug(), false, false)
	srv.Start()
	if srv.Addr() == nil { // Start returns when the server listens, or never will
		srv.Shutdown()
		return nil, fault.New(fault.Unavailable, "cannot listen on %s: %s", listen, bridge.fatal()).
			WithHint("another program has the port (ss -ltnp tells which): stop it, set [nats] listen to a free port, or set [nats] url to use a NATS server that runs already")
	}
	return srv, nil
}

// logger carries what the server logs to ours, and keeps what it calls fatal:
// the server tells in no other way that it could not listen.
type logger struct {
	log  hclog.Logger
	told *spell.Log // a client with a wrong password tries it every second

	mu   sync.Mutex
	last string
}

// kind is what lines about different clients have in common: their formats begin
// with the client.
func kind(format string) string { return format[strings.LastIndex(format, " - ")+1:] }

func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = fmt.Sprintf(format, v...)
}

func (l *logger) Errorf(format string, v ...any) {
	l.told.Note(kind(format), hclog.Error, "nats server", "text", fmt.Sprintf(format, v...))
}

func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("nats server", "text", fmt.Sprintf(format, v...))
}

func (l *logger) Debugf(format string, v ...any) {
	l.log.Trace("nats server", "text", fmt.Sprintf(format, v...))
}
func (l *logger) Tracef(string, ...any) {} // message bodies do not belong in a log

func (l *logger) Warnf(format string, v ...any) {
	// The password is 128 random bits made here, so hashing it gains nothing.
	if strings.HasPrefix(format, "Plaintext passwords") {
		return
	}
	l.told.Note(kind(format), hclog.Warn, "nats server", "text", fmt.Sprintf(format, v...))
}
