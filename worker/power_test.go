package worker_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// powerless is a database whose machine loses its power before anything that may become
// durable later is durable.
type powerless struct{ worker.Store }

var errPower = errors.New("the power is gone")

func (p powerless) WriteSoon(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	err := p.Write(ctx, fence, func(tx operation.Tx) error {
		return errors.Join(change(tx), errPower)
	})
	if errors.Is(err, errPower) {
		return nil
	}
	return err
}

// another returns another process of the service that volumes leave, which takes images.
func (n *neighbourhood) another() *process {
	p := n.bare()
	p.deps.OpenNeighbour = n.leaves.deps.OpenNeighbour
	p.cfg.Images.Directories = []string{os.TempDir()}
	return p
}

// image returns the URL of an image that holds something.
func (n *neighbourhood) image() string {
	n.Helper()
	name := filepath.Join(n.TempDir(), "image.raw")
	if err := os.WriteFile(name, bytes.Repeat([]byte("volume"), 1<<12), 0o600); err != nil {
		n.Fatal(err)
	}
	return "file://" + name
}

// What somebody was told is done, and may have written over since, is done in the table
// that comes back after the machine has lost its power: nobody does it again.
func TestPowerLossBringsBackNoOldData(t *testing.T) {
	t.Parallel()
	fromImage := func(n *neighbourhood, _ volume.Volume, _ volume.Snapshot) error {
		n.create(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: n.image()}})
		return nil
	}
	cached := map[string]bool{"create_volume_from_cached_image": true, "cache_image": true}
	for method, act := range map[string]func(n *neighbourhood, v volume.Volume, snap volume.Snapshot) error{
		"revert_to_snapshot":              func(n *neighbourhood, v volume.Volume, snap volume.Snapshot) error { return n.revert(v, snap) },
		"create_volume_from_image":        fromImage,
		"create_volume_from_cached_image": fromImage,
		"cache_image":                     fromImage,
		"reimage": func(n *neighbourhood, v volume.Volume, _ volume.Snapshot) error {
			_, err := n.Reimage(n.Context(), n.host, rpc.ReimageRequest{VolumeID: v.ID, Image: rpc.ImageSource{URL: n.image()}}, wait())
			return err
		},
		"migrate_volume": func(n *neighbourhood, v volume.Volume, _ volume.Snapshot) error {
			_, err := n.migrate(v)
			return err
		},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			n := newNeighbourhood(t)
			v := n.create(rpc.CreateVolumeRequest{Size: 1})
			snap := n.snapshot(v)
			if err := n.leaves.end(); err != nil {
				t.Fatal(err)
			}
			p := n.another()
			p.cfg.ImageCache.Enabled = cached[method]
			open := p.deps.OpenStore
			p.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
				db, err := open(ctx)
				return powerless{db}, err
			}
			p.start()
			if err := act(n, v, snap); err != nil {
				t.Fatal(err)
			}
			done := n.operations(volume.OperationFilter{})
			if i := slices.IndexFunc(done, func(op volume.Operation) bool { return op.Method == method }); i < 0 || done[i].Status != volume.Succeeded {
				t.Errorf("what is on the disk: %+v", done)
			}
		})
	}
}
