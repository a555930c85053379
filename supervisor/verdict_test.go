package supervisor

import (
	"syscall"
	"testing"
	"testing/fstest"
)

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		exit         Exit
		killed, said string
		permanent    bool
		reason       string
	}{
		"clean":           {exit: Exit{}, reason: "ended without being asked"},
		"error":           {exit: Exit{Code: 1}, said: "lost the bus", reason: "runtime error: lost the bus"},
		"panic":           {exit: Exit{Code: 2, Crash: "note\npanic: nil map\n\ngoroutine 1"}, reason: "panic: nil map"},
		"runtime fault":   {exit: Exit{Code: 2, Crash: "fatal error: all goroutines are asleep\n"}, reason: "fatal error: all goroutines are asleep"},
		"usage":           {exit: Exit{Code: 64}, permanent: true, reason: "bad usage"},
		"unavailable":     {exit: Exit{Code: 69}, said: "no database", reason: "a dependency is away: no database"},
		"own watchdog":    {exit: Exit{Code: 70}, reason: "its own watchdog gave up"},
		"temporary":       {exit: Exit{Code: 75}, reason: "a dependency is away"},
		"permission":      {exit: Exit{Code: 77}, said: "keyring", permanent: true, reason: "no permission: keyring"},
		"config":          {exit: Exit{Code: 78}, permanent: true, reason: "bad configuration"},
		"replace":         {exit: Exit{Code: 79}, said: "blocklisted", reason: "asks to be replaced: blocklisted"},
		"unknown":         {exit: Exit{Code: 41}, reason: "unknown exit code 41"},
		"signal":          {exit: Exit{Code: -1, Signal: syscall.SIGSEGV}, reason: "killed by segmentation fault"},
		"not our SIGKILL": {exit: Exit{Code: -1, Signal: syscall.SIGKILL}, reason: "SIGKILL from outside, out of memory?"},
		"our SIGKILL":     {exit: Exit{Code: -1, Signal: syscall.SIGKILL}, killed: "hung", reason: "hung"},
		"our SIGQUIT":     {exit: Exit{Code: 2, Crash: "SIGQUIT: quit"}, killed: "hung", reason: "hung"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.exit.describe(false, tc.killed, tc.said, newOOMCounter(fstest.MapFS{})); got != tc.reason {
				t.Errorf("reason = %q, want %q", got, tc.reason)
			}
			if got := tc.exit.permanent(); got != tc.permanent {
				t.Errorf("permanent = %v, want %v", got, tc.permanent)
			}
		})
	}
}

func TestOOMHint(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	tests := map[string]struct{ groups, path, before, after, want string }{
		"version 2, grown": {
			"0::/system.slice/volumed.service\n", "sys/fs/cgroup/system.slice/volumed.service/memory.events",
			"low 0\noom 3\noom_kill 1\n", "low 0\noom 4\noom_kill 2\n", ": out of memory (oom_kill 2)",
		},
		"version 2, same": {
			"0::/\n", "sys/fs/cgroup/memory.events",
			"oom_kill 1\n", "oom_kill 1\n", ", not out of memory by its cgroup (oom_kill 1)",
		},
		"version 1": {
			"8:pids:/\n4:memory:/box\n0::/\n", "sys/fs/cgroup/memory/box/memory.oom_control",
			"under_oom 0\noom_kill 0\n", "under_oom 0\noom_kill 1\n", ": out of memory (oom_kill 1)",
		},
		"not readable": {"0::/\n", "elsewhere", "", "", ", out of memory?"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{"proc/self/cgroup": file(tc.groups), tc.path: file(tc.before)}
			c := newOOMCounter(files)
			files[tc.path] = file(tc.after)
			if got := c.hint(); got != tc.want {
				t.Errorf("hint = %q, want %q", got, tc.want)
			}
		})
	}
}
