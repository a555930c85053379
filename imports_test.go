package volumed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/volumed/volumed/"

// importRules say which package must not import what, and why. A pattern names a package or, ending in /…, a package
// and all below it; ours without the module's path. Tests and benches are exempt.
var importRules = []struct {
	pkg       string
	forbidden []string
	why       string
}{
	{"…", []string{"cmd/…"}, "cmd wires the others together, nobody builds on it"},
	{"fault", []string{"./…"}, "the kinds of error stand below everything"},
	{"volume", []string{"database/sql", nats, goCeph}, "the words of the domain do no I/O"},
	{"volume", oursExcept("fault", "internal/redact"), "every package may use the words, so they use none"},
	{"operation", oursExcept("volume", "fault", "internal/crashpoint"), "the engine knows neither SQL nor NATS nor Ceph, only its own interfaces"},
	{"image", oursExcept("fault", "internal/redact"), "images come and go whatever is done with them, and whoever asked"},
	{"audit", oursExcept("volume", "fault"), "what differs is decided without looking: both sides are given"},
	{"config", []string{"driver/…", "store/…", "rpc/…", "worker/…", "supervisor/…"}, "options are read by their owners, not the other way round"},
	{"driver", []string{"driver/…", "rpc/…", "store/…", "worker/…"}, "the contract knows no implementation and no caller"},
	{"driver/rbd", []string{"rpc/…", "store/…", "worker/…", "operation/…"}, "storage answers calls, it knows no rows and no messages"},
	{"driver/mem", []string{"config/…"}, "a driver in memory needs no configuration"},
	{"driver/limit", []string{"config/…"}, "a decorator is told its bounds"},
	{"driver/observe", []string{"config/…"}, "a decorator is told what to write to"},
	{"driver/drivertest", []string{"config/…"}, "the suite opens no driver itself"},
	{"store/…", []string{"driver/…", "rpc/…", "worker/…"}, "rows know nothing of who writes them"},
	{"rpc/…", []string{"driver/…", "store/…", "worker/…"}, "the client is imported by other services, and must stay light"},
	{"worker", []string{"store/…", "database/sql", nats, goCeph}, "the business uses interfaces of its own"},
	{"metrics", []string{"config/…", "store/…", "driver/rbd/…", "driver/mem/…", goCeph, nats}, "it is shown what others know, and opens nothing itself"},
	{"supervisor/…", []string{"config/…", "driver/…", "store/…", "rpc/…", "worker/…", "operation/…"}, "the parent has nothing to lose and can always restart a child"},
	{"internal/logs", oursExcept("fault"), "every process logs before it knows anything else"},
	{"internal/spell", []string{"./…"}, "the client of the bus has it, too, and must stay light"},
	{"report", []string{"./…"}, "what every process has; the others bring their sections along"},
	{"internal/crashpoint", []string{"./…"}, "a leaf, so that every package can have crash points"},
	{"internal/redact", []string{"./…"}, "a leaf, so that every package can show what it has"},
	{"internal/manual", []string{"./…"}, "pages are made from commands, whatever those do"},
}

// homes say which packages alone may import a library.
var homes = []struct {
	path  string
	homes []string
	why   string
}{
	{goCeph, []string{"driver/rbd/…"}, "everything else builds and runs without librbd"},
	{nats, []string{"rpc/…", "internal/bus/…", "cmd/volumed", "internal/testenv"}, "one place turns messages into calls"},
	{"database/sql/…", []string{"store/…"}, "one place knows SQL"},
	{"modernc.org/sqlite/…", []string{"store/…"}, "one place knows SQL"},
	{"github.com/pressly/goose/…", []string{"store/…"}, "one place knows SQL"},
	{"github.com/jackc/pgx/…", []string{"store/…", "internal/testenv"}, "one place knows SQL"},
	{"github.com/prometheus/…", []string{"metrics"}, "one place knows how metrics are written"},
	{module + "metrics", []string{"cmd/volumed"}, "who counts calls back, and does not know who is told"},
	{"testing", []string{"internal/testenv", "driver/drivertest", "store/storetest", "rpc/rpctest"}, "the service does not link the test framework"},
	{module + "internal/testenv", nil, "only tests start services"},
}

const (
	goCeph = "github.com/ceph/go-ceph/…"
	nats   = "github.com/nats-io/…"
)

// oursExcept stands for all packages of this module but some.
func oursExcept(allowed ...string) []string {
	return []string{"./… " + strings.Join(allowed, " ")}
}

func TestImports(t *testing.T) {
	for _, pkg := range packages(t) {
		name := strings.TrimPrefix(pkg.ImportPath, module)
		if matches("bench/…", name) {
			continue
		}
		for _, imported := range pkg.Imports {
			for _, rule := range importRules {
				if matches(rule.pkg, name) && forbids(rule.forbidden, imported) {
					t.Errorf("%s imports %s, which it must not: %s", name, imported, rule.why)
				}
			}
			for _, home := range homes {
				if matches(home.path, imported) && !matchesAny(home.homes, name) {
					t.Errorf("%s imports %s, which belongs to %v: %s", name, imported, home.homes, home.why)
				}
			}
		}
	}
}

// TestImportRulesBite shows for each form of pattern an import that it must and one that it must not catch.
func TestImportRulesBite(t *testing.T) {
	for _, tt := range []struct {
		forbidden []string
		imported  string
		want      bool
	}{
		{[]string{nats}, "github.com/nats-io/nats.go/micro", true},
		{[]string{nats}, "github.com/nats-iota/nats.go", false},
		{[]string{"database/sql"}, "database/sql", true},
		{[]string{"database/sql"}, "database/sql/driver", false},
		{[]string{"store/…"}, module + "store", true},
		{[]string{"store/…"}, module + "store/storetest", true},
		{[]string{"store/…"}, module + "storefront", false},
		{[]string{"./…"}, module + "volume", true},
		{[]string{"./…"}, "errors", false},
		{oursExcept("fault"), module + "fault", false},
		{oursExcept("fault"), module + "volume", true},
	} {
		if got := forbids(tt.forbidden, tt.imported); got != tt.want {
			t.Errorf("forbids(%q, %q) = %v, want %v", tt.forbidden, tt.imported, got, tt.want)
		}
	}
}

// forbids reports whether an import is among patterns of importRules. Ours are compared by their short name.
func forbids(patterns []string, imported string) bool {
	short, ours := strings.CutPrefix(imported, module)
	for _, p := range patterns {
		if all, ok := strings.CutPrefix(p, "./…"); ok {
			if ours && !matchesAny(strings.Fields(all), short) {
				return true
			}
		} else if matches(p, short) {
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}

func matches(pattern, path string) bool {
	if pattern == "…" {
		return true
	}
	tree, ok := strings.CutSuffix(pattern, "/…")
	return path == tree || ok && strings.HasPrefix(path, tree+"/")
}

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string // those of its tests not among them
}

// packages lists this module's packages, with the files of every build that this machine can make.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "crashpoints,ceph_preview", "-json=ImportPath,Name,Doc,Imports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg goPackage
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		list = append(list, pkg)
	}
}
