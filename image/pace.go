package image

import (
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
)

// errSlow marks the end of a transfer that would take for ever: a byte now and then is
// no silence.
var errSlow = errors.New("the server is too slow")

// pace looks whether a server sends enough. Only the time counts in which it was waited
// for: where the volume is what takes long, the data are there at once.
type pace struct {
	least int64 // bytes per second; 0: anything will do
	over  time.Duration

	waited time.Duration
	got    int64
	// owed is the time that went by without anything new: it counts when the connection
	// breaks off that it was spent on, if that has not brought enough by then.
	owed time.Duration
}

// note counts n bytes that were waited for. It returns a Busy error, with errSlow in its
// chain, when the time that counts has passed and brought too little.
func (p *pace) note(n int, waited time.Duration) error {
	if p.least <= 0 {
		return nil
	}
	p.got += int64(n)
	if p.waited += waited; p.waited < p.over {
		return nil
	}
	rate := int64(float64(p.got) / p.waited.Seconds())
	p.waited, p.got, p.owed = 0, 0, 0
	if rate >= p.least {
		return nil
	}
	return fault.New(fault.Busy, "%w: it sends %d bytes per second, at least %d are wanted", errSlow, rate, p.least).
		WithField("image.url").WithHint("use a faster server; an operator can change image_min_rate")
}

// settle counts what is owed. Its error is that of note.
func (p *pace) settle() error {
	owed := p.owed
	p.owed = 0
	return p.note(0, owed)
}
