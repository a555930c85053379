package lifeline

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMessageSurvivesTheWire(t *testing.T) {
	tests := map[string]struct{ sent, want Message }{
		"nothing":    {Message{}, Message{}},
		"everything": {full(), full()},
		"line break": {Message{Status: "a\nREADY=1"}, Message{Status: "a READY=1"}},
		"no state, no reason": {
			Message{Reason: "lost"}, Message{},
		},
		"long text": {
			Message{Status: strings.Repeat("x", 2*maxText)}, Message{Status: strings.Repeat("x", maxText)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Decode(tc.sent.Encode())); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeIgnoresWhatItDoesNotKnow(t *testing.T) {
	tests := map[string]string{
		"foreign key":     "MAINPID=7\n",
		"unknown state":   "X_VOLUMED_STATE=excellent",
		"flag switched":   "READY=0",
		"no value":        "READY",
		"bad extension":   "EXTEND_TIMEOUT_USEC=soon",
		"huge extension":  "EXTEND_TIMEOUT_USEC=9223372036854775807",
		"minus extension": "EXTEND_TIMEOUT_USEC=-1",
		"binary":          "\x00\xff\n\n=",
	}
	for name, datagram := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(Message{}, Decode([]byte(datagram))); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeKeepsTheNewest(t *testing.T) {
	got := Message{State: Degraded, Reason: "ceph is away", Ready: true, Status: "old"}.
		merge(Message{State: Ready}).
		merge(Message{Beat: true, Status: "new"})
	want := Message{State: Ready, Ready: true, Beat: true, Status: "new"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(full(), Message{}.merge(full())); diff != "" {
		t.Errorf("merged into nothing (-want +got):\n%s", diff)
	}
}

func full() Message {
	return Message{
		Ready: true, Stopping: true, Beat: true, Status: "2 in flight", State: Draining,
		Reason: "asked to stop", Extend: 90 * time.Second,
	}
}
