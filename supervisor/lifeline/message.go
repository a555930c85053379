package lifeline

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// State is what a child says of itself.
type State string

// The states a child may report.
const (
	Init     State = "init"     // sets itself up
	Warm     State = "warm"     // set up, waits for the process before it to end
	Ready    State = "ready"    // serves
	Degraded State = "degraded" // alive, but a dependency is away
	Draining State = "draining" // takes no new work, finishes what it has
)

func (s State) known() bool {
	return s == Init || s == Warm || s == Ready || s == Degraded || s == Draining
}

// Message is one datagram of the protocol. Zero fields say nothing, except that
// a State without a Reason withdraws the reason given before.
type Message struct {
	Ready    bool
	Stopping bool
	Beat     bool
	Status   string
	State    State
	Reason   string
	// Extend is how much longer start-up takes from now on.
	Extend time.Duration
}

// maxText bounds each free text, so that a message always fits a datagram.
const maxText = 4096

// maxExtend is the longest extension that is believed, in microseconds: a day.
const maxExtend = int64(24 * time.Hour / time.Microsecond)

const (
	keyReady    = "READY"
	keyStopping = "STOPPING"
	keyBeat     = "WATCHDOG"
	keyStatus   = "STATUS"
	keyExtend   = "EXTEND_TIMEOUT_USEC"
	keyState    = "X_VOLUMED_STATE"
	keyReason   = "X_VOLUMED_REASON"
)

// Encode returns the datagram for m. Line breaks in texts become spaces, texts
// are cut at 4 KiB.
func (m Message) Encode() []byte {
	var b bytes.Buffer
	put := func(key, value string) { b.WriteString(key + "=" + value + "\n") }
	flag := func(key string, on bool) {
		if on {
			put(key, "1")
		}
	}
	if m.Extend > 0 {
		put(keyExtend, strconv.FormatInt(m.Extend.Microseconds(), 10))
	}
	flag(keyReady, m.Ready)
	flag(keyBeat, m.Beat)
	flag(keyStopping, m.Stopping)
	if m.Status != "" {
		put(keyStatus, oneLine(m.Status))
	}
	if m.State != "" {
		put(keyState, string(m.State))
		put(keyReason, oneLine(m.Reason))
	}
	return b.Bytes()
}

// Decode returns what a datagram says. Keys and states it does not know are
// ignored, as the protocol asks.
func Decode(datagram []byte) Message {
	var m Message
	for line := range strings.Lines(string(datagram)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case keyReady:
			m.Ready = value == "1"
		case keyStopping:
			m.Stopping = value == "1"
		case keyBeat:
			m.Beat = value == "1"
		case keyStatus:
			m.Status = oneLine(value)
		case keyReason:
			m.Reason = oneLine(value)
		case keyState:
			if s := State(value); s.known() {
				m.State = s
			}
		case keyExtend:
			if us, err := strconv.ParseInt(value, 10, 64); err == nil && us > 0 && us <= maxExtend {
				m.Extend = time.Duration(us) * time.Microsecond
			}
		}
	}
	return m
}

// merge returns m brought up to date by a newer message.
func (m Message) merge(newer Message) Message {
	m.Ready = m.Ready || newer.Ready
	m.Stopping = m.Stopping || newer.Stopping
	m.Beat = m.Beat || newer.Beat
	if newer.Status != "" {
		m.Status = newer.Status
	}
	if newer.State != "" {
		m.State, m.Reason = newer.State, newer.Reason
	}
	if newer.Extend > 0 {
		m.Extend = newer.Extend
	}
	return m
}

func oneLine(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}
