package report

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"time"
)

// Runtime returns the source of how Go's runtime does in this process, and of its
// cgroup.
func Runtime() Source {
	return Source{"Runtime", func(context.Context) (Section, error) {
		var s Section
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.Add("GOMAXPROCS", runtime.GOMAXPROCS(0))
		s.Add("CPUs", runtime.NumCPU())
		s.Add("goroutines", runtime.NumGoroutine())
		s.Add("calls into C so far", runtime.NumCgoCall())
		s.Add("heap in use", mib(m.HeapInuse))
		s.Add("heap objects", m.HeapObjects)
		s.Add("taken from the system by Go", mib(m.Sys))
		if facts, err := statusOf("/proc/self/status"); err == nil {
			s.Add("RSS", facts["VmRSS"])
		}
		s.Add("collections", m.NumGC)
		s.Add("last collection", time.Unix(0, int64(m.LastGC)))
		s.Add("last pause", time.Duration(m.PauseNs[(m.NumGC+255)%256]))
		s.Add("pauses in all", time.Duration(m.PauseTotalNs))
		s.addMemoryGroup()
		return s, nil
	}}
}

// addMemoryGroup adds the limit and the trouble of the cgroup, version 2.
func (s *Section) addMemoryGroup() {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(groups)) {
		group, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !unified {
			continue
		}
		dir := path.Join("/sys/fs/cgroup", group)
		s.Add("cgroup", group)
		s.Add("cgroup memory.max", firstLine(path.Join(dir, "memory.max")))
		s.Add("cgroup memory.current", firstLine(path.Join(dir, "memory.current")))
		events, err := os.ReadFile(path.Join(dir, "memory.events"))
		if err == nil {
			s.Add("cgroup memory.events", strings.Join(strings.Split(strings.TrimSpace(string(events)), "\n"), ", "))
		}
	}
}

func mib(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
