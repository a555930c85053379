// Package store keeps the rows of the service in SQL: services, volumes,
// snapshots, attachments, operations with their claims, and events. A *DB is the
// operation.Journal of a process; it is also what answers the reads.
//
// There are two engines, told apart by the connection URL: SQLite for the
// processes of one machine (sqlite:////var/lib/volumed/volumed.db) and PostgreSQL
// for more than one machine (postgresql://…). The statements are the same; what
// differs stands in one dialect struct each. Migrate brings a database to the
// schema of this version and is run once, before the processes that Open it:
// Open only checks the version.
//
// # Writing
//
// Every write is a transaction that first checks its fence: the epoch of the
// service that writes. A process whose service was taken over by a newer one
// changes nothing any more, whatever it still has under way.
//
// SQLite allows one writer at a time, and a commit costs a flush of the disk. So
// the process has one goroutine that writes (writer), which commits whatever is
// queued as one transaction of up to 64 changes, each under a savepoint of its
// own: a change that fails is undone alone. Nothing waits for company; a change
// that comes alone is committed alone. Heartbeats go first. Among processes the
// right to write is passed on in turn by locks on a file beside the database
// (turnstile), since SQLite's own lock is taken by whoever asks at the right
// moment.
//
// PostgreSQL runs a transaction for each write, at READ COMMITTED with the row
// locks that this needs: a key-share lock on the service's row (a take-over waits
// for it), an update lock on every volume and snapshot that a change reads, and
// advisory locks where rows do not exist yet (claims) or ids must grow in the
// order of the commits (events). Serialization failures and deadlocks are run
// again.
//
// # Rows
//
// Names of tables and columns are those of Cinder where the meaning is the same.
// Times are microseconds UTC; heartbeats are in the time of the database, so that
// nobody's clock decides who is up. A deleted volume or snapshot stays as a
// record with deleted_at set.
package store
