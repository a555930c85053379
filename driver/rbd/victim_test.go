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

// killRemoval starts this test binary again as a process that removes the image
// the way librbd's users do, and kills it in the middle.
func killRemoval(t *testing.T, env *testenv.CephEnv, d *Driver, name string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), "RBD_VICTIM_CONF="+env.Conf, "RBD_VICTIM_POOL="+d.cfg.Pool, "RBD_VICTIM_IMAGE="+name)
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
	for hidden := false; !hidden; {
		id, err := d.control.imageID(name)
		if err != nil {
			t.Fatal(err)
		}
		hidden = id == ""
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

// TestVictim is the body of the process that killRemoval kills; in a normal run
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
	fmt.Println(d.data.addr)
	t.Error(rbd.RemoveImage(d.data.io, image), "and not killed")
}
