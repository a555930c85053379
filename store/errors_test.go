package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/volumed/volumed/fault"
)

func TestClassifyPostgres(t *testing.T) {
	for code, want := range map[string]fault.Kind{
		"23505": fault.Exists, "23503": fault.Conflict, "40001": fault.Unavailable, "40P01": fault.Unavailable,
		"53100": fault.Exhausted, "53300": fault.Unavailable, "57P01": fault.Unavailable, "57P03": fault.Unavailable,
		"08006": fault.Unavailable, "28P01": fault.Unavailable, "3D000": fault.Unavailable, "25006": fault.Unavailable,
		"22021": fault.Invalid, "42P01": fault.Internal, "": fault.Internal,
	} {
		err := classify(postgresDialect, &pgconn.PgError{Code: code, Message: "m"})
		if fault.KindOf(err) != want {
			t.Errorf("%q is %s, want %s", code, fault.KindOf(err), want)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			t.Errorf("%q: the cause is lost", code)
		}
		if got := retryable(err); got != (code == "40001" || code == "40P01") {
			t.Errorf("%q: retryable = %v", code, got)
		}
	}
}

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want fault.Kind
	}{
		{io.ErrUnexpectedEOF, fault.Unavailable},
		{errors.New(poolClosed), fault.Unavailable},
		{context.Canceled, fault.Cancelled},
		{fmt.Errorf("query: %w", context.DeadlineExceeded), fault.Unavailable},
		{fault.New(fault.Invalid, "own"), fault.Invalid},
		{errors.New("what"), fault.Internal},
		{nil, ""},
	} {
		if err := classify(postgresDialect, tc.err); fault.KindOf(err) != tc.want {
			t.Errorf("%v is %s, want %s", tc.err, fault.KindOf(err), tc.want)
		}
	}
}

func TestParse(t *testing.T) {
	for url, want := range map[string]target{
		"sqlite:////var/lib/volumed/volumed.db":     sqliteFile("/var/lib/volumed/volumed.db"),
		"sqlite:////a/../b%20c/x.db":                sqliteFile("/b c/x.db"),
		"postgresql://u:p@h:5432/d?sslmode=disable": postgresURL("postgres://u:p@h:5432/d?sslmode=disable"),
		"postgres:///d?host=/run/postgresql":        postgresURL("postgres:///d?host=/run/postgresql"),
		"postgresql+psycopg2://u@h/d":               postgresURL("postgres://u@h/d"),
		"mysql://u:secret@h/d":                      nil,
		"sqlite:///relative.db":                     nil,
		"sqlite://host/x.db":                        nil,
		"sqlite:////dir/":                           nil,
		"sqlite://":                                 nil,
		"":                                          nil,
		"postgresql://u:secret@h:port%zz/d":         nil,
	} {
		got, err := parse(url)
		if got != want {
			t.Errorf("%q leads to %v, want %v", url, got, want)
		}
		if want == nil && (fault.KindOf(err) != fault.Invalid || fault.Of(err).Field != "connection") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// A password is in no error.
func TestPasswordIsNotRepeated(t *testing.T) {
	for _, url := range []string{
		"mysql://u:secret@h/d", "postgresql://u:secret@h:port%zz/d", "postgresql://u:secret@127.0.0.1:1/d", "postgresql://u:secret@h/d?sslmode=what",
	} {
		_, err := Open(t.Context(), url, Options{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}
