// Package logs is what the loggers of one process write to: one line an event, as
// text or JSON, to stderr or to a file that may be moved away at any time.
//
// Its loggers are hclog's to those who write. Beside that they do four things:
//
//   - Each name may have a level of its own, and the level of all can be changed
//     while the process runs.
//   - Secrets are masked in every value, whoever has put them there.
//   - A value of several lines is written on one.
//   - The last events are kept, those below the level too, for reports. An event
//     that is not written costs its arguments and a lock, and is formatted only
//     when a report asks for it (see BenchmarkSuppressed).
package logs
