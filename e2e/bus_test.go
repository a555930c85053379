package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/rpc"
)

// A bus that hangs: what was accepted is done meanwhile, heartbeats go on, and once
// it is back requests are taken again, by the same process.
//
// VOLUMED_TEST_OUTAGE is how long it hangs, in seconds. After half a minute the
// worker gives the connection up, and makes a new one when it can.
func TestBusAway(t *testing.T) {
	t.Parallel()
	lasts := time.Duration(extent(t, "VOLUMED_TEST_OUTAGE", 5)) * time.Second
	s := started(t, options{defaults: "report_interval = 1\nservice_down_time = 10\n"})
	f := &faulty{service: s, pid: s.worker(0), source: s.createVolume(rpc.CreateVolumeRequest{Size: 1})}
	f.write(f.source.ID)
	for range 20 {
		f.create(rpc.CreateVolumeRequest{SourceVolID: f.source.ID})
	}
	longest := f.heartbeats()
	bus := f.child("bus")
	signal(t, bus, syscall.SIGSTOP)
	resumed := false
	defer func() {
		if !resumed {
			signal(t, bus, syscall.SIGCONT)
		}
	}()
	over := time.After(lasts)
	f.eventually("what was accepted has ended", f.noneUnfinished)
	<-over
	signal(t, bus, syscall.SIGCONT)
	resumed = true
	begun := time.Now()
	f.createVolume(rpc.CreateVolumeRequest{Size: 1})
	if took := time.Since(begun); took > doneWithin {
		t.Errorf("the first request after the outage took %s", took)
	} else {
		t.Logf("the first request was done %s after the outage", took.Round(10*time.Millisecond))
	}
	if gap := longest(); gap > 3*time.Second {
		t.Errorf("longest gap between heartbeats is %s at an interval of 1 s", gap)
	}
	f.settled()
	f.audit()
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Error(err)
	}
}

// child returns the pid of a child of the supervisor by the end of its command line.
func (s *service) child(role string) (pid int) {
	s.t.Helper()
	s.eventually("a child "+role+" runs", func() error {
		for _, p := range s.children() {
			if strings.HasSuffix(p.line, " "+role) {
				pid = p.pid
				return nil
			}
		}
		return errors.New("none")
	})
	return pid
}

// noneUnfinished looks into the table: nobody can be asked.
func (s *service) noneUnfinished() error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.state, "volumed.sqlite")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	var left int
	err = db.QueryRow("SELECT count(*) FROM operations WHERE status IN ('queued', 'running', 'waiting')").Scan(&left)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d are unfinished", left)
	}
	return err
}
