package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTypes(t *testing.T) {
	type bad string // part of the reason
	tests := []struct {
		kind kind
		in   string
		want any // a bad for an error
	}{
		{boolean, "true", true},
		{boolean, "True", true},
		{boolean, "1", true},
		{boolean, "oN", true},
		{boolean, "YES", true},
		{boolean, "false", false},
		{boolean, "0", false},
		{boolean, "off", false},
		{boolean, "No", false},
		{boolean, "", bad("true or false")},
		{boolean, "y", bad("true or false")},
		{boolean, "t", bad("true or false")},
		{boolean, "2", bad("true or false")},
		{boolean, "true # yes", bad("true or false")},

		{integer, "10", 10},
		{integer, "010", 10},
		{integer, "1_000", 1000},
		{integer, "+5", 5},
		{integer, "-5", -5},
		{integer, " 7 ", 7},
		{integer, "", nil},
		{integer, "  ", nil},
		{integer, "0x10", bad("whole number")},
		{integer, "1e3", bad("whole number")},
		{integer, "ten", bad("whole number")},
		{integer, "1.0", bad("whole number")},
		{integer, "1__0", bad("whole number")},
		{integer, "_1", bad("whole number")},
		{integer, "1 # x", bad("whole number")},
		{integer, "99999999999999999999", bad("too large")},

		{seconds, "60", time.Minute},
		{seconds, "-1", -time.Second},
		{seconds, "", nil},
		{seconds, "1.5", bad("whole number")},
		{seconds, "60s", bad("whole number")},
		{seconds, "999999999999999999", bad("too large")},

		{duration, "90", 90 * time.Second},
		{duration, "0.5", 500 * time.Millisecond},
		{duration, "250ms", 250 * time.Millisecond},
		{duration, "90s", 90 * time.Second},
		{duration, "1.5m", 90 * time.Second},
		{duration, "2h", 2 * time.Hour},
		{duration, "7d", 7 * 24 * time.Hour},
		{duration, "1e1", 10 * time.Second},
		{duration, ".5", 500 * time.Millisecond},
		{duration, "", nil},
		{duration, "soon", bad("a time in seconds")},
		{duration, "1w", bad("a time in seconds")},
		{duration, "inf", bad("a time in seconds")},
		{duration, "nan", bad("a time in seconds")},
		{duration, "0x1p4", bad("a time in seconds")},
		{duration, "1e400", bad("a time in seconds")},
		{duration, "1e30", bad("too large")},

		{text, "as is ", "as is "},
		{text, "", ""},

		{list, "a, b", []string{"a", "b"}},
		{list, "a,,b", []string{"a", "", "b"}},
		{list, "a,b,,", []string{"a", "b"}},
		{list, "", []string(nil)},
		{list, ",", []string(nil)},
		{list, `"a","b"`, []string{`"a"`, `"b"`}},
		{list, "\n a,\n b", []string{"a", "b"}},

		{object, `{"a": 1}`, map[string]any{"a": 1.0}},
		{object, "{}", map[string]any{}},
		{object, "[]", bad("JSON object")},
		{object, "null", bad("JSON object")},
		{object, "", bad("JSON object")},
	}
	for _, tc := range tests {
		o := option{name: "x", kind: tc.kind}
		got, err := o.convert([]string{tc.in})
		if want, isBad := tc.want.(bad); isBad {
			if err == nil || !strings.Contains(err.Error(), string(want)) {
				t.Errorf("%s %q: %v, error %v, want %q", o.typeName(), tc.in, got, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %q: %v", o.typeName(), tc.in, err)
		} else if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", o.typeName(), tc.in, diff)
		}
	}
}

func TestRangesAndChoices(t *testing.T) {
	tests := map[string]struct {
		o    option
		ok   []string
		fail []string
	}{
		"range":   {option{kind: integer, min: ptr(1), max: ptr(3)}, []string{"1", "3"}, []string{"0", "4", "-1"}},
		"seconds": {option{kind: seconds, min: ptr(3)}, []string{"3"}, []string{"2"}},
		"time":    {option{kind: duration, min: ptr(1)}, []string{"1", "1000ms"}, []string{"0.99", "999ms"}},
		"choices": {option{choices: []string{"changed", "never"}}, []string{"never"}, []string{"Never", "", "no"}},
	}
	for name, tc := range tests {
		for _, s := range tc.ok {
			if _, err := tc.o.convert([]string{s}); err != nil {
				t.Errorf("%s: %q: %v", name, s, err)
			}
		}
		for _, s := range tc.fail {
			if v, err := tc.o.convert([]string{s}); err == nil {
				t.Errorf("%s: %q accepted as %v", name, s, v)
			}
		}
	}
}

func TestReplicationDevices(t *testing.T) {
	o := option{kind: devices}
	got, err := o.convert([]string{"backend_id:b, conf : /etc/b:1.conf", "backend_id:c,user:u,secret_uuid:1-2,future:x"})
	want := []ReplicationDevice{{BackendID: "b", Conf: "/etc/b:1.conf"}, {BackendID: "c", User: "u", SecretUUID: "1-2"}}
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("got %#v, %v, want %#v", got, err, want)
	}
	for _, s := range []string{"conf:/x", "backend_id", "backend_id:b,", ""} {
		if got, err := o.convert([]string{s}); err == nil {
			t.Errorf("%q accepted as %v", s, got)
		}
	}
}

