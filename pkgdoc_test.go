package volumed_test

import (
	"strings"
	"testing"
)

// TestPackageComments asks every package for a comment that says what it is there for, in Go's form.
func TestPackageComments(t *testing.T) {
	for _, pkg := range packages(t) {
		want := "Package " + pkg.Name + " "
		switch {
		case pkg.ImportPath+"/" == module:
			continue // this directory holds tests only
		case pkg.Name == "main":
			want = ""
		}
		if pkg.Doc == "" || !strings.HasPrefix(pkg.Doc, want) {
			t.Errorf("%s: its package comment must begin with %q, not %q", pkg.ImportPath, want, pkg.Doc)
		}
	}
}
