package rpc

import (
	"math/rand/v2"
	"time"
)

// firstReconnect is how soon after a connection broke to look for the server again:
// one that is restarted is back within half a second.
const firstReconnect = 50 * time.Millisecond

// reconnectDelay returns how long to wait before the n-th try to reconnect, from 1 on:
// twice as long each time up to most, and a random part of up to jitter, but no longer
// than the wait itself, so that those who lost one server do not come back as one.
func reconnectDelay(most, jitter time.Duration) func(n int) time.Duration {
	return func(n int) time.Duration {
		wait := most
		if doublings := n - 1; doublings < 16 {
			wait = min(most, firstReconnect<<doublings)
		}
		if random := min(jitter, wait); random > 0 {
			wait += rand.N(random)
		}
		return wait
	}
}
