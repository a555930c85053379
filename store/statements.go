package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// statements is a connection that keeps its prepared statements: preparing one
// costs SQLite more than running it. The texts are those of this package, so
// there are few. Not for use by several goroutines.
type statements struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

var _ querier = (*statements)(nil)

func (c *statements) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := c.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.prepared[query] = stmt
	return stmt, nil
}

// ExecContext implements querier.
func (c *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := c.prepare(ctx, query) //nolint:sqlclosecheck // kept until close
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext implements querier.
func (c *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := c.prepare(ctx, query) //nolint:sqlclosecheck // kept until close
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// try runs a statement whose failure changes nothing.
func (c *statements) try(query string) {
	_, _ = c.ExecContext(context.Background(), query)
}

func (c *statements) close() error {
	var errs []error
	for _, stmt := range c.prepared {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// lookups is the connections that read, for queries of one row by its id, whose
// prepared statements are kept. Lists have too many texts for that.
type lookups struct {
	*sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

var _ querier = (*lookups)(nil)

// QueryContext implements querier.
func (l *lookups) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := l.prepare(ctx, query) //nolint:sqlclosecheck // kept until the pool is closed
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (l *lookups) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stmt, ok := l.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := l.PrepareContext(ctx, query) //nolint:sqlclosecheck // kept until the pool is closed
	if err == nil {
		l.prepared[query] = stmt
	}
	return stmt, err
}
