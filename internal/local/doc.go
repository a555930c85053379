// Package local is HTTP over a socket in the file system: how processes of this
// machine, and the operator's commands, ask a process of the service something.
// Who may ask is decided by the permissions of the socket, which is its owner's.
//
// Requests and answers are JSON; an error is {"error": {kind, message, hint}} with
// the status that fits its kind. curl --unix-socket speaks it as well.
package local
