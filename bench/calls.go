package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/rpc"
)

const (
	callers      = 32
	callDuration = 2 * time.Second
)

// measureCalls: a call that only answers what is known, by 32 callers on one
// connection, beside a bare micro echo of the same size on the same server.
func measureCalls(ctx context.Context, w *world) error {
	s, err := w.serve(ctx, w.cluster, "")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	subject := rpc.ServiceSubject(services[0], rpc.MethodGetCapabilities)
	url, err := os.ReadFile(filepath.Join(s.state, "bus.url"))
	if err != nil {
		return err
	}
	caller, err := nats.Connect(strings.TrimSpace(string(url)))
	if err != nil {
		return err
	}
	defer caller.Close()
	answer, err := caller.Request(subject, []byte("{}"), time.Second)
	if err != nil {
		return err
	}
	stop, err := w.startEcho(ctx, strings.TrimSpace(string(url)), len(answer.Data))
	if err != nil {
		return err
	}
	defer stop()
	var floor, ours []float64
	for range w.runs {
		rate, err := callRate(caller, "bench.echo")
		if err != nil {
			return err
		}
		floor = append(floor, rate)
		if rate, err = callRate(caller, subject); err != nil {
			return err
		}
		ours = append(ours, rate)
	}
	w.table.rates(fmt.Sprintf("get_capabilities, %d callers on one connection", callers), floor, ours, "≥ 50 %")
	return nil
}

// callRate calls for a while with all callers and returns the rate per second.
func callRate(nc *nats.Conn, subject string) (float64, error) {
	end := time.Now().Add(callDuration)
	counts := make([]int, callers)
	_, err := parallel(callers, callers, func(i int) error {
		for time.Now().Before(end) {
			if _, err := nc.Request(subject, []byte("{}"), 5*time.Second); err != nil {
				return err
			}
			counts[i]++
		}
		return nil
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / callDuration.Seconds(), err
}

// echoEnv makes this program the echo service instead of the benchmark, so that
// both services are processes of their own.
const echoEnv = "VOLUMED_BENCH_ECHO"

// runEcho answers on bench.echo with a body of the size until the input ends.
func runEcho(url string, size int) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	body := []byte(strings.Repeat("x", size))
	_, err = micro.AddService(nc, micro.Config{
		Name: "echo", Version: "0.0.1",
		Endpoint: &micro.EndpointConfig{Subject: "bench.echo", Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(body) })},
	})
	if err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}
