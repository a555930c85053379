package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
)

// nextVersion builds the version that is to come: its schema has a column more, and
// its records are of a newer version.
func nextVersion(t *testing.T) string {
	migration := func(string) string { return "-- +goose Up\nALTER TABLE volumes ADD COLUMN of_the_next_version TEXT;\n" }
	return testenv.NextBinary(t, map[string]func(string) string{
		"store/migrations/sqlite/900_next.sql":   migration,
		"store/migrations/postgres/900_next.sql": migration,
		"worker/takeover.go": func(text string) string {
			next := strings.Replace(text, `ObjectVersion = "1.1"`, `ObjectVersion = "1.2"`, 1)
			if next == text {
				t.Fatal("worker/takeover.go does not tell the version of the records where this test looks for it")
			}
			return next
		},
	})
}

// The service is upgraded by a restart under load, and taken back to the version
// before on the schema of the next one. Callers that repeat by request id lose
// nothing and get nothing twice.
func TestUpgradeAndBack(t *testing.T) {
	t.Parallel()
	s := started(t, options{backends: 2})
	now, next := s.binary, nextVersion(t)
	l := s.load(20, repeated)
	l.proceed(20)
	for _, version := range []struct{ binary, records string }{{next, "1.2"}, {now, "1.1"}, {next, "1.2"}} {
		s.upgrade(version.binary)
		l.proceed(40)
		if got := s.records(); got != version.records {
			t.Errorf("records of version %s, want %s", got, version.records)
		}
	}
	l.end()
	s.quiet()
	s.audit()
	t.Logf("three restarts under %s", l)
}

// upgrade restarts the service with another binary, as a package does.
func (s *service) upgrade(binary string) {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exit(); code != 0 {
		s.t.Errorf("exit code %d", code)
	}
	s.binary = binary
	s.start()
}

// records is the version of the records that the services write.
func (s *service) records() string {
	s.t.Helper()
	page, err := s.client.ListServices(s.t.Context(), rpc.ListServicesRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, service := range page.Services {
		found[service.ObjectCurrentVersion] = true
	}
	if len(found) != 1 {
		s.t.Errorf("services of versions %v", found)
	}
	return page.Services[0].ObjectCurrentVersion
}

// Versions live side by side on one database, and the list of services says who
// keeps the newer ones from writing what the older ones could not read; the dead do
// not.
func TestTwoVersionsSideBySide(t *testing.T) {
	t.Parallel()
	broker := testenv.NATS(t)
	database := testenv.Postgres(t)
	older := started(t, options{nats: broker, database: database})
	newer := newService(t, options{nats: broker, database: database})
	newer.configure("host = "+host, "host = node2")
	newer.binary = nextVersion(t)
	newer.start()
	newer.connect()
	newer.answers("node2@rbd0")
	holding := func() (holders []string) {
		out, messages, code := newer.runVolumectl("service", "list", "-o", "json")
		var reply rpc.ServicesReply
		if err := json.Unmarshal([]byte(out), &reply); err != nil || code != 0 {
			t.Fatalf("service list: %v, %d, %s", err, code, messages)
		}
		for _, s := range reply.Services {
			if s.HoldsBack {
				holders = append(holders, s.Host)
			}
		}
		return holders
	}
	if got := holding(); len(got) != 1 || got[0] != older.backend(0) {
		t.Errorf("held back by %v", got)
	}
	v := older.createVolume(rpc.CreateVolumeRequest{Size: 1})
	if _, err := newer.client.GetVolume(t.Context(), rpc.VolumeIDRequest{VolumeID: v.ID}); err != nil {
		t.Errorf("a volume of the older version, read beside the newer: %v", err)
	}
	older.stop()
	newer.eventually("the dead hold nobody back", func() error {
		if got := holding(); len(got) > 0 {
			return fmt.Errorf("held back by %v", got)
		}
		return nil
	})
}
