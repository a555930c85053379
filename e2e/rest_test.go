package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// rest sees that everything has come to an end, as it should.
func (c *crowd) rest() {
	t := c.t
	t.Helper()
	for _, p := range c.pools {
		p.churn(t)
	}
	c.takeBack()
	c.retypeManaged()
	c.refill()
	c.release()
	c.quiet()
	c.unwatched()
	c.checkAnswers()
	// What was accepted to make something has claimed what it makes it of.
	for _, failed := range c.strings(`SELECT method || ' ' || id || ' of ' || resource_id || ': ' || coalesce(error, '') FROM operations
		WHERE status = 'failed' AND (method LIKE 'create%' OR error NOT LIKE '%"kind":"conflict"%'
			AND error NOT LIKE '%"kind":"busy"%' AND error NOT LIKE '%"kind":"not_found"%')`) {
		t.Errorf("failed: %s", failed)
	}
	for i := range c.pools {
		c.agree(c.backend(i))
	}
	c.checkRest()
	c.checkService()
	c.checkContents()
	c.checkCopies()
	c.checkUpdates("volumes", rpc.MethodUpdateVolume)
	c.checkUpdates("snapshots", rpc.MethodUpdateSnapshot)
	c.sum.noteRest(c.asked)
	c.beginAnew()
}

// checkAnswers compares what callers were told with the operations.
func (c *crowd) checkAnswers() {
	c.t.Helper()
	for id, a := range c.asked {
		found := c.strings("SELECT id || ' ' || status FROM operations WHERE request_id = $1", id)
		want := []string{a.operationID + " " + string(a.end)}
		if a.operationID == "" { // refused
			want = nil
		}
		if !slices.Equal(found, want) {
			c.t.Errorf("the caller of %s, request %s, was told of %v; there is %v", a.method, id, want, found)
		}
	}
}

// beginAnew forgets what was asked, and knows again only what there is.
func (c *crowd) beginAnew() {
	c.t.Helper()
	c.asked, c.loose, c.looseSnapshots = map[string]asked{}, nil, nil
	c.volumes = c.strings("SELECT id FROM volumes WHERE deleted_at IS NULL ORDER BY id")
	c.snapshots = c.strings("SELECT id FROM snapshots WHERE deleted_at IS NULL ORDER BY id")
}

// takeBack has managed again what is unmanaged, first the volumes. Everything about it
// was known before, and is again.
func (c *crowd) takeBack() {
	c.t.Helper()
	c.each(`SELECT id FROM volumes v WHERE deleted_at IS NOT NULL AND (SELECT method FROM operations
		WHERE resource_id = v.id AND status = 'succeeded' AND method IN ('unmanage_volume', 'manage_existing', 'delete_volume')
		ORDER BY finished_at DESC LIMIT 1) = 'unmanage_volume'`, func(id string) error { return c.insist(c.manages(id)) })
	c.each("SELECT id FROM volumes WHERE deleted_at IS NULL", func(id string) error {
		for _, name := range c.poolOf(id).inspect(c.t, id).snapshots {
			snapshot := strings.TrimPrefix(name, "snapshot-")
			unmanaged := c.strings(`SELECT id FROM snapshots s WHERE id = $1 AND deleted_at IS NOT NULL
				AND NOT EXISTS (SELECT 1 FROM operations WHERE resource_id = s.id AND method = 'delete_snapshot' AND status = 'succeeded')
				AND EXISTS (SELECT 1 FROM operations WHERE resource_id IN (s.id, s.volume_id) AND status = 'succeeded'
					AND method IN ('unmanage_volume', 'unmanage_snapshot'))`, snapshot)
			if len(unmanaged) == 0 {
				continue
			}
			c.mu.Lock()
			c.home[snapshot] = id
			w := c.managesSnapshot(snapshot)
			c.mu.Unlock()
			if err := c.insist(w); err != nil {
				return fmt.Errorf("snapshot %s of %s: %w", snapshot, id, err)
			}
		}
		return nil
	})
}

// retypeManaged gives what was managed again a type: that which it had is forgotten, and
// what it wanted is on the image still, which an audit would tell.
func (c *crowd) retypeManaged() {
	c.t.Helper()
	c.each(`SELECT id FROM volumes v WHERE deleted_at IS NULL AND volume_type_id = '' AND EXISTS (
		SELECT 1 FROM operations WHERE resource_id = v.id AND method = 'manage_existing' AND status = 'succeeded')`, func(id string) error {
		return c.insist(wish{ask: asksOf(c, c.serviceOf(id), c.client.Retype, rpc.RetypeRequest{VolumeID: id, NewType: c.kinds[limited]})})
	})
}

// refill has reimaged what a cancelled reimage has left in error.
func (c *crowd) refill() {
	c.t.Helper()
	c.each(`SELECT id FROM volumes v WHERE deleted_at IS NULL AND status = 'error' AND EXISTS (
		SELECT 1 FROM operations WHERE resource_id = v.id AND method = 'reimage' AND status = 'cancelled')`, func(id string) error {
		req := rpc.ReimageRequest{VolumeID: id, Image: rpc.ImageSource{URL: c.imageURL + "/" + other}}
		return c.insist(wish{ask: asksOf(c, c.serviceOf(id), c.client.Reimage, req)})
	})
}

// insist asks for something until nobody is in the way: a client that is dead may have an
// image open for a while.
func (c *crowd) insist(w wish) (err error) {
	c.within(patience, "it is done", func() error {
		if _, err = w.ask(wait); errors.Is(err, fault.Busy) {
			return err
		}
		return nil
	})
	return err
}

