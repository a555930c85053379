package store

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/volumed/volumed/fault"
)

// target is where a connection URL leads.
type target interface {
	open(ctx context.Context, opts Options) (*DB, error)
	migrate(ctx context.Context, log Logger) error
}

// parse reads a connection URL in the form of SQLAlchemy, which may name a
// driver (postgresql+psycopg2) and has four slashes before an absolute path.
// Errors do not repeat the URL: it may hold a password.
func parse(connection string) (target, error) {
	u, err := url.Parse(connection)
	if err != nil {
		return nil, badURL("it is not a URL")
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	switch scheme {
	case "sqlite":
		path := strings.TrimPrefix(u.Path, "/")
		if u.Host != "" || !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
			return nil, badURL("the path of a SQLite file must be absolute: sqlite:////var/lib/volumed/volumed.db has four slashes")
		}
		return sqliteFile(filepath.Clean(path)), nil
	case "postgresql", "postgres":
		u.Scheme = "postgres"
		return postgresURL(u.String()), nil
	default:
		return nil, badURL("its scheme must be sqlite or postgresql")
	}
}

func badURL(why string) error {
	return fault.New(fault.Invalid, "the connection of the database cannot be used: %s", why).WithField("connection")
}
