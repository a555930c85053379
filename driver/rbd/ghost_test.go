package rbd

import (
	"slices"
	"testing"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"
)

// Who is on the cluster's blocklist does not count as a client.
func TestShutOutClientsAreNotAlive(t *testing.T) {
	_, d := fresh(t)
	const dead, other = "127.0.0.1:0/4711", "127.0.0.1:0/471"
	wantKind(t, "", d.Fence(t.Context(), []string{dead}))
	alive, err := d.control.alive([]string{dead, other, d.Addrs()[0]})
	wantKind(t, "", err)
	if diff := cmp.Diff([]string{other, d.Addrs()[0]}, alive); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An image that somebody has open is none of ghosts, and one that nobody has open has
// none; and what an OSD forgets of an object leaves nothing behind.
func TestExorciseOnlyGhosts(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	for name, opener := range map[string]*Driver{"this client": d, "another client": openDriver(t, config(env, d.cfg.Pool))} {
		img, err := opener.openAs(opener.data, v.ImageID, rbd.OpenImageById)
		wantKind(t, "", err)
		if did, err := d.exorcise(v.ImageID); did || err != nil {
			t.Errorf("%s: %v, %v", name, did, err)
		}
		img.close(&err)
		wantKind(t, "", err)
	}
	if did, err := d.exorcise(v.ImageID); did || err != nil {
		t.Errorf("nobody: %v, %v", did, err)
	}
	objects := func() (names []string) {
		wantKind(t, "", d.control.io.ListObjects(func(name string) { names = append(names, name) }))
		slices.Sort(names)
		return names
	}
	before := objects()
	wantKind(t, "", d.control.forget("rbd_header."+v.ImageID))
	if diff := cmp.Diff(before, objects()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}