// unwatched waits until nobody has an image open any more.
func (c *crowd) unwatched() {
	c.t.Helper()
	for _, pool := range c.pools {
		for name := range pool.images(c.t) {
			id := strings.TrimPrefix(name, "volume-")
			c.within(patience, "nobody watches "+id, func() error {
				if w := pool.inspect(c.t, id).watchers; len(w) > 0 {
					return fmt.Errorf("watched by %v", w)
				}
				return nil
			})
		}
	}
}

// agree has the service's own audit compare pool and tables. Of clones of format 1
// that are no more, a snapshot stays behind, which its repair removes.
func (c *crowd) agree(service string) {
	c.t.Helper()
	audit := c.audited(service)
	if audit.Drift > 0 && c.format == 1 {
		for f, err := range c.client.Findings(c.t.Context(), rpc.GetAuditRequest{AuditID: audit.ID}) {
			if err != nil || !f.Note && f.Kind != volume.StrayCloneSnapshot {
				c.t.Errorf("audit: %+v, %v", f, err)
			}
		}
		_, err := c.client.ApplyRepairs(c.t.Context(), service, rpc.ApplyRepairsRequest{AuditID: audit.ID}, wait)
		if err != nil {
			c.t.Errorf("repair: %v", err)
		}
		audit = c.audited(service)
	}
	if audit.Drift == 0 {
		return
	}
	for f, err := range c.client.Findings(c.t.Context(), rpc.GetAuditRequest{AuditID: audit.ID}) {
		c.t.Errorf("audit: %+v, %v", f, err)
	}
}

func (c *crowd) audited(service string) volume.Audit {
	c.t.Helper()
	reply, err := c.client.AuditBackend(c.t.Context(), service, rpc.AuditBackendRequest{Deep: true}, wait)
	c.succeeded("audit_backend", reply.Operation, err)
	if reply.Audit == nil {
		c.t.Fatal("an audit without an outcome")
	}
	return *reply.Audit
}

// checkContents sees that no volume holds a part of an image; and that those whose past
// leaves no doubt hold what they should.
func (c *crowd) checkContents() {
	c.t.Helper()
	past := func(id, methods string) bool {
		return len(c.strings(`SELECT id FROM operations WHERE resource_id = $1 AND status <> 'failed' AND method IN (`+methods+`) LIMIT 1`, id)) > 0
	}
	for _, id := range c.strings("SELECT id FROM volumes WHERE deleted_at IS NULL") {
		want, reimaged := "", past(id, "'reimage'")
		switch {
		case past(id, "'create_volume'") && !reimaged:
			want = strings.Repeat("\x00", len(original))
		case past(id, "'create_volume_from_image'") && !reimaged:
			want = original
		case len(c.strings("SELECT id FROM operations WHERE resource_id = $1 AND method = 'reimage' AND status = 'succeeded' LIMIT 1", id)) > 0 &&
			!past(id, "'revert_to_snapshot'"):
			want = other
		}
		if got := c.poolOf(id).content(c.t, id); want != "" && got != want {
			c.t.Errorf("volume %s holds %q, want %q", id, got, want)
		}
	}
}

// checkCopies sees that there is an image where one was asked for and nobody was told
// otherwise, and nothing else; and takes the images away.
func (c *crowd) checkCopies() {
	c.t.Helper()
	want := []string{filepath.Join(c.imageDir, other), filepath.Join(c.imageDir, original)}
	for id, a := range c.asked {
		if a.method == rpc.MethodCopyVolumeToImage && a.end == volume.Succeeded {
			want = append(want, c.copyOf(id))
		}
	}
	entries, err := os.ReadDir(c.imageDir)
	if err != nil {
		c.t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		found = append(found, filepath.Join(c.imageDir, e.Name()))
		if strings.HasPrefix(e.Name(), copyPrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(c.imageDir, e.Name())))
		}
	}
	if slices.Sort(want); !slices.Equal(found, want) || err != nil {
		c.t.Errorf("there are the images %v, want %v, %v", found, want, err)
	}
}

// checkUpdates sees that the labels are those of a request that was carried out, where
// there was one.
func (c *crowd) checkUpdates(table, method string) {
	c.t.Helper()
	for _, id := range c.strings(`SELECT id FROM `+table+` r WHERE deleted_at IS NULL
		AND EXISTS (SELECT 1 FROM operations WHERE resource_id = r.id AND method = $1 AND status = 'succeeded')
		AND NOT EXISTS (SELECT 1 FROM operations WHERE resource_id = r.id AND method = $1 AND status = 'succeeded'
			AND request_id = json_extract(r.metadata, '$.request'))`, method) {
		c.t.Errorf("%s: the labels are not those of any request", id)
	}
}

// release makes clones independent whose parents are deleted: their space comes back
// only then.
func (c *crowd) release() {
	c.t.Helper()
	c.each(`SELECT id FROM volumes WHERE deleted_at IS NULL AND status = 'available'
		AND (source_volid <> '' OR snapshot_id <> '' OR adopted_parent IS NOT NULL)`, func(id string) error {
		c.mu.Lock()
		c.flattened = append(c.flattened, id)
		c.mu.Unlock()
		_, err := c.client.FlattenVolume(c.t.Context(), c.serviceOf(id), rpc.FlattenVolumeRequest{VolumeID: id}, wait)
		return err
	})
}

// clear deletes everything, and sees that nothing is left.
func (c *crowd) clear() {
	c.t.Helper()
	c.deleteSnapshots()
	c.empty()
}
