// Package volume holds the words of the service: volumes, snapshots,
// operations, services, their statuses and the transitions between them, and
// the host@backend#pool identity. It does no I/O.
//
// Field names follow the tables of Cinder, so that rows, messages and the
// literature use one term for one thing. Sizes are in GiB (2^30 bytes) unless a
// name says bytes. Times are UTC with microseconds; the zero time means "never".
package volume
