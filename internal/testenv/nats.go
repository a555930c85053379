package testenv

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS returns the URL of a NATS server of the newest version, without JetStream and open to everyone on loopback. It
// is the test's own and stops with it.
func NATS(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("start NATS: not ready after 10 s")
	}
	return s.ClientURL()
}

// NATSDebian is NATS with the server of Debian's package nats-server (2.9.10 in Debian 12), the oldest supported one.
func NATSDebian(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("nats-server")
	if err != nil {
		t.Fatal("nats-server is not installed. Install by: scripts/install-deps, or apt-get install --no-install-recommends nats-server")
	}
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--addr", "127.0.0.1", "--port", "-1")
	cmd.Stderr = stderr
	ended, err := startTied(cmd)
	stderr.Close()
	if err != nil {
		t.Fatalf("start nats-server: %v", err)
	}
	lines := bufio.NewReader(log)
	url, err := listenURL(lines)
	drained := make(chan struct{})
	go func() { // a full pipe would block the server
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only when it has ended by itself
		<-ended
		<-drained
		log.Close()
	})
	if err != nil {
		t.Fatalf("start nats-server: %v", err)
	}
	return url
}

var listening = regexp.MustCompile(`Listening for client connections on (\S+)`)

// listenURL reads the server's log until it says that it is ready.
func listenURL(log *bufio.Reader) (string, error) {
	var seen strings.Builder
	var url string
	for {
		line, err := log.ReadString('\n')
		seen.WriteString(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			url = "nats://" + m[1]
		}
		if url != "" && strings.Contains(line, "Server is ready") {
			return url, nil
		}
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, seen.String())
		}
	}
}
