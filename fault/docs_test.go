package fault_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/volumed/volumed/fault"
)

// TestDocs compares the table of kinds in docs/errors.md with the one in the code.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range fault.Kinds() {
		retryable := map[bool]string{true: "yes", false: "no"}[k.Retryable()]
		if row := fmt.Sprintf("\n| `%s` | %d | %s | ", k, k.Status(), retryable); !strings.Contains(string(text), row) {
			t.Errorf("docs/errors.md has no row that begins with %q", row)
		}
	}
	if rows := strings.Count(string(text), "| yes |") + strings.Count(string(text), "| no |"); rows != len(fault.Kinds()) {
		t.Errorf("docs/errors.md has %d kinds, the code has %d", rows, len(fault.Kinds()))
	}
}
