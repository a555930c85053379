package config

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
)

func TestParseDependsOnSourcesAlone(t *testing.T) {
	t.Setenv("OS_DEFAULT__HOST", "other")
	src := sources([]string{readFile(t, "testdata/article.conf")}, "OS_RBD0__RBD_POOL=e")
	decoded, err := DecodeSources(src.Encode())
	if err != nil {
		t.Fatal(err)
	}
	opts := cmp.AllowUnexported(Config{})
	byText := cmp.Comparer(func(a, b error) bool { return (a == nil) == (b == nil) })
	if diff := cmp.Diff(mustParse(t, src), mustParse(t, decoded), opts, byText); diff != "" {
		t.Errorf("after Encode and DecodeSources (-before +after):\n%s", diff)
	}
	if c := mustParse(t, decoded); c.Default.Host != "node1" || c.Backends[0].RBDPool != "e" {
		t.Errorf("host %q, pool %q", c.Default.Host, c.Backends[0].RBDPool)
	}
	if _, err := DecodeSources([]byte("geheim")); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %v", err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	base := write(t, dir, "base.conf", minimal+"rbd_pool = base\nrbd_user = base\n")
	sub := dir + "/d"
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, sub, "20.conf", "[rbd0]\nrbd_pool = twenty\n")
	write(t, sub, "10.conf", "[rbd0]\nrbd_pool = ten\nrbd_user = ten\n")
	write(t, sub, "30.conf.bak", "[rbd0]\nrbd_pool = lost\n")

	src, err := Read([]string{base}, []string{sub}, []string{"OS_RBD0__RBD_CEPH_CONF=/e=f", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	b := mustParse(t, src).Backends[0]
	if b.RBDPool != "twenty" || b.RBDUser != "ten" || b.RBDCephConf != "/e=f" {
		t.Errorf("pool %q, user %q, conf %q", b.RBDPool, b.RBDUser, b.RBDCephConf)
	}
	if strings.Contains(string(src.Encode()), "PATH") {
		t.Error("the snapshot carries the environment of others")
	}
	if src.hostname == "" || src.address == "" {
		t.Errorf("hostname %q, address %q", src.hostname, src.address)
	}

	for _, tc := range []struct {
		files, dirs []string
		kind        fault.Kind
		want        string
	}{
		{[]string{dir + "/none.conf"}, nil, fault.NotFound, dir + "/none.conf: no such file"},
		{[]string{base}, []string{dir + "/none.d"}, fault.NotFound, dir + "/none.d: no such file"},
		{[]string{dir}, nil, fault.Invalid, dir + ": is a directory"},
		{nil, []string{base}, fault.Invalid, base + ": not a directory"},
	} {
		if _, err := Read(tc.files, tc.dirs, nil); fault.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Read(%v, %v): %v, want kind %s and %q", tc.files, tc.dirs, err, tc.kind, tc.want)
		}
	}
}
