package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// querier is what a session runs its statements on: a pool, a transaction, or
// the one connection of the SQLite writer.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// session runs statements: it binds their arguments and classifies their errors.
type session struct {
	ctx context.Context //nolint:containedctx // a session lives for one call that has this context
	d   *dialect
	q   querier
	// now is the time that this session writes into rows.
	now time.Time
	// broken is the first error of the database. What follows it is not run: the
	// engine may have ended the transaction, and a statement after it would be
	// committed on its own.
	broken error
}

func newSession(ctx context.Context, d *dialect, q querier) *session {
	return &session{ctx: ctx, d: d, q: q, now: time.Now().UTC().Truncate(time.Microsecond)}
}

// fail remembers err of the driver and returns it classified.
func (s *session) fail(err error) error {
	s.broken = classify(s.d, err)
	if ended := s.ctx.Err(); ended != nil { // drivers put this in words of their own
		s.broken = ended
	}
	return s.broken
}

// exec runs a statement and returns the number of rows that it changed.
func (s *session) exec(query string, args ...any) (int64, error) {
	if s.broken != nil {
		return 0, s.broken
	}
	bound, err := bind(args)
	if err != nil {
		return 0, err
	}
	result, err := s.q.ExecContext(s.ctx, query, bound...)
	if err != nil {
		return 0, s.fail(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, s.fail(err)
	}
	return n, nil
}

// each runs a query and calls scan for every row of it.
func (s *session) each(scan func(scan func(dest ...any) error) error, query string, args ...any) (err error) {
	if s.broken != nil {
		return s.broken
	}
	bound, err := bind(args)
	if err != nil {
		return err
	}
	rows, err := s.q.QueryContext(s.ctx, query, bound...)
	if err != nil {
		return s.fail(err)
	}
	defer func() {
		if cerr := rows.Close(); err == nil && cerr != nil {
			err = s.fail(cerr)
		}
	}()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return s.fail(err)
		}
	}
	if err := rows.Err(); err != nil {
		return s.fail(err)
	}
	return nil
}

// one reads a row into dest and reports whether there is one.
func (s *session) one(dest []any, query string, args ...any) (found bool, err error) {
	err = s.each(func(scan func(...any) error) error {
		found = true
		return scan(dest...)
	}, query, args...)
	return found, err
}

// all reads the rows of a query, whose columns are those of fields.
func all[T any](s *session, fields func(*T) []any, query string, args ...any) ([]T, error) {
	var list []T
	err := s.each(func(scan func(...any) error) error {
		var row T
		if err := scan(fields(&row)...); err != nil {
			return err
		}
		list = append(list, row)
		return nil
	}, query, args...)
	return list, err
}

// get reads the one row of a query, fault.NotFound if there is none.
func get[T any](s *session, fields func(*T) []any, r volume.Resource, query string, args ...any) (T, error) {
	var row T
	found, err := s.one(fields(&row), query, args...)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "there is no %s", r)
	}
	return row, err
}

// fence checks the right to write, and on PostgreSQL holds it until the commit:
// a take-over waits.
func (s *session) fence(f operation.Fence) error {
	var epoch int64
	found, err := s.one([]any{&epoch}, selectFence+s.d.lockFence, f.Host, f.Epoch, volume.Binary)
	if err == nil && !found {
		err = operation.ErrFenced
	}
	return err
}

const selectFence = `SELECT epoch FROM services WHERE host = $1 AND epoch = $2 AND "binary" = $3`

// placeholders returns "$1, $2" up to $n.
func placeholders(n int) string {
	b := make([]byte, 0, 5*n)
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, "$%d", i+1)
	}
	return string(b)
}

// insertInto returns the INSERT of all the columns, which does nothing when a
// unique column is taken: an error would end a transaction of PostgreSQL.
func insertInto(table string, columns []string) string {
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + placeholders(len(columns)) + ") ON CONFLICT DO NOTHING"
}

// assignments returns "a = $1, b = $2" for the columns, numbered from first.
func assignments(first int, columns []string) string {
	set := slices.Clone(columns)
	for i, name := range set {
		set[i] = fmt.Sprintf("%s = $%d", name, first+i)
	}
	return strings.Join(set, ", ")
}
