package supervisor

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// permanent reports whether starting the child again cannot help: a person has
// to change something first.
func (e Exit) permanent() bool {
	return e.Signal == 0 && (e.Code == lifeline.ExitConfig || e.Code == lifeline.ExitUsage || e.Code == lifeline.ExitNoPerm)
}

// describe says why the child ended, from the most telling source there is:
// what the parent did to it, its crash text, the meaning of its code, and what
// it gave as its reason last.
func (e Exit) describe(asked bool, killed, said string, oom *oomCounter) string {
	switch {
	case asked && e.Signal == 0 && e.Code == lifeline.ExitStopped:
		return "ended as asked"
	case killed != "":
		return killed
	case e.Signal == syscall.SIGKILL:
		return "SIGKILL from outside" + oom.hint()
	case e.Signal != 0:
		return "killed by " + e.Signal.String()
	}
	text := meaning(e.Code)
	if line := panicLine(e.Crash); line != "" {
		text = line
	}
	if said != "" {
		text += ": " + said
	}
	return text
}

func meaning(code int) string {
	switch code {
	case lifeline.ExitStopped:
		return "ended without being asked"
	case lifeline.ExitError:
		return "runtime error"
	case lifeline.ExitPanic:
		return "panic"
	case lifeline.ExitUsage:
		return "bad usage"
	case lifeline.ExitUnavailable, lifeline.ExitTempFail:
		return "a dependency is away"
	case lifeline.ExitInternal:
		return "its own watchdog gave up"
	case lifeline.ExitNoPerm:
		return "no permission"
	case lifeline.ExitConfig:
		return "bad configuration"
	case lifeline.ExitReplace:
		return "asks to be replaced"
	default:
		return fmt.Sprintf("unknown exit code %d", code)
	}
}

// panicLine returns the line of a crash text that says what happened.
func panicLine(crash string) string {
	for line := range strings.Lines(crash) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return ""
}
