package rbd

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ceph/go-ceph/rbd"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/testenv"
)

// killRemoval removes the image the way librbd's users do, and dies in the middle.
func killRemoval(t *testing.T, env *testenv.CephEnv, d *Driver, name string) {
	t.Helper()
	killVictim(t, env, d, name, "", func() bool {
		id, err := d.control.imageID(name)
		if err != nil {
			t.Fatal(err)
		}
		return id == ""
	})
}

// killVictim starts this test binary again as a process that removes the image or, if
// there is a pool to go to, prepares to migrate it there; and kills it at the moment.
func killVictim(t *testing.T, env *testenv.CephEnv, d *Driver, name, to string, now func() bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "RBD_VICTIM_CONF="+env.Conf, "RBD_VICTIM_POOL="+d.cfg.Pool, "RBD_VICTIM_IMAGE="+name, "RBD_VICTIM_TO="+to)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for !now() {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	// Its watch would hold the image for 30 s.
	if err := d.Fence(t.Context(), []string{strings.TrimSpace(addr)}); err != nil {
		t.Fatal(err)
	}
}

// TestVictim is the body of the process that killVictim kills; in a normal run
// it has nothing to do.
func TestVictim(t *testing.T) {
	image := os.Getenv("RBD_VICTIM_IMAGE")
	if image == "" {
		return
	}
	cfg := Config{ConfFile: os.Getenv("RBD_VICTIM_CONF"), User: "volumed", Pool: os.Getenv("RBD_VICTIM_POOL")}
	d, err := Open(t.Context(), cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	do := func() error { return rbd.RemoveImage(d.data.io, image) }
	if to := os.Getenv("RBD_VICTIM_TO"); to != "" {
		io, err := d.data.conn.OpenIOContext(to)
		if err != nil {
			t.Fatal(err)
		}
		opts := rbd.NewRbdImageOptions()
		defer opts.Destroy()
		do = func() error { return rbd.MigrationPrepare(d.data.io, image, io, image, opts) }
	}
	fmt.Println(d.data.addr)
	t.Error(do(), "and not killed")
}
