package storetest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/store"
)

// Raw opens the database of the URL beside store, as an operator with a SQL
// client would; it is closed with the test.
func Raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
		driver, source = "sqlite", path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func testMigrateAtOnce(t *testing.T, url string) {
	if err := each(4, func(int) error { return store.Migrate(t.Context(), url, quiet{}) }); err != nil {
		t.Fatal(err)
	}
	id := Reopen(t, url).ID()
	if again := Open(t, url).ID(); again != id {
		t.Errorf("a repeated Migrate changed the id from %s to %s", id, again)
	}
}

func testOlderSchema(t *testing.T, url string) {
	_, err := store.Open(t.Context(), url, store.Options{})
	wantKind(t, err, fault.Unavailable)
	if hint := fault.Of(err).Hint; !strings.Contains(hint, "db-sync") {
		t.Errorf("hint = %q", hint)
	}
}

// A migration that was cut off after its last script is brought to its end by the
// next one.
func testCutOffMigration(t *testing.T, url string) {
	if err := store.Migrate(t.Context(), url, quiet{}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"DELETE FROM meta", "UPDATE meta SET compatible_since = 0"} {
		if _, err := Raw(t, url).Exec(statement); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(t.Context(), url, store.Options{})
		wantKind(t, err, fault.Unavailable)
		wantKind(t, store.Migrate(t.Context(), url, quiet{}), "")
		db, err := store.Open(t.Context(), url, store.Options{})
		wantKind(t, err, "")
		if err == nil {
			wantKind(t, db.Close(), "")
		}
	}
}

func testNewerSchema(t *testing.T, url string) {
	if err := store.Migrate(t.Context(), url, quiet{}); err != nil {
		t.Fatal(err)
	}
	change := func(statement string) {
		t.Helper()
		if _, err := Raw(t, url).Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	change("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)")
	change("ALTER TABLE volumes ADD COLUMN of_a_newer_version TEXT")
	wantKind(t, store.Migrate(t.Context(), url, quiet{}), "")
	db, err := store.Open(t.Context(), url, store.Options{})
	wantKind(t, err, "")
	if got := db.Schema(); !strings.HasSuffix(got, ", schema 999") {
		t.Errorf("opened %s", got)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	change("UPDATE meta SET compatible_since = 999")
	_, err = store.Open(t.Context(), url, store.Options{})
	wantKind(t, err, fault.Unsupported)
	wantKind(t, store.Migrate(t.Context(), url, quiet{}), fault.Unsupported)
}
