package image

import (
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// wantKind fails the test unless err is of the kind; "" stands for no error.
func wantKind(t testing.TB, kind fault.Kind, err error) {
	t.Helper()
	if got := fault.KindOf(err); got != kind {
		t.Fatalf("kind = %q, want %q: %v", got, kind, err)
	}
}
