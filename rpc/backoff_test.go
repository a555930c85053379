package rpc

import (
	"testing"
	"time"
)

func TestReconnectDelay(t *testing.T) {
	const jitter = 200 * time.Millisecond
	delay := reconnectDelay(time.Second, jitter)
	for n, want := range map[int]time.Duration{
		1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 5: 800 * time.Millisecond, 6: time.Second, 1_000_000: time.Second,
	} {
		for range 100 {
			if got := delay(n); got < want || got > want+min(jitter, want) {
				t.Fatalf("try %d after %s, want %s and up to %s more", n, got, want, min(jitter, want))
			}
		}
	}
	if got := reconnectDelay(10*time.Millisecond, 0)(3); got != 10*time.Millisecond {
		t.Errorf("with a wait of 10 ms and no jitter: %s", got)
	}
}
