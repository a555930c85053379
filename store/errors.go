package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/volumed/volumed/fault"
)

// classify gives an error of the database its kind. Errors that have one, and
// those of a context, are returned as they are.
func classify(d *dialect, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn), err.Error() == poolClosed:
		return fault.New(fault.Unavailable, "the connection to the database is gone: %w", err)
	}
	if f := d.classify(err); f != nil {
		return f
	}
	return fault.New(fault.Internal, "database: %w", err)
}

// poolClosed is what database/sql says after Close; it exports no error for it.
const poolClosed = "sql: database is closed"

// classifySQLite knows the result codes of SQLite.
func classifySQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fault.New(fault.Exists, "database: %w", err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fault.New(fault.Conflict, "database: %w", err)
	case sqlite3.SQLITE_IOERR_SHMSIZE: // how a full disk shows in the index of the WAL
		return full(err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return full(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.New(fault.Unavailable, "the database is locked by another process: %w", err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERRUPT:
		return fault.New(fault.Unavailable, "database: %w", err)
	case sqlite3.SQLITE_TOOBIG:
		return fault.New(fault.Invalid, "database: %w", err)
	case sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Invalid, "the file is not a SQLite database: %w", err)
	case sqlite3.SQLITE_CORRUPT:
		return fault.New(fault.Internal, "the database is damaged: %w", err).
			WithHint("stop the service, keep the file, restore the last backup")
	default:
		return nil
	}
}

// classifyPostgres knows the SQLSTATEs of PostgreSQL and the ways not to reach it.
func classifyPostgres(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return classifySQLState(e.Code, err)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.Timeout(err) {
		return fault.New(fault.Unavailable, "the database does not answer: %w", err)
	}
	return nil
}

func classifySQLState(code string, err error) error {
	switch code {
	case "23505": // unique_violation
		return fault.New(fault.Exists, "database: %w", err)
	case "23503": // foreign_key_violation
		return fault.New(fault.Conflict, "database: %w", err)
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return fault.New(fault.Unavailable, "the database gave way to another transaction: %w", err)
	case "53100": // disk_full
		return full(err)
	case "22021", "22P05": // text that the encoding of the database does not have
		return fault.New(fault.Invalid, "database: %w", err)
	}
	switch code[:min(2, len(code))] {
	case "08", "25", "28", "3D", "53", "57", "58": // connection, read-only, login, no such database, resources, shutdown, system
		return fault.New(fault.Unavailable, "database: %w", err)
	default:
		return nil
	}
}

func full(err error) error {
	return fault.New(fault.Exhausted, "the disk of the database is full: %w", err).
		WithHint("make room where the database is; nothing else needs to be done")
}

// errLostRace marks the refusal of a row that another transaction wrote first,
// after this one had looked: PostgreSQL runs the change again.
var errLostRace = errors.New("written at the same time")

// retryable reports whether PostgreSQL undid a transaction only for the sake of
// another one.
func retryable(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code == "40001" || e.Code == "40P01"
	}
	return errors.Is(err, errLostRace)
}

// locked reports whether another process has the SQLite database.
func locked(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// unknownOutcome is the error of a write that nobody can tell the end of.
func unknownOutcome(err error) error {
	return fault.New(fault.Unavailable, "whether it was committed is not known: %w", err)
}
