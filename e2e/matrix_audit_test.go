package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// checkRest compares pool and tables, both ways. What has not changed since an
// earlier cell is only counted.
func (a *arena) checkRest() {
	a.t.Helper()
	images := map[string]string{}
	for _, pool := range a.pools {
		maps.Copy(images, pool.images(a.t))
	}
	rows, err := a.tables.Query(`SELECT id, size, status, image_id, snapshot_id || source_volid
		|| CASE WHEN image_metadata LIKE '%"rbd:%' THEN 'an image' ELSE '' END, coalesce(updated_at, 0)
		FROM volumes WHERE deleted_at IS NULL`)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	ids := map[string]bool{} // of images that have a row
	for rows.Next() {
		var v volume.Volume
		var origin string
		var updated int64
		if err := rows.Scan(&v.ID, &v.Size, &v.Status, &v.ImageID, &origin, &updated); err != nil {
			a.t.Fatal(err)
		}
		id, there := images["volume-"+v.ID]
		delete(images, "volume-"+v.ID)
		ids[id] = true
		switch {
		case v.Status != volume.Available:
			a.t.Errorf("volume %s rests in status %s", v.ID, v.Status)
		case !there || id != v.ImageID:
			a.t.Errorf("volume %s has the image %q, its row says %q", v.ID, id, v.ImageID)
		case v.ID == a.sourceID || a.checked[v.ID] != updated:
			a.checkImage(v, origin)
			a.checked[v.ID] = updated
		}
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
	if len(images) > 0 {
		a.t.Errorf("images without a row: %v", slices.Sorted(maps.Keys(images)))
	}
	var names []string
	for _, pool := range a.pools {
		for _, object := range pool.objects(a.t, "rbd_header.") {
			if id := strings.TrimPrefix(object, "rbd_header."); !ids[id] {
				a.t.Errorf("the image %s has no name", id)
			}
		}
		if trash := pool.trash(a.t); len(trash) > 0 {
			a.t.Errorf("left in the trash: %v", slices.Sorted(maps.Keys(trash)))
		}
		names = append(names, pool.objects(a.t, "rbd_id.")...)
	}
	if len(names) != len(ids) {
		a.t.Errorf("%d names for %d images: %v", len(names), len(ids), names)
	}
	if n := a.ints("SELECT count(*) FROM snapshots WHERE deleted_at IS NULL AND status <> 'available'"); n[0] > 0 {
		a.t.Errorf("%d snapshots rest in another status than available", n[0])
	}
}

// checkImage compares one volume with its image.
func (a *arena) checkImage(v volume.Volume, origin string) {
	a.t.Helper()
	pool := a.poolOf(v.ID)
	img := pool.inspect(a.t, v.ID)
	if img.size != uint64(v.Size)*volume.GiB {
		a.t.Errorf("volume %s: the image has %d bytes, the row says %d GiB", v.ID, img.size, v.Size)
	}
	if img.parent != "" && origin == "" { // perhaps an image of the cache
		for _, id := range a.strings("SELECT id FROM volumes WHERE image_id = $1 AND project_id = $2", img.parent, volume.CacheProject) {
			origin = id
		}
	}
	if clone := origin != ""; clone != (img.parent != "") && !slices.Contains(a.flattened, v.ID) {
		a.t.Errorf("volume %s was made from %q, its image has the parent %q", v.ID, origin, img.parent)
	}
	want := a.strings("SELECT 'snapshot-' || id FROM snapshots WHERE deleted_at IS NULL AND volume_id = $1 ORDER BY id", v.ID)
	if a.format == 1 { // whose clones keep the snapshot that was taken for them
		img.snapshots = slices.DeleteFunc(img.snapshots, func(s string) bool { return strings.HasPrefix(s, "volumed-clone-") })
	}
	slices.Sort(img.snapshots)
	if !slices.Equal(img.snapshots, want) {
		a.t.Errorf("volume %s has the snapshots %v, the tables say %v", v.ID, img.snapshots, want)
	}
	a.within(recoveryLimit, "nobody watches "+v.ID, func() error {
		if w := pool.inspect(a.t, v.ID).watchers; len(w) > 0 {
			return fmt.Errorf("watched by %v", w)
		}
		return nil
	})
}
