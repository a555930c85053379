package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/volumed/volumed/fault"
)

var sqliteDialect = &dialect{
	name:        "sqlite",
	goose:       goose.DialectSQLite3,
	now:         "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
	hasVersions: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'",
	classify:    classifySQLite,
}

// sqliteFile is the path of a SQLite database.
type sqliteFile string

// pool returns a pool that opens its connections when they are needed. mode is
// ro, or rw for connections that may write.
func (f sqliteFile) pool(mode string, conns int) (*sql.DB, error) {
	query := url.Values{
		"mode":    {mode},
		"_pragma": {"busy_timeout(5000)", "foreign_keys(1)", "synchronous(full)"},
		"_txlock": {"immediate"},
	}
	if mode != "ro" {
		query.Add("_pragma", "journal_mode(wal)")
		query.Add("_pragma", "temp_store(memory)") // the copies of pages that savepoints take
	}
	dsn := url.URL{Scheme: "file", Path: string(f), RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, classify(sqliteDialect, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// readOnly returns connections that cannot write, once it is known that the file
// is there and that its schema is ours.
func (f sqliteFile) readOnly(ctx context.Context, conns int) (*sql.DB, error) {
	if err := f.exists(); err != nil {
		return nil, err
	}
	db, err := f.pool("ro", conns)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(newSession(ctx, sqliteDialect, db)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (f sqliteFile) exists() error {
	info, err := os.Stat(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Unavailable, "there is no %s: %w", f, errOlder).WithHint("run volumed db-sync")
	case err != nil:
		return fault.New(fault.Unavailable, "database: %w", err)
	case !info.Mode().IsRegular():
		return fault.New(fault.Invalid, "%s is not a regular file", f).WithField("connection")
	}
	return nil
}

// open implements target.
func (f sqliteFile) open(ctx context.Context, opts Options) (*DB, error) {
	if err := f.check(opts); err != nil {
		return nil, err
	}
	reads, err := f.readOnly(ctx, or(opts.ReadConns, 4))
	if err != nil {
		return nil, err
	}
	e, err := f.engine(ctx)
	if err != nil {
		return nil, errors.Join(err, reads.Close())
	}
	return &DB{d: sqliteDialect, engine: e, reads: reads}, nil
}

func (f sqliteFile) check(opts Options) error {
	look := opts.filesystem
	if look == nil {
		look = statfs
	}
	return checkFilesystem(filepath.Dir(string(f)), look)
}

// sqliteEngine is the writer with what it writes to.
type sqliteEngine struct {
	*writer
	db *sql.DB
}

func (f sqliteFile) engine(ctx context.Context) (_ *sqliteEngine, err error) {
	db, err := f.pool("rw", 1)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(classify(sqliteDialect, err), db.Close())
	}
	turns, err := f.turnstile()
	if err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	statements := &statements{conn: conn, prepared: map[string]*sql.Stmt{}}
	return &sqliteEngine{newWriter(sqliteDialect, statements, turns), db}, nil
}

// turnstile opens the file of locks beside the database.
func (f sqliteFile) turnstile() (*turnstile, error) {
	t, err := openTurnstile(string(f) + ".lock")
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the file of locks beside the database: %w", err)
	}
	return t, nil
}

// ping commits nothing, but needs the writer.
func (e *sqliteEngine) ping(ctx context.Context) error {
	return e.write(ctx, urgent, func(*session) error { return nil })
}

func (e *sqliteEngine) close() error {
	e.stop()
	return errors.Join(e.conn.close(), e.db.Close(), e.turns.close())
}

// migrate implements target.
func (f sqliteFile) migrate(ctx context.Context, log Logger) (err error) {
	if err := f.check(Options{}); err != nil {
		return err
	}
	turns, err := f.turnstile()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, turns.close()) }() // gives the lock back as well
	if err := turns.migrate(ctx); err != nil {
		return err
	}
	reads, err := f.readOnly(ctx, 1)
	if err == nil {
		return reads.Close()
	}
	if !errors.Is(err, errOlder) {
		return err
	}
	if err := f.create(); err != nil {
		return err
	}
	db, err := f.pool("rw", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return upgrade(ctx, sqliteDialect, db, log)
}

// create makes the file if it is not there: SQLite would let everyone read it.
func (f sqliteFile) create() error {
	file, err := os.OpenFile(string(f), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Unavailable, "database: %w", err)
	}
	return file.Close()
}
