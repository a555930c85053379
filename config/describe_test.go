package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDescribe looks at one option of each form.
func TestDescribe(t *testing.T) {
	got := map[string]Option{}
	for _, s := range Describe() {
		for _, o := range s.Options {
			got[s.Name+"."+o.Name] = o
		}
	}
	for name, want := range map[string]Option{
		"DEFAULT.host": {Name: "host", Type: "string", Default: "the host name", Meaning: "Name of this node in `host@backend`; opaque, must stay the same over restarts."},
		"database.connection": {
			Name: "connection", Type: "string", Default: "sqlite:///$state_path/volumed.sqlite", Secret: true,
			Meaning: "`sqlite:////ABSOLUTE/PATH`, for the processes of one machine, or `postgresql://USER:PASSWORD@HOST/DATABASE`.",
		},
		"backend_defaults.reserved_percentage": {Name: "reserved_percentage", Type: "int", Unit: "%", Default: "0", Range: "min 0, max 100", Meaning: "Capacity reported as not to be used."},
		"DEFAULT.my_ip":                        {Name: "my_ip", Type: "string", Default: "address of the default route", Meaning: "Address of this node, for `$my_ip`. Without effect in this version."},
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if o, ok := got["DEFAULT.osapi_volume_listen"]; ok {
		t.Errorf("an option that nothing reads is described: %+v", o)
	}
}
