// Command volumectl is the client of volumed: for a person at a terminal, and
// for scripts. It speaks to the service over NATS only; it needs no Ceph.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nobody answers, 4 still running
// at the end of the wait.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}
