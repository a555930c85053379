package supervisor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNextDelay(t *testing.T) {
	const s = time.Second
	type step struct {
		after  time.Duration // since the death before
		served bool
		ready  time.Duration
	}
	unready := func(after time.Duration) step { return step{after: after} }
	killed := func(after time.Duration) step { return step{after: after, served: true} }
	tests := map[string]struct {
		policy Policy
		deaths []step
		want   []time.Duration
	}{
		"before ready the delay doubles up to the maximum": {
			deaths: []step{unready(0), unready(s), unready(2 * s), unready(4 * s), unready(8 * s), unready(16 * s), unready(32 * s), unready(60 * s)},
			want:   []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s},
		},
		"a ready child comes back at once, but for the sixth time in a minute": {
			deaths: []step{killed(0), killed(s), killed(s), killed(s), killed(s), killed(s), killed(s)},
			want:   []time.Duration{0, 0, 0, 0, 0, s, 2 * s},
		},
		"deaths a minute ago do not count for the burst": {
			deaths: []step{killed(0), killed(0), killed(0), killed(0), killed(0), killed(60 * s)},
			want:   []time.Duration{0, 0, 0, 0, 0, 0},
		},
		"two minutes of readiness quarter the count": {
			deaths: []step{
				unready(0), unready(s), unready(2 * s), unready(4 * s),
				{after: 130 * s, served: true, ready: 120 * s},
				unready(s),
			},
			want: []time.Duration{s, 2 * s, 4 * s, 8 * s, 0, 2 * s},
		},
		"readiness of years does not shift too far": {
			deaths: []step{unready(0), {served: true, ready: 100_000 * time.Hour}, unready(s)},
			want:   []time.Duration{s, 0, s},
		},
		"never more than two starts a second": {
			policy: Policy{RestartMin: time.Millisecond},
			deaths: []step{unready(0), unready(s), unready(s)},
			want:   []time.Duration{minDelay, minDelay, minDelay},
		},
		"a burst of one": {
			policy: Policy{RestartBurst: 1},
			deaths: []step{killed(0), killed(0)},
			want:   []time.Duration{0, s},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy, h, now := tc.policy.withDefaults(), history{}, time.Now()
			var got []time.Duration
			for _, d := range tc.deaths {
				now = now.Add(d.after)
				var delay time.Duration
				h, delay, _ = policy.next(h, death{at: now, served: d.served, ready: d.ready, jitter: 0.5})
				got = append(got, delay)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("delays (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJitterIsAFifth(t *testing.T) {
	p := Policy{}.withDefaults()
	for jitter, want := range map[float64]time.Duration{0: 48 * time.Second, 0.5: time.Minute, 1: 72 * time.Second} {
		if got := p.backoff(1000, jitter); got != want {
			t.Errorf("delay at jitter %v = %v, want %v", jitter, got, want)
		}
	}
}

func TestCrashLoopIsTheSixthUnreadyDeathInAMinute(t *testing.T) {
	p, now := Policy{}.withDefaults(), time.Now()
	tests := map[string]struct {
		every  time.Duration
		served bool
		want   int // the death that makes it a loop, 0 for none of ten
	}{
		"quick":  {time.Second, false, 6},
		"slow":   {12 * time.Second, false, 0},
		"served": {time.Second, true, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, h := 0, history{}
			for i := 1; i <= 10 && got == 0; i++ {
				var loop bool
				h, _, loop = p.next(h, death{at: now.Add(time.Duration(i) * tc.every), served: tc.served})
				if loop {
					got = i
				}
			}
			if got != tc.want {
				t.Errorf("loop at death %d, want %d", got, tc.want)
			}
		})
	}
}

func TestNextDoesNotChangeThePast(t *testing.T) {
	p, now := Policy{}.withDefaults(), time.Now()
	h, _, _ := p.next(history{}, death{at: now, served: true})
	before := append([]time.Time{}, h.served...)
	p.next(h, death{at: now.Add(time.Hour), served: true})
	if diff := cmp.Diff(before, h.served); diff != "" {
		t.Errorf("history changed (-want +got):\n%s", diff)
	}
}
