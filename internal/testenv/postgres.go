package testenv

import (
	"context"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Postgres returns the URL of an empty database on a real server, by a user who may do everything in it. Database and
// connections to it are gone when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	server, err := sharedPostgres()
	if err != nil {
		t.Fatalf("no PostgreSQL to test on: %v", err)
	}
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	execute(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	address, err := url.Parse(server)
	if err != nil {
		t.Fatalf("VOLUMED_TEST_POSTGRES: %v", err)
	}
	address.Path = "/" + name
	return address.String()
}

var sharedPostgres = sync.OnceValues(func() (string, error) {
	if server := os.Getenv("VOLUMED_TEST_POSTGRES"); server != "" {
		return server, nil
	}
	return startService("devpostgres")
})

func execute(t testing.TB, server, statement string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
