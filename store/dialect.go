package store

import (
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the engines in the statements that they share.
type dialect struct {
	name  string // as in migrations/<name>
	goose goose.Dialect
	// now is an expression: the database's clock in microseconds since 1970.
	now string
	// Suffixes of SELECT that lock the rows until the end of the transaction.
	lockRow     string // against everyone who wants to change them
	lockFence   string // against a take-over, but not against heartbeats
	lockShare   string // against every change, but not against others who do the same
	lockService string // against every fence
	// lockKey, if any, is a statement that locks a key ($1) which no row stands for.
	lockKey string
	// hasVersions counts the tables of schema versions: 0 or 1.
	hasVersions string
	// classify gives an error of the driver its kind, nil for one it does not know.
	classify func(error) error
}

// scripts returns the migrations of the engine.
func (d *dialect) scripts() (fs.FS, error) { return fs.Sub(migrations, "migrations/"+d.name) }

// newest returns the schema version that this program works with.
func (d *dialect) newest() (int64, error) {
	scripts, err := d.scripts()
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(scripts, "*.sql")
	if err != nil {
		return 0, err
	}
	newest := int64(0)
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}
