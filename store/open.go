package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/volumed/volumed/fault"
)

// Options are the settings of an open database. The zero value is a good one.
type Options struct {
	// ReadConns bounds the connections that read; 0 means 4. On PostgreSQL they
	// are shared with the writes.
	ReadConns int
	// WriteConns bounds the concurrent writes on PostgreSQL; 0 means 8. SQLite
	// always has one.
	WriteConns int

	filesystem func(dir string) (int64, error) // tests put a network file system here
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	d      *dialect
	engine engine
	reads  *sql.DB
	byID   lookups // on reads
	id     string
	schema int64
}

// engine is how transactions are run.
type engine interface {
	// write runs change in a transaction and commits it; see DB.Write.
	write(ctx context.Context, how manner, change func(*session) error) error
	ping(ctx context.Context) error
	close() error
}

// manner is how a change is to be written.
type manner string

const (
	durable manner = "durable" // it is on the disk when write returns
	urgent  manner = "urgent"  // durable, and before all that is queued
	soon    manner = "soon"    // it is on the disk with the next durable one, at the latest
)

// Open opens the database of the URL: sqlite:////absolute/path, or postgresql://
// as libpq has it. It is fault.Unavailable when the database does not answer or
// has an older schema than this program, in which case Migrate (volumed db-sync)
// helps; fault.Unsupported when the schema is newer, and then nothing is written;
// fault.Invalid for a URL that cannot be used, such as a SQLite file on a network
// file system. ctx bounds the opening only.
func Open(ctx context.Context, connection string, opts Options) (_ *DB, err error) {
	t, err := parse(connection)
	if err != nil {
		return nil, err
	}
	defer fault.Wrap(&err, "open the database")
	db, err := t.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	db.byID = lookups{DB: db.reads, prepared: map[string]*sql.Stmt{}}
	if err := db.identify(db.reader(ctx)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close lets the writes that have begun come to their end and gives up those that
// are queued; they are fault.Unavailable, and so is every later call.
func (db *DB) Close() error { return errors.Join(db.engine.close(), db.reads.Close()) }

// ID returns the id of the database, a UUID made by the first Migrate: two
// processes with the same one share their rows.
func (db *DB) ID() string { return db.id }

// Schema returns the engine and the version that the schema had when it was opened:
// the one that this program brings, or a newer one that it can work with.
func (db *DB) Schema() string { return fmt.Sprintf("%s, schema %d", db.d.name, db.schema) }

// Ping asks the database for an answer; fault.Unavailable if there is none before ctx ends.
func (db *DB) Ping(ctx context.Context) error { return db.engine.ping(ctx) }

// reader returns a session on the connections that read.
func (db *DB) reader(ctx context.Context) *session { return newSession(ctx, db.d, db.reads) }

// lookup returns the same for queries of one row by its id.
func (db *DB) lookup(ctx context.Context) *session { return newSession(ctx, db.d, &db.byID) }

// identify reads which database it is.
func (db *DB) identify(s *session) error {
	found, err := s.one([]any{&db.id, &db.schema},
		"SELECT database_id, (SELECT max(version_id) FROM goose_db_version WHERE is_applied) FROM meta")
	if err == nil && !found {
		err = fault.New(fault.Unavailable, "the database has no id").WithHint("run volumed db-sync")
	}
	return err
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}
