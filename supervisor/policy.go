package supervisor

import "time"

// Policy holds the numbers of supervision. A zero field means its default.
type Policy struct {
	// RestartBurst is how many deaths of a child that had been ready are
	// answered by a start at once, within LoyalAfter (5).
	RestartBurst int
	// RestartMin is the first delay of a start that is not at once (1 s); it
	// doubles with each such death. No delay is ever below half a second.
	RestartMin time.Duration
	// RestartMax bounds the delay, before a fifth of jitter (60 s).
	RestartMax time.Duration
	// LoyalAfter is the window in which deaths are counted, and the time of
	// readiness that halves the count of past deaths (60 s).
	LoyalAfter time.Duration
	// CrashLoopDeaths is how many deaths before ready within LoyalAfter are
	// still no crash loop (5).
	CrashLoopDeaths int
	// ReadyTimeout is when the service counts as ready although some backends
	// are not, and when a child in init stops holding one of the slots (90 s).
	ReadyTimeout time.Duration
	// MaxParallelInit is how many backends that have not served yet set
	// themselves up at once (4).
	MaxParallelInit int
	// OrphanGrace is how long children may outlive the supervisor (10 s).
	OrphanGrace time.Duration
	// KillAfter is what children get beyond the graceful timeout, which they
	// enforce themselves, before SIGKILL (2 s).
	KillAfter time.Duration
	// FastTimeout is what children get in a fast stop, the bus in any stop, and
	// a hung child for writing its stacks, before SIGKILL (5 s).
	FastTimeout time.Duration
	// WarmTimeout is how long a process that is to replace another may take to set
	// itself up (60 s).
	WarmTimeout time.Duration
	// RenewChanged has a reload replace the backends whose own options changed;
	// else they wait for an operator.
	RenewChanged bool
	// WatchdogTimeout is how long a child that has beaten once may go without a
	// beat (30 s).
	WatchdogTimeout time.Duration
}

func (p Policy) withDefaults() Policy {
	def(&p.RestartBurst, 5)
	def(&p.RestartMin, time.Second)
	def(&p.RestartMax, time.Minute)
	def(&p.LoyalAfter, time.Minute)
	def(&p.CrashLoopDeaths, 5)
	def(&p.ReadyTimeout, 90*time.Second)
	def(&p.MaxParallelInit, 4)
	def(&p.OrphanGrace, 10*time.Second)
	def(&p.KillAfter, 2*time.Second)
	def(&p.FastTimeout, 5*time.Second)
	def(&p.WarmTimeout, time.Minute)
	def(&p.WatchdogTimeout, 30*time.Second)
	return p
}

func def[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

// minDelay keeps a backend below two starts a second outside the burst.
const minDelay = 500 * time.Millisecond

// history is what the policy remembers of the deaths of one child.
type history struct {
	served   []time.Time // deaths after ready, within the window
	unserved []time.Time // deaths before ready, within the window
	strikes  int         // exponent of the delay
}

// death is one unasked end of a child.
type death struct {
	at     time.Time
	served bool          // it had been ready
	ready  time.Duration // for so long
	jitter float64       // random, in [0, 1)
}

// next returns the history with the death added, how long to wait before the
// child starts again, and whether it dies so often before it is ready that
// somebody should know.
func (p Policy) next(h history, d death) (_ history, delay time.Duration, crashLoop bool) {
	h.strikes >>= min(int(d.ready/p.LoyalAfter), 62)
	h.served = p.recent(h.served, d.at)
	h.unserved = p.recent(h.unserved, d.at)
	if d.served {
		h.served = append(h.served, d.at)
		if len(h.served) <= p.RestartBurst {
			return h, 0, false
		}
	} else {
		h.unserved = append(h.unserved, d.at)
	}
	h.strikes++
	return h, p.backoff(h.strikes, d.jitter), len(h.unserved) > p.CrashLoopDeaths
}

// backoff is RestartMin doubled for each strike after the first, up to
// RestartMax, give or take a fifth.
func (p Policy) backoff(strikes int, jitter float64) time.Duration {
	delay := p.RestartMin
	for i := 1; i < strikes && delay < p.RestartMax; i++ {
		delay *= 2
	}
	delay = time.Duration(float64(min(delay, p.RestartMax)) * (0.8 + 0.4*jitter))
	return max(delay, minDelay)
}

// recent returns the times that are still in the window, in a slice of its own.
func (p Policy) recent(times []time.Time, now time.Time) []time.Time {
	var kept []time.Time
	for _, t := range times {
		if now.Sub(t) < p.LoyalAfter {
			kept = append(kept, t)
		}
	}
	return kept
}
