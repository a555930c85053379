package observe

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/volumed/volumed/driver"
)

// flights are the calls that have not returned.
type flights struct {
	mu  sync.Mutex
	all map[*flight]struct{}
}

// flight is one of them.
type flight struct {
	method, object string
	begun          time.Time
	sign           atomic.Pointer[time.Time] // of the last report of progress; nil before it
	slow, ended    bool                      // the mu of slow guards them
}

// begin counts a call in.
func (fs *flights) begin(method, object string) *flight {
	f := &flight{method: method, object: object, begun: time.Now()}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.all == nil {
		fs.all = map[*flight]struct{}{}
	}
	fs.all[f] = struct{}{}
	return f
}

// end counts it out.
func (fs *flights) end(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.all, f)
}

// signs returns p as a Progress that is a sign of life as well.
func (f *flight) signs(p driver.Progress) driver.Progress {
	return func(percent int) {
		at := time.Now()
		f.sign.Store(&at)
		if p != nil {
			p(percent)
		}
	}
}

// Flights is driver.Tracker's.
func (d *Driver) Flights() []driver.Flight {
	d.flights.mu.Lock()
	defer d.flights.mu.Unlock()
	told := make([]driver.Flight, 0, len(d.flights.all))
	for f := range d.flights.all {
		sign := f.begun
		if at := f.sign.Load(); at != nil {
			sign = *at
		}
		told = append(told, driver.Flight{Method: f.method, Object: f.object, Begun: f.begun, Sign: sign})
	}
	return told
}
