package config

import (
	"strings"
	"testing"
)

func TestSubstitution(t *testing.T) {
	tests := map[string]struct{ options, backend, want string }{
		"same section":          {"", "rbd_pool = p\nvolume_backend_name = x-$rbd_pool", "x-p"},
		"braces":                {"", "rbd_pool = p\nvolume_backend_name = ${rbd_pool}.x", "p.x"},
		"[DEFAULT]":             {"host = h", "volume_backend_name = $host", "h"},
		"own section first":     {"cluster = c", "rbd_cluster_name = b\nvolume_backend_name = $rbd_cluster_name", "b"},
		"a default":             {"", "volume_backend_name = $rbd_pool", "rbd"},
		"default found here":    {"", "volume_backend_name = $host/$my_ip", "node1/192.0.2.7"},
		"group and option":      {"", "volume_backend_name = $nats.listen", "127.0.0.1:4222"},
		"group in braces":       {"", "volume_backend_name = ${nats.listen}", "127.0.0.1:4222"},
		"own section by name":   {"", "volume_backend_name = $rbd0.rbd_pool", "rbd"},
		"typed bool":            {"debug = yes", "volume_backend_name = $debug", "True"},
		"typed int":             {"graceful_shutdown_timeout = 010", "volume_backend_name = $graceful_shutdown_timeout", "10"},
		"typed seconds":         {"report_interval = +5", "volume_backend_name = $report_interval", "5"},
		"list":                  {"", "volume_backend_name = $enabled_backends", "rbd0"},
		"unset":                 {"", "volume_backend_name = x$rbd_user", "x"},
		"chain":                 {"host = $cluster-h\ncluster = $storage_availability_zone", "volume_backend_name = $host", "nova-h"},
		"option without effect": {"rootwrap_config = /etc/r", "volume_backend_name = $rootwrap_config", "/etc/r"},
		"doubled":               {"", "volume_backend_name = a$$b", "a$b"},
		"doubled before a name": {"", "volume_backend_name = $$rbd_pool", "$rbd_pool"},
		"escaped":               {"", `volume_backend_name = a\$rbd_pool`, "a$rbd_pool"},
		"before a digit":        {"", "volume_backend_name = $5", "$5"},
		"alone":                 {"", "volume_backend_name = a$", "a$"},
		"open brace":            {"", "volume_backend_name = ${rbd_pool", "${rbd_pool"},
		"before a blank":        {"", "volume_backend_name = $ rbd_pool", "$ rbd_pool"},
		"in [backend_defaults]": {"[backend_defaults]\nrbd_pool = bd\nvolume_backend_name = $rbd_pool", "rbd_pool = own", "bd"},
		"into a number":         {"report_interval = 30", "reserved_percentage = $report_interval\nvolume_backend_name = $reserved_percentage", "30"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := healthy(t, parse(t, "[DEFAULT]\nenabled_backends = rbd0\n"+tc.options+"\n[rbd0]\nvolume_driver = rbd\n"+tc.backend+"\n"))
			if got := c.Backends[0].VolumeBackendName; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSubstitutionRefused(t *testing.T) {
	tests := map[string]struct {
		backend string
		want    []string
	}{
		"unknown name":         {"rbd_user = $nobody", []string{"a.conf:5: [rbd0] rbd_user: $nobody names no option", "write $$"}},
		"unknown in braces":    {"rbd_user = ${nobody}", []string{"${nobody} names no option"}},
		"dot":                  {"rbd_ceph_conf = /etc/ceph/$host.conf", []string{"$host.conf names no option", "${host}.conf"}},
		"dot at the end":       {"rbd_ceph_conf = /etc/$host.", []string{"$host. names no option", "${host}."}},
		"group in other case":  {"rbd_user = $NATS.listen", []string{"$NATS.listen names no option"}},
		"unknown group":        {"rbd_user = $nobody.x", []string{"$nobody.x names no option"}},
		"itself":               {"rbd_user = x$rbd_user", []string{"refers to itself: rbd_user -> rbd_user"}},
		"cycle":                {"rbd_user = $rbd_pool\nrbd_pool = $rbd_user", []string{"a.conf:6: [rbd0] rbd_pool: refers to itself: rbd_user -> rbd_pool -> rbd_user"}},
		"of a bad value":       {"reserved_percentage = x\nrbd_user = $reserved_percentage", []string{"a.conf:5: [rbd0] reserved_percentage: \"x\" must be"}},
		"secret in the open":   {"rbd_user = ${database.connection}", []string{"${database.connection} is a secret"}},
		"in a dict, by place":  {"replication_device = backend_id:b,user:$nobody", []string{"[rbd0] replication_device: $name at character 19 names no option", "$$"}},
		"bad number from name": {"reserved_percentage = $host", []string{`"$host" must be a whole number`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := parse(t, minimal+tc.backend+"\n")
			if c.Backends[0].Err == nil {
				t.Fatal("accepted")
			}
			mentions(t, c.Problems(), tc.want...)
		})
	}
}

func TestPasswordWithDollarIsNotShown(t *testing.T) {
	_, err := Parse(sources([]string{minimal + "[database]\nconnection = postgresql://u:geh$eim@h/d\n"}))
	if err == nil || strings.Contains(err.Error(), "eim") || strings.Contains(err.Error(), "geh") {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"a.conf:6: [database] connection: $name at character 19 names no option", "write $$"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
