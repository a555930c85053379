// Package virtual is for tests in which time itself is the matter: lulls, backoffs,
// deadlines. What waits for an event waits for that event.
package virtual

import (
	"testing/synctest"
	"time"
)

// Pass lets virtual time go by, and whatever it wakes come to rest. It panics outside
// of a synctest bubble, so that no test sleeps in real time by it.
func Pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}
