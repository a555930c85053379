package driver_test

import (
	"strings"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
)

// outer hides what is below it, but for Unwrap.
type outer struct{ driver.Driver }

func (o outer) Unwrap() driver.Driver { return o.Driver }

func TestAsSeesThroughDecorators(t *testing.T) {
	inner := mem.New(mem.NewWorld())
	if got, ok := driver.As[*mem.Driver](outer{outer{inner}}); !ok || got != inner {
		t.Errorf("As = %v, %v", got, ok)
	}
	if _, ok := driver.As[interface{ Replicate() }](outer{inner}); ok {
		t.Error("As found what no driver has")
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]fault.Kind{
		"volume-1": "", "a b ü %s": "", strings.Repeat("x", 200): "",
		"": fault.Invalid, strings.Repeat("x", 201): fault.Invalid, "a/b": fault.Invalid, "a@b": fault.Invalid,
		"a\x00b": fault.Invalid, "a\tb": fault.Invalid, "\xff": fault.Invalid, "a\u202eb": fault.Invalid,
	} {
		if got := fault.KindOf(driver.CheckName(name)); got != want {
			t.Errorf("CheckName(%q) is %q, want %q", name, got, want)
		}
	}
}

func TestCheckSize(t *testing.T) {
	for size, want := range map[int64]fault.Kind{
		1: "", driver.MaxSize: "", 0: fault.Invalid, -1: fault.Invalid, driver.MaxSize + 1: fault.Invalid,
	} {
		if got := fault.KindOf(driver.CheckSize(size)); got != want {
			t.Errorf("CheckSize(%d) is %q, want %q", size, got, want)
		}
	}
}
