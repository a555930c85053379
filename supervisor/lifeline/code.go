package lifeline

// Exit codes of a child. Codes without a name here are treated like ExitError.
const (
	ExitStopped     = 0  // ended as asked
	ExitError       = 1  // runtime error: started again, with growing delays
	ExitPanic       = 2  // what the Go runtime uses for a panic and for SIGQUIT
	ExitUsage       = 64 // bad command line: not started again
	ExitUnavailable = 69 // a dependency is away at start: started again
	ExitInternal    = 70 // the child's own watchdog gave up: started again
	ExitTempFail    = 75 // as ExitUnavailable
	ExitNoPerm      = 77 // a permission is missing: not started again
	ExitConfig      = 78 // bad configuration: not started again
	ExitReplace     = 79 // the child cannot go on, a fresh one can: started at once, and no death
)
