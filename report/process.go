package report

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Process returns the sources of what the kernel tells of another process, which
// does not answer for itself: it may be stopped, hang in a call to the kernel, or be
// too busy.
func Process(pid int) []Source {
	return []Source{
		{"Process by the kernel", func(context.Context) (Section, error) { return status(pid) }},
		Threads(pid), Files(pid),
	}
}

// status is what /proc tells of a process as a whole.
func status(pid int) (s Section, err error) {
	facts, err := statusOf(procPath(pid, "status"))
	if err != nil {
		return s, err
	}
	s.Add("pid", pid)
	for _, name := range []string{"State", "PPid", "Threads", "VmRSS", "VmSwap", "SigPnd", "ShdPnd"} {
		s.Add(name, facts[name])
	}
	s.Add("wchan", firstLine(procPath(pid, "wchan")))
	return s, nil
}

// Threads returns the source of the threads of a process.
func Threads(pid int) Source {
	return Source{"Threads", func(ctx context.Context) (Section, error) { return threads(ctx, pid) }}
}

// threads puts threads together that are at the same; of those outside of a usual
// wait the kernel's stack is shown, where it may be read.
func threads(ctx context.Context, pid int) (s Section, err error) {
	tasks, err := os.ReadDir(procPath(pid, "task"))
	if err != nil {
		return s, err
	}
	count := map[string]int{}
	var kernel strings.Builder
	for _, task := range tasks {
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		dir := procPath(pid, filepath.Join("task", task.Name()))
		facts, err := statusOf(filepath.Join(dir, "status"))
		if err != nil {
			continue // it has just ended
		}
		wchan := firstLine(filepath.Join(dir, "wchan"))
		count[facts["Name"]+"\t"+facts["State"]+"\t"+wchan]++
		if strings.HasPrefix(facts["State"], "D") {
			if text, err := os.ReadFile(filepath.Join(dir, "stack")); err == nil {
				fmt.Fprintf(&kernel, "thread %s %s in the kernel:\n%s\n", task.Name(), facts["Name"], text)
			}
		}
	}
	s.Add("threads", len(tasks))
	t := Table{Columns: []string{"COUNT", "NAME", "STATE", "WAITS IN"}}
	for _, key := range slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	}) {
		parts := strings.Split(key, "\t")
		t.Row(count[key], parts[0], parts[1], parts[2])
	}
	s.Tables, s.Text = []Table{t}, kernel.String()
	return s, nil
}

// Files returns the source of the descriptors of a process, by kind.
func Files(pid int) Source {
	return Source{"Open files", func(ctx context.Context) (Section, error) { return files(ctx, pid) }}
}

// number is what tells one socket, pipe or temporary file from another.
var number = regexp.MustCompile(`:\[\d+\]`)

func files(ctx context.Context, pid int) (s Section, err error) {
	dir := procPath(pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return s, err
	}
	count := map[string]int{}
	for _, fd := range fds {
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil {
			count[number.ReplaceAllString(target, "")]++
		}
	}
	s.Add("open", len(fds))
	s.Add("limit", limitOf(pid, "Max open files"))
	t := Table{Columns: []string{"COUNT", "KIND OR PATH"}}
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		t.Row(count[kind], kind)
	}
	s.Tables = []Table{t}
	return s, nil
}

func procPath(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// statusOf reads a file of lines like "Name:\tvalue".
func statusOf(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	facts := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		facts[name] = strings.Join(strings.Fields(value), " ")
	}
	return facts, nil
}

// limitOf returns the soft limit of that name.
func limitOf(pid int, name string) string {
	text, err := os.ReadFile(procPath(pid, "limits"))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(text), name)
	soft, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	return soft
}

// firstLine returns what is in a small file, nothing if it cannot be read.
func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
