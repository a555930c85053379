// Package rpctest gives tests a private NATS server and connections to it.
package rpctest

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/volumed/volumed/rpc"
)

// patience is how long a server may take to answer before a test fails.
const patience = 10 * time.Second

// Server is a NATS server of a test's own, in the test's process.
type Server struct {
	t    testing.TB
	opts natsd.Options
	srv  *natsd.Server
}

// NewServer starts a server on a free port of loopback and stops it with the
// test. change may alter the options, to add users and permissions.
func NewServer(t testing.TB, change ...func(*natsd.Options)) *Server {
	t.Helper()
	s := &Server{t: t, opts: natsd.Options{Host: "127.0.0.1", Port: natsd.RANDOM_PORT, NoLog: true, NoSigs: true}}
	for _, f := range change {
		f(&s.opts)
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start starts the server again after Stop, on the port that it had.
func (s *Server) Start() {
	s.t.Helper()
	opts := s.opts
	srv, err := natsd.NewServer(&opts)
	if err != nil {
		s.t.Fatalf("nats server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		s.t.Fatal("the nats server does not listen")
	}
	s.srv = srv
	s.opts.Port = srv.Addr().(*net.TCPAddr).Port
}

// Stop stops the server, connections and all.
func (s *Server) Stop() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// URL returns the server's address without credentials.
func (s *Server) URL() string {
	return "nats://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(s.opts.Port))
}

// URLFor returns the server's address with credentials.
func (s *Server) URLFor(user, password string) string {
	return strings.Replace(s.URL(), "//", "//"+url.UserPassword(user, password).String()+"@", 1)
}

// Debian starts the nats-server of the distribution, the oldest that is
// supported, as a process, and returns its address.
func Debian(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("nats-server")
	if err != nil {
		t.Fatal("nats-server is missing; install it: apt-get install nats-server")
	}
	dir := t.TempDir()
	cmd := exec.Command(path, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return portsFile(t, dir)
}

// portsFile waits for the file in which a server tells its address.
func portsFile(t testing.TB, dir string) string {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		names, _ := filepath.Glob(filepath.Join(dir, "*.ports"))
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			if _, rest, ok := strings.Cut(string(text), "nats://"); ok {
				if address, _, ok := strings.Cut(rest, `"`); ok {
					return "nats://" + address
				}
			}
		}
	}
	t.Fatal("nats-server does not tell its port")
	return ""
}

// Connect opens a connection that ends with the test.
func Connect(t testing.TB, url string) *rpc.Conn {
	t.Helper()
	conn, err := rpc.Connect(t.Context(), rpc.ConnConfig{
		URL: url, Name: t.Name(), ReconnectWait: 20 * time.Millisecond, ReconnectJitter: time.Millisecond,
	}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn
}
