// Package audit compares what a backend holds with what the tables say, and plans the
// repairs. It does no I/O: it is given both sides and returns findings.
//
// # Both sides at once
//
// A backend cannot be stopped for an audit, and the two sides cannot be read at one
// moment. So a difference counts only if it is seen twice: Compare finds it, the
// images and rows concerned are read again (Suspects, Refresh), and Confirm keeps
// what Compare finds again. What an unfinished operation works on is no drift; it
// is told as unsettled where it differs.
//
// # Whose is it
//
// That something is this service's is proven by the tables alone: an image by its
// id, which a volume's row records, a snapshot by its own id or that of the
// operation that took it. Names prove nothing: other services use the same ones. A
// repair removes only what is proven; the rest is reported.
//
// # Plans
//
// Plan gives each finding that can be repaired a step. A step names its image by id
// and says what world it was planned for (volume.Precondition). Holds compares that
// with the world when the step is due, and refuses a step that has been overtaken.
// The steps of one image are planned one after the other, each for the world that
// the one before leaves.
package audit
