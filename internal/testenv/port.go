package testenv

import (
	"net"
	"testing"
)

// FreePort returns a TCP port of 127.0.0.1 that nothing listened on a moment ago. Another process may take it before
// its user does; where a server can choose its port itself, let it.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
