package supervisor

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// oomCounter reads how often the kernel has killed in this process's cgroup,
// which is also that of the children, for want of memory.
type oomCounter struct {
	files fs.FS // the root file system
	last  int   // count at the last look, -1 if it cannot be read
}

func newOOMCounter(files fs.FS) *oomCounter {
	c := &oomCounter{files: files}
	c.last = c.read()
	return c
}

// hint tells, to be put after the news of a SIGKILL, whether the count has grown
// since the last hint.
func (c *oomCounter) hint() string {
	before := c.last
	c.last = c.read()
	switch {
	case before < 0 || c.last < 0:
		return ", out of memory?"
	case c.last > before:
		return fmt.Sprintf(": out of memory (oom_kill %d)", c.last)
	default:
		return fmt.Sprintf(", not out of memory by its cgroup (oom_kill %d)", c.last)
	}
}

func (c *oomCounter) read() int {
	groups, err := fs.ReadFile(c.files, "proc/self/cgroup")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 has no controllers.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		file := ""
		switch parts[1] {
		case "":
			file = path.Join("sys/fs/cgroup", parts[2], "memory.events")
		case "memory":
			file = path.Join("sys/fs/cgroup/memory", parts[2], "memory.oom_control")
		}
		if n := c.readCount(file); n >= 0 {
			return n
		}
	}
	return -1
}

func (c *oomCounter) readCount(file string) int {
	text, err := fs.ReadFile(c.files, file)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		var n int
		if _, err := fmt.Sscanf(line, "oom_kill %d", &n); err == nil {
			return n
		}
	}
	return -1
}
