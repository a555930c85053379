// Package report makes reports about running processes, which OpenStack's services
// call Guru Meditation: all that helps to see, from outside and afterwards, what a
// process was at and what held it up.
//
// A report is a list of sections. Each is made by a goroutine of its own, for a
// limited time: one that hangs or panics says so in its place, and the others are
// there. What every Go process on Linux has is made here; what only some know is
// given by them as a Source.
//
// As text a report has the frame that people and programs know from Guru
// Meditation; as JSON it is the Report.
package report
