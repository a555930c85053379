package store

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

func TestFilesAreThePrivateOnesOfTheOwner(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, "sqlite:///"+filepath.Join(dir, "volumed.db"))
	takeOver(t, db, "node@rbd0")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("files: %v, %v", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}

// A file of a newer version is as it was after this version has refused it, or has
// found that it can work with it.
func TestNewerFileIsUntouched(t *testing.T) {
	for name, tt := range map[string]struct {
		since int
		want  fault.Kind
	}{"migrations that only added": {compatibleSince, ""}, "one that did not": {999, fault.Unsupported}} {
		t.Run(name, func(t *testing.T) { newerFile(t, tt.since, tt.want) })
	}
}

func newerFile(t *testing.T, since int, want fault.Kind) {
	path := filepath.Join(t.TempDir(), "volumed.db")
	url := "sqlite:///" + path
	if err := Migrate(t.Context(), url, quiet{}); err != nil {
		t.Fatal(err)
	}
	db, err := sqliteFile(path).pool("rw", 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1); UPDATE meta SET compatible_since = $1", since)
	if cerr := db.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	before := checksum(t, path)
	if err := Migrate(t.Context(), url, quiet{}); fault.KindOf(err) != want {
		t.Errorf("Migrate: %v", err)
	}
	opened, err := Open(t.Context(), url, Options{})
	if fault.KindOf(err) != want {
		t.Errorf("Open: %v", err)
	}
	if err == nil {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
	if checksum(t, path) != before {
		t.Error("the file has changed")
	}
}

// checksum opens the file, which nothing may do while the database is open.
func checksum(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "volumed.db")
	text := bytes.Repeat([]byte("something else\n"), 1000)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "sqlite:///"+path, Options{}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("error = %v", err)
	}
	if err := Migrate(t.Context(), "sqlite:///"+path, quiet{}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("error = %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
		t.Error("the file has changed")
	}
}

func TestPragmas(t *testing.T) {
	db := openSQLite(t)
	s := newSession(t.Context(), sqliteDialect, db.reads)
	if _, err := s.exec("DELETE FROM meta"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a write on the connections that read: %v", err)
	}
	err := db.engine.write(t.Context(), durable, func(s *session) error {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
		} {
			var got string
			if _, err := s.one([]any{&got}, "PRAGMA "+pragma); err != nil || got != want {
				t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Run("limit", func(t *testing.T) {
		db := openSQLite(t)
		limit := func(pages int) {
			err := db.engine.write(t.Context(), urgent, func(s *session) error {
				_, err := s.exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		limit(60)
		testFull(t, db, func() { limit(1 << 20) })
	})
	if os.Geteuid() != 0 {
		return // only root may mount a small file system
	}
	t.Run("file_system", func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // after the database is closed
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		ballast := filepath.Join(dir, "ballast")
		db := openAt(t, "sqlite:///"+filepath.Join(dir, "volumed.db"))
		takeOver(t, db, "other@rbd0")
		if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		testFull(t, db, func() {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// testFull writes until there is no room, makes room, and goes on.
func testFull(t *testing.T, db *DB, makeRoom func()) {
	fence := takeOver(t, db, "node@rbd0")
	insert := func(i int) error {
		v := volume.Volume{ID: fmt.Sprint(i), Description: strings.Repeat("x", 3000)}
		return db.Write(t.Context(), fence, func(tx operation.Tx) error { return tx.InsertVolume(&v) })
	}
	var err error
	n := 0
	for ; err == nil; n++ {
		err = insert(n)
	}
	n-- // the one that was refused
	if fault.KindOf(err) != fault.Exhausted || n == 0 {
		t.Fatalf("after %d rows: %v", n, err)
	}
	if hint := fault.Of(err).Hint; hint == "" {
		t.Errorf("no hint: %v", err)
	}
	if _, err := db.Volume(t.Context(), fmt.Sprint(n)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the row that was refused: %v", err)
	}
	if _, err := db.Volume(t.Context(), fmt.Sprint(n-1)); err != nil {
		t.Errorf("the row before: %v", err)
	}
	makeRoom()
	if err := insert(n); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := db.Heartbeat(t.Context(), fence, volume.Ready, "", nil); err != nil {
		t.Error(err)
	}
}

// What Migrate says is for an operator to read.
func TestMigrateTellsItsProgress(t *testing.T) {
	var said recorder
	url := "sqlite:///" + filepath.Join(t.TempDir(), "volumed.db")
	for range 2 {
		if err := Migrate(t.Context(), url, &said); err != nil {
			t.Fatal(err)
		}
	}
	scripts, err := sqliteDialect.scripts()
	if err != nil {
		t.Fatal(err)
	}
	if names, err := fs.Glob(scripts, "*.sql"); err != nil || len(said.lines) != len(names) {
		t.Errorf("said %v of %v", said.lines, names)
	}
}

type recorder struct{ lines []string }

// Info implements Logger.
func (r *recorder) Info(message string, pairs ...any) {
	r.lines = append(r.lines, message+" "+fmt.Sprint(pairs...))
}

var _ io.Closer = (*DB)(nil)

// An update that leaves alone what the indexes are about does not write them.
func TestUpdatesLeaveIndexesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "volumed.db")
	openAt(t, "sqlite:///"+path)
	db := readOnly(t, path)
	for query, want := range map[string]int{updateUnmoved: 0, updateVolume: 6} {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN "+query, make([]any, strings.Count(query, "$"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		writes := 0
		for rows.Next() {
			var opcode string
			var rest any
			if err := rows.Scan(&rest, &opcode, &rest, &rest, &rest, &rest, &rest, &rest); err != nil {
				t.Fatal(err)
			}
			if opcode == "IdxInsert" {
				writes++
			}
		}
		if err := rows.Err(); err != nil || writes != want {
			t.Errorf("writes %d indexes, want %d, %v: %s", writes, want, err, query)
		}
	}
}

// The volumes of some images are found by the index.
func TestVolumesOfImagesAreFoundByIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "volumed.db")
	openAt(t, "sqlite:///"+path)
	query := selectVolumes + " WHERE " + ofImage + " IN (" + placeholders(2) + ")"
	rows, err := readOnly(t, path).QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, rest int
		var detail string
		if err := rows.Scan(&id, &parent, &rest, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if want := []string{"SEARCH volumes USING INDEX volumes_image (image_id=?)"}; rows.Err() != nil || !slices.Equal(plan, want) {
		t.Errorf("plan %q, want %q, %v", plan, want, rows.Err())
	}
}

// readOnly opens a database file beside those who write to it.
func readOnly(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sqliteFile(path).pool("ro", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
