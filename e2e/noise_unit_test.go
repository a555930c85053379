package e2e

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What becomes of the messages of a request depends on the seed and on nothing that
// happens beside it.
func TestNoiseIsTheSameAgain(t *testing.T) {
	fates := func(seed uint64, backwards bool) map[string][]mishap {
		n := &noise{seed: seed, turns: map[string]int{}, counts: map[mishap]int{}}
		found := map[string][]mishap{}
		for i := range 300 {
			if backwards {
				i = 299 - i
			}
			id := fmt.Sprint("request ", i)
			for range 3 {
				what, _ := n.decide("request", id)
				found[id] = append(found[id], what)
			}
		}
		for _, m := range mishaps {
			if n.counts[m.mishap] == 0 && m.permille > 10 {
				t.Errorf("seed %d: nothing is %s", seed, m.mishap)
			}
		}
		return found
	}
	first := fates(1, false)
	if diff := cmp.Diff(first, fates(1, true)); diff != "" {
		t.Errorf("in another order:\n%s", diff)
	}
	if cmp.Equal(first, fates(2, false)) {
		t.Error("another seed changes nothing")
	}
}

func TestReadFrame(t *testing.T) {
	const header = "NATS/1.0\r\nVolumed-Request-Id: r1\r\n\r\n"
	for text, want := range map[string]frame{
		"PING\r\n":                                {},
		"SUB a 1\r\n":                             {},
		"PUB a 5\r\nhello\r\n":                    {message: true, subject: "a"},
		"PUB a _INBOX.x 0\r\n\r\n":                {message: true, subject: "a", reply: "_INBOX.x"},
		"MSG a 7 5\r\nPING\n\r\n":                 {message: true, subject: "a"},
		"MSG a 7 b 2\r\nhi\r\n":                   {message: true, subject: "a", reply: "b"},
		"HPUB a b 36 38\r\n" + header + "hi\r\n":  {message: true, subject: "a", reply: "b", headers: header},
		"HMSG a 7 36 36\r\n" + header + "\r\n":    {message: true, subject: "a", headers: header},
		"hmsg a 7 b 36 37\r\n" + header + "x\r\n": {message: true, subject: "a", reply: "b", headers: header},
	} {
		r := bufio.NewReader(strings.NewReader(text + "PONG\r\n"))
		got, err := readFrame(r)
		if rest, _ := r.ReadString(0); err != nil || string(got.bytes) != text || rest != "PONG\r\n" {
			t.Errorf("%q: read %q, then %q, %v", text, got.bytes, rest, err)
		}
		got.bytes = nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if want.headers != "" && got.header("Volumed-Request-Id") != "r1" {
			t.Errorf("%q: header %q", text, got.header("Volumed-Request-Id"))
		}
	}
	for _, text := range []string{"PUB a\r\n", "MSG a 7\r\n", "PUB a x\r\nhello\r\n", "PUB a 50\r\nhello\r\n"} {
		if f, err := readFrame(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q is read as %+v", text, f)
		}
	}
}
