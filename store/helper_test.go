package store

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// quiet is a Logger that says nothing.
type quiet struct{}

// Info implements Logger.
func (quiet) Info(string, ...any) {}

func openAt(t *testing.T, url string) *DB {
	t.Helper()
	if err := Migrate(t.Context(), url, quiet{}); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openSQLite(t *testing.T) *DB {
	t.Helper()
	return openAt(t, "sqlite:///"+filepath.Join(t.TempDir(), "volumed.db"))
}

func takeOver(t *testing.T, db *DB, host string) operation.Fence {
	t.Helper()
	s, _, err := db.TakeOver(t.Context(), volume.Service{Host: host, Binary: volume.Binary, Topic: volume.Binary})
	if err != nil {
		t.Fatal(err)
	}
	return operation.Fence{Host: host, Epoch: s.Epoch}
}

// block keeps the one connection of a write busy, and returns once it is. release
// lets it go and returns what the write came to.
func block(ctx context.Context, e engine, how manner) (release func() error) {
	running, leave, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		result <- e.write(ctx, how, func(*session) error {
			close(running)
			<-leave
			return nil
		})
	}()
	<-running
	return func() error {
		close(leave)
		return <-result
	}
}