func TestConnections(t *testing.T) {
	tests := map[string]struct{ want, cure string }{
		"sqlite:////var/lib/x.sqlite":        {"sqlite:////var/lib/x.sqlite", ""},
		"sqlite+pysqlite:////x":              {"sqlite:////x", ""},
		"postgresql://u:p@h/d?sslmode=off":   {"postgresql://u:p@h/d?sslmode=off", ""},
		"postgres://u@h/d":                   {"postgresql://u@h/d", ""},
		"postgresql+psycopg2://u:p@h:5433/d": {"postgresql://u:p@h:5433/d", ""},
		"mysql://u:p@h/d":                    {"", "use postgresql://"},
		"mysql+pymysql://u:p@h/d":            {"", "sqlite:////"},
		"mariadb://u:p@h/d":                  {"", "use postgresql://"},
		"sqlite:///relative.sqlite":          {"", "four slashes"},
		"sqlite://":                          {"", "four slashes"},
		"oracle://u:p@h/d":                   {"", "use postgresql://"},
		"/var/lib/x.sqlite":                  {"", "use postgresql://"},
		"postgresql://u:p%zz@h/d":            {"", "%XX"},
		"":                                   {"", "use postgresql://"},
	}
	for in, tc := range tests {
		got, reason, hint := parseConnection(in)
		if got != tc.want || (reason == "") != (tc.want != "") || !strings.Contains(hint, tc.cure) {
			t.Errorf("%q: %q, %q, %q, want %q, hint %q", in, got, reason, hint, tc.want, tc.cure)
		}
	}
}

func TestNearest(t *testing.T) {
	known := backendTable.known()
	for in, want := range map[string]string{
		"volume_dirver": "volume_driver", "rbd_pol": "rbd_pool", "RBD_USER": "rbd_user",
		"rdb_ceph_conf": "rbd_ceph_conf", "rbd_secretuuid": "rbd_secret_uuid", "wholly_other": "", "x": "",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", in, got, want)
		}
	}
}

// TestTablesAndFieldsMatch keeps the option tables and the typed structs in
// step: every option that has an effect has one field, and the reverse.
func TestTablesAndFieldsMatch(t *testing.T) {
	for _, tc := range []struct {
		table  *table
		target any
	}{
		{&defaultTable, Default{}}, {&databaseTable, Database{}}, {&natsTable, NATS{}}, {&launcherTable, Launcher{}}, {&backendTable, Backend{}},
	} {
		fields := taggedFields(tc.target)
		seen := map[string]bool{}
		for _, o := range tc.table.options {
			if seen[o.name] {
				t.Errorf("[%s] %s is there twice", tc.table.section, o.name)
			}
			seen[o.name] = true
			if _, has := fields[o.name]; has != (o.kind != ignored) {
				t.Errorf("[%s] %s: has a field: %v", tc.table.section, o.name, has)
			}
			if o.kind != ignored && o.help == "" {
				t.Errorf("[%s] %s has no help", tc.table.section, o.name)
			}
			if (o.kind == integer) != (o.unit != "") {
				t.Errorf("[%s] %s: unit %q", tc.table.section, o.name, o.unit)
			}
			if secret := fields[o.name] == "config.Secret"; secret != o.secret && o.kind == text {
				t.Errorf("[%s] %s: secret %v, field %s", tc.table.section, o.name, o.secret, fields[o.name])
			}
			delete(fields, o.name)
		}
		if len(fields) > 0 {
			t.Errorf("[%s]: fields without an option: %v", tc.table.section, fields)
		}
	}
}
