package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
)

// startEcho starts this program again as the echo service.
func (w *world) startEcho(ctx context.Context, url string, size int) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), echoEnv+"="+fmt.Sprintf("%d %s", size, url))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { _ = in.Close(); _ = cmd.Wait() }
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return nil, fmt.Errorf("the echo service did not start: %w", err)
	}
	return stop, nil
}

// echo is the other role of this program; it returns false when it is not asked for.
func echo() (bool, error) {
	spec := os.Getenv(echoEnv)
	if spec == "" {
		return false, nil
	}
	var size int
	var url string
	if _, err := fmt.Sscanf(spec, "%d %s", &size, &url); err != nil {
		return true, err
	}
	return true, runEcho(url, size)
}
