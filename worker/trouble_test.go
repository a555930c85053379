package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/logs/logtest"
)

// What fails at every interval while something is away is told of when it begins and
// when it is over.
func TestRepeatedTroubleIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	var out logtest.Buffer
	p.deps.Log = hclog.New(&hclog.LoggerOptions{Output: &out})
	p.cfg.Live.StatsInterval = time.Millisecond
	const failures = 50
	for n := range failures {
		p.faulty.FailBefore("Stats", n+1, fault.New(fault.Internal, "no figures"))
	}
	p.run()
	s.until("figures are back", func() bool { return strings.Contains(out.String(), "trouble is over") })
	_ = p.end()
	text := out.String()
	if strings.Count(text, "capabilities not known") != 2 || !strings.Contains(text, `what="capabilities not known" times=50`) {
		t.Errorf("told:\n%s", text)
	}
}
