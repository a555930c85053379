package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/volumed/volumed/fault"
)

var postgresDialect = &dialect{
	name:  "postgres",
	goose: goose.DialectPostgres,
	now:   "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
	// Neither of the first two stands in the way of rows that refer to this one,
	// or of the UPDATE of a heartbeat.
	lockRow:     " FOR NO KEY UPDATE",
	lockFence:   " FOR KEY SHARE",
	lockShare:   " FOR SHARE",
	lockService: " FOR UPDATE",
	lockKey:     "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
	hasVersions: "SELECT count(*) FROM pg_class WHERE oid = to_regclass('goose_db_version')",
	classify:    classifyPostgres,
}

// postgresURL is a PostgreSQL database.
type postgresURL string

const connectTimeout = 5 * time.Second

// pool returns a pool that opens its connections when they are needed.
func (u postgresURL) pool(conns int) (*sql.DB, error) {
	config, err := pgx.ParseConfig(string(u))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the connection of the database cannot be used: %w", err).WithField("connection")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	setDefault(config.RuntimeParams, "application_name", "volumed")
	// A process that hangs within a transaction must not hold its locks for ever.
	setDefault(config.RuntimeParams, "idle_in_transaction_session_timeout", "30s")
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

func setDefault(params map[string]string, name, value string) {
	if _, set := params[name]; !set {
		params[name] = value
	}
}

// open implements target.
func (u postgresURL) open(ctx context.Context, opts Options) (*DB, error) {
	db, err := u.pool(or(opts.ReadConns, 4) + or(opts.WriteConns, 8))
	if err != nil {
		return nil, err
	}
	urgent, err := u.pool(1)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := checkVersion(newSession(ctx, postgresDialect, db)); err != nil {
		return nil, errors.Join(err, db.Close(), urgent.Close())
	}
	e := &postgresEngine{db: db, urgent: urgent, slots: make(chan struct{}, or(opts.WriteConns, 8))}
	return &DB{d: postgresDialect, engine: e, reads: db}, nil
}

// migrationLock is the key of the advisory lock that migrations hold: "volumed" in hex.
const migrationLock = 0x766f6c756d6564

// migrate implements target.
func (u postgresURL) migrate(ctx context.Context, log Logger) (err error) {
	db, err := u.pool(4)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }() // gives the lock back as well
	conn, err := db.Conn(ctx)
	if err != nil {
		return classify(postgresDialect, err)
	}
	defer conn.Close()
	s := newSession(ctx, postgresDialect, conn)
	if _, err := s.exec("SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	if err := checkVersion(s); err == nil || !errors.Is(err, errOlder) {
		return err
	}
	return upgrade(ctx, postgresDialect, db, log)
}

// postgresEngine runs every write as a transaction on a pool.
type postgresEngine struct {
	db     *sql.DB
	urgent *sql.DB       // one connection that no other write can keep busy
	slots  chan struct{} // bounds the writes, so that reads always find a connection
}

// attempts bounds the runs of a change that keeps losing against others.
const attempts = 20

func (e *postgresEngine) write(ctx context.Context, how manner, change func(*session) error) error {
	db := e.urgent
	if how != urgent {
		select {
		case e.slots <- struct{}{}:
			defer func() { <-e.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
		db = e.db
	}
	for n := 1; ; n++ {
		begun, err := transact(ctx, db, change)
		again := retryable(err) || !begun && lostConnection(err)
		if err == nil || n == attempts || !again {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

// pause waits a little, so that those who met do not meet again.
func pause(ctx context.Context, n int) error {
	timer := time.NewTimer(rand.N(time.Duration(n) * 2 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lostConnection reports whether a connection that the pool had kept turned out to
// be dead, as after a restart of the server: the pool may have more of them.
func lostConnection(err error) bool {
	var connect *pgconn.ConnectError
	return fault.KindOf(err) == fault.Unavailable && !errors.As(err, &connect)
}

// transact runs a change in a transaction of its own. Unless that has begun,
// nothing has happened.
func transact(ctx context.Context, db *sql.DB, change func(*session) error) (begun bool, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return false, classify(postgresDialect, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; else the connection is dropped
	s := newSession(ctx, postgresDialect, tx)
	if err := change(s); err != nil {
		return true, err
	}
	if s.broken != nil {
		return true, s.broken
	}
	return true, committed(tx.Commit())
}

// committed tells a commit that was refused from one that nobody knows of.
func committed(err error) error {
	if err == nil || retryable(err) {
		return classify(postgresDialect, err)
	}
	if err := classify(postgresDialect, err); fault.KindOf(err) == fault.Exhausted {
		return err
	}
	return unknownOutcome(err)
}

func (e *postgresEngine) ping(ctx context.Context) error {
	return classify(postgresDialect, e.db.PingContext(ctx))
}

func (e *postgresEngine) close() error { return errors.Join(e.urgent.Close(), e.db.Close()) }
