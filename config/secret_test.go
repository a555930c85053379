package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"postgresql://u:geheim@h/d":                                            "postgresql://u:***@h/d",
		"postgresql://u@h/d":                                                   "postgresql://u@h/d",
		"postgresql://u:ge/he@im@h/d":                                          "postgresql://u:***@h/d",
		"postgresql://u:ge heim@h/d":                                           "postgresql://u:***@h/d",
		"postgresql://h/d?user=u&password=geheim&x=":                           "postgresql://h/d?user=u&password=***&x=",
		"postgresql://h/d?sslpassword=geheim":                                  "postgresql://h/d?sslpassword=***",
		"nats://geheim@h:4222":                                                 "nats://***@h:4222",
		"nats://:geheim@h":                                                     "nats://:***@h",
		"nats://u:geheim@h:1,nats://v:geheim@i:2":                              "nats://u:***@h:1,nats://v:***@i:2",
		"nats://u:ge,heim@h":                                                   "nats://u:***@h",
		"nats://h:4222":                                                        "nats://h:4222",
		"connect to http://u:geheim@h failed":                                  "connect to http://u:***@h failed",
		"host=h Password=geheim":                                               "host=h Password=***",
		"sqlite:////var/lib/x":                                                 "sqlite:////var/lib/x",
		"key = AQDoEB1n2cZLFBAAcq4sJ5v3rYkW8Wm0Zt6p9A==":                       "key = ***",
		"seed SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY":      "seed ***",
		"volume-6f4b1d2e-2c0f-4b55-9d5e-1c1f7d1f2a11 is not there, look again": "volume-6f4b1d2e-2c0f-4b55-9d5e-1c1f7d1f2a11 is not there, look again",
		"nothing to hide":                                                      "nothing to hide",
		"":                                                                     "",
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecretDoesNotFormat(t *testing.T) {
	s := Secret("geheim")
	text, err := json.Marshal(map[string]any{"s": s, "d": ReplicationDevice{SecretUUID: s}})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Database: Database{Connection: s}, NATS: NATS{URL: s}}
	all := fmt.Sprintf("%v %s %q %+v %#v %x %v %+v %#v %s", s, s, s, s, s, s, c, c, c, text)
	if strings.Contains(all, "geheim") || strings.Contains(all, fmt.Sprintf("%x", "geheim")) {
		t.Errorf("shown: %s", all)
	}
	if s.Reveal() != "geheim" || Secret("").String() != "" {
		t.Errorf("Reveal %q, empty %q", s.Reveal(), Secret(""))
	}
}

// TestSecretsNeverAppear puts the same secret wherever one can be, in good and
// in bad files, and looks for it in everything that is meant for people.
func TestSecretsNeverAppear(t *testing.T) {
	const secret = "geheim"
	lines := map[string][]string{
		"DEFAULT": {
			"transport_url = rabbit://u:geheim@h", "transport_url = nats://u:geheim@h", "transport_url = nats://geheim@h%zz",
			"metrics_listen = http://u:geheim@h", "host = nats://u:geheim@h", "debug = http://u:geheim@h",
			"my_ip = http://u:geheim@h # x", "enabled_backends = http://u:geheim@h",
		},
		"database": {
			"connection = postgresql://u:geheim@h/d", "connection = mysql://u:geheim@h/d", "connection = geheim",
			"connection = postgresql://u:geheim%zz@h/d", "connection = postgresql://u:p$geheim@h/d", "connection = p${geheim}",
			"connection = geheim$host.geheim", "connection = `geheim", "connection = \"a\" geheim \"b\"", "connection geheim", "connection = x\n\n  geheim",
			"connection = geheim\nconnection =", "connection = \"geheim\"\n  geheim", "connection = geheim\x00", "slave_connection = geheim",
		},
		"nats": {
			"url = nats://u:geheim@h", "url = nats://geheim@h", "url = geheim", "url = nats://u:geheim@h%zz", "url = http://u:geheim@h",
			"creds = geheim", "nkey = geheim", "listen = nats://u:geheim@h",
		},
		"launcher":     {"control_socket = /run/$nats.url", "ready_timeout = nats://u:geheim@h", "reload_restart = nats://u:geheim@h"},
		"rbd0":         {"replication_device = backend_id:b,secret_uuid:geheim", "replication_device = geheim", "replication_device = backend_id:$geheim", "volume_driver = http://u:geheim@h", "volume_backend_name = http://u:geheim@h", "extra_capabilities = http://u:geheim@h", "unknown_option = geheim", "chap_password = geheim"},
		"oslo_unknown": {"password = geheim"},
	}
	for section, list := range lines {
		for _, line := range list {
			c, err := Parse(sources([]string{minimal + "[" + section + "]\n" + line + "\n"}, "OS_NATS__NKEY=geheim", "OS_DATABASE__CONECTION=geheim"))
			shown := fmt.Sprint(err, c.Problems(), c.Effective())
			for _, b := range c.Backends {
				shown += fmt.Sprint(b.Err)
			}
			if strings.Contains(shown, secret) {
				t.Errorf("[%s] %q: the secret is shown in\n%s", section, line, shown)
			}
		}
	}
}

func TestEffective(t *testing.T) {
	c := mustParse(t, sources([]string{minimal + "rbd_max_clone_depth = 010\n[backend_defaults]\nrbd_pool = p\n[nats]\nurl = nats://u:p@h\n"}, "OS_RBD0__RBD_USER=u"))
	want := map[string]Setting{
		"host":                {"DEFAULT", "host", "node1", "default", OfService, ""},
		"debug":               {"DEFAULT", "debug", "False", "default", OfAll, ""},
		"enabled_backends":    {"DEFAULT", "enabled_backends", "rbd0", "a.conf:2", OfSupervisor, ""},
		"connection":          {"database", "connection", "***", "default", OfService, ""},
		"url":                 {"nats", "url", "***", "a.conf:9", OfService, ""},
		"creds":               {"nats", "creds", "", "default", OfService, ""},
		"operation_retention": {"DEFAULT", "operation_retention", "7d", "default", OfAll, ""},
		"rbd_max_clone_depth": {"rbd0", "rbd_max_clone_depth", "10", "a.conf:5", OfBackend, ""},
		"rbd_pool":            {"rbd0", "rbd_pool", "p", "a.conf:7", OfBackend, ""},
		"rbd_user":            {"rbd0", "rbd_user", "u", "environment OS_RBD0__RBD_USER", OfBackend, ""},
		"replication_device":  {"rbd0", "replication_device", "", "default", Nowhere, ""},
	}
	got, count := map[string]Setting{}, 0
	for _, s := range c.Effective() {
		count++
		if _, asked := want[s.Option]; asked {
			s.Fingerprint = "" // for comparisons
			got[s.Option] = s
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	options := len(backendTable.known())
	for _, tab := range tables {
		options += len(tab.known())
	}
	if count != options {
		t.Errorf("%d settings, want %d", count, options)
	}
}

// Values are compared without being shown: also two secrets can be told apart.
func TestFingerprint(t *testing.T) {
	of := func(url string) string {
		for _, s := range mustParse(t, sources([]string{minimal + "[nats]\nurl = " + url + "\n"})).Effective() {
			if s.Option == "url" {
				return s.Fingerprint
			}
		}
		return ""
	}
	one, same, other := of("nats://u:one@h"), of("nats://u:one@h"), of("nats://u:two@h")
	if one != same || one == other || strings.Contains(one, "one") {
		t.Errorf("fingerprints %q, %q and %q", one, same, other)
	}
}
