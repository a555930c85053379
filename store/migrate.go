package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"github.com/volumed/volumed/fault"
)

// Logger is what Migrate tells its progress to: a constant message and pairs.
type Logger interface {
	Info(message string, pairs ...any)
}

// Migrate brings the database of the URL (see Open) to the schema of this
// program; a SQLite file that is not there is made, readable by its owner only.
// It may be repeated, and run by several processes at once. A schema that is
// newer is left as it is: nil if this program can work with it, else
// fault.Unsupported.
func Migrate(ctx context.Context, connection string, log Logger) (err error) {
	t, err := parse(connection)
	if err != nil {
		return err
	}
	defer fault.Wrap(&err, "migrate the database")
	return t.migrate(ctx, log)
}

// upgrade runs the migrations that are missing. The caller keeps other processes out.
func upgrade(ctx context.Context, d *dialect, db *sql.DB, log Logger) error {
	scripts, err := d.scripts()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(d.goose, db, scripts, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return classify(d, err)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return classify(d, err)
	}
	for _, m := range done {
		log.Info("schema migrated", "version", m.Source.Version, "took", m.Duration)
	}
	s := newSession(ctx, d, db)
	now := time.Now()
	_, err = s.exec(`INSERT INTO meta (singleton, database_id, created_at, compatible_since) VALUES (1, $1, $2, $3)
		ON CONFLICT (singleton) DO UPDATE SET compatible_since = excluded.compatible_since`, uuid.NewString(), timeOf(&now), compatibleSince)
	return err
}

// errOlder tells that there is something to migrate.
var errOlder = errors.New("older schema")

// compatibleSince is the oldest schema whose programs can work with the newest one
// of this program. Migrations only add, so that a service can be upgraded host by
// host, and taken back; one that does not raises this number.
const compatibleSince = 6

// checkVersion compares the schema with the one of this program: fault.Unavailable
// and errOlder for an older one, fault.Unsupported for a newer one that says of
// itself that this program does not know enough.
func checkVersion(s *session) error {
	newest, err := s.d.newest()
	if err != nil {
		return err
	}
	version, err := schemaVersion(s)
	switch {
	case err != nil:
		return err
	case version < newest:
		return fault.New(fault.Unavailable, "the schema has version %d, this program needs %d: %w", version, newest, errOlder).
			WithHint("run volumed db-sync")
	case version > newest:
		return checkNewer(s, version, newest)
	}
	return checkMeta(s)
}

// checkMeta is errOlder for a database whose migration was cut off before it had
// noted what follows from it.
func checkMeta(s *session) error {
	var since int64
	known, err := s.one([]any{&since}, "SELECT compatible_since FROM meta")
	if err == nil && (!known || since < compatibleSince) {
		err = fault.New(fault.Unavailable, "the migration of the database has not come to its end: %w", errOlder).
			WithHint("run volumed db-sync")
	}
	return err
}

// checkNewer asks a newer schema whether this program can work with it.
func checkNewer(s *session, version, newest int64) error {
	var since int64
	known, err := s.one([]any{&since}, "SELECT compatible_since FROM meta")
	if err != nil {
		return err
	}
	if known && since > 0 && newest >= since {
		return nil
	}
	return fault.New(fault.Unsupported, "the schema has version %d, this program knows %d: the database belongs to a newer version of volumed", version, newest).
		WithHint("run the newer volumed; programs that know version %d or newer can work with it", since)
}

// schemaVersion returns 0 for a database without a schema.
func schemaVersion(s *session) (version int64, err error) {
	var tables int
	if _, err := s.one([]any{&tables}, s.d.hasVersions); err != nil || tables == 0 {
		return 0, err
	}
	_, err = s.one([]any{&version}, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied")
	return version, err
}
