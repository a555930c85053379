package spell

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/logs/logtest"
	"github.com/volumed/volumed/internal/virtual"
)

func logTo(out *logtest.Buffer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: out, Level: hclog.Info, DisableTime: true})
}

// A flood is two lines: that it began, and how large it was.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logtest.Buffer
		l := New(logTo(&out), 10*time.Second)
		for range 10_000 {
			l.Note("a", hclog.Warn, "write failed", "error", errors.New("broken"))
			virtual.Pass(time.Millisecond)
		}
		l.Note("b", hclog.Error, "read failed")
		virtual.Pass(9 * time.Second)
		want := "[WARN]  write failed: error=broken\n[ERROR] read failed\n"
		if out.String() != want {
			t.Errorf("while it lasts:\n%s", &out)
		}
		virtual.Pass(2 * time.Second)
		want += "[INFO]  trouble is over: what=\"write failed\" times=10000 lasted=9.999s\n"
		if out.String() != want {
			t.Errorf("when it is over:\n%s", &out)
		}
		l.Note("a", hclog.Warn, "write failed")
		if strings.Count(out.String(), "write failed") != 3 {
			t.Errorf("the next one is not told:\n%s", &out)
		}
	})
}

// Without a lull a trouble lasts until it is said to be over, however rarely it shows.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logtest.Buffer
		l := New(logTo(&out), 0)
		l.End("a")
		for range 3 {
			l.Note("a", hclog.Warn, "not known")
			virtual.Pass(time.Hour)
		}
		l.End("a")
		l.End("a")
		if want := "[WARN]  not known\n[INFO]  trouble is over: what=\"not known\" times=3 lasted=2h0m0s\n"; out.String() != want {
			t.Error(out.String())
		}
	})
}
