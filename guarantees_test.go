package volumed_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every test that the page of guarantees names is there, and every row of it names
// one, or says what is missing.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		tests := testNames.FindAllStringSubmatch(line, -1)
		if id, isRow := strings.CutPrefix(line, "| F"); isRow {
			rows[id[:2]] = true
			if len(tests) == 0 && !strings.Contains(line, "*Not yet:*") {
				t.Errorf("no test: %s", line)
			}
		}
		for _, m := range tests {
			if !hasTest(t, m[1], m[2], m[3]) {
				t.Errorf("%s is named and is not there", m[0])
			}
		}
	}
	if len(rows) != 50 {
		t.Errorf("%d rows, want F01 to F50", len(rows))
	}
}

// suites are where the cases of a package's tests are, if not in its own tests.
var suites = map[string]string{"store": "store/storetest", "driver/rbd": "driver/drivertest", "driver/mem": "driver/drivertest"}

// hasTest reports whether the package has the test, and its suite the case.
func hasTest(t *testing.T, pkg, test, name string) bool {
	if pkg == "volumed" {
		pkg = "."
	}
	if !inGo(t, pkg, "_test.go", "func "+test+"(t *testing.T)") {
		return false
	}
	return name == "" || suites[pkg] != "" && inGo(t, suites[pkg], ".go", `"`+name+`"`)
}

// inGo reports whether a file of the folder with the given end contains the text.
func inGo(t *testing.T, folder, end, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"+end))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), text) {
			return true
		}
	}
	return false
}
