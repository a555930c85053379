package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// Compare returns what differs between the tables and the images, sorted by kind and
// name, without numbers and repairs.
func Compare(t Tables, images []volume.Image) []volume.Finding {
	c := newComparison(t, images)
	for i := range t.Volumes {
		if c.ours(&t.Volumes[i]) {
			c.volume(&t.Volumes[i])
		}
	}
	for i := range images {
		if !c.matched[images[i].ID] {
			c.ownerless(&images[i])
		}
	}
	slices.SortStableFunc(c.findings, func(a, b volume.Finding) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), strings.Compare(a.Image.Name, b.Image.Name), strings.Compare(key(a), key(b)))
	})
	return c.findings
}

// order is the place of a finding in a report: by kind, and notes last.
func order(f volume.Finding) int {
	at := slices.Index(kinds, f.Kind)
	if f.Note {
		at += len(kinds)
	}
	return at
}

// kinds are the kinds of drift, the gravest first.
var kinds = []volume.Drift{
	volume.ImageMissing, volume.ImageTrashed, volume.ImageRenamed, volume.ImageReplaced, volume.ImageBroken,
	volume.ParentDiffers, volume.SizeDiffers, volume.SnapshotMissing, volume.RowStuck, volume.RowMissing,
	volume.StraySnapshot, volume.StrayCloneSnapshot, volume.StrayTrash, volume.StraySetting, volume.SettingDiffers, volume.StrayLock, volume.StrayWatcher,
	volume.ForeignImage, volume.Unsettled,
}

// comparison is one Compare at work.
type comparison struct {
	Tables
	byName    map[string]*volume.Image // in the pool
	byID      map[string]*volume.Image
	matched   map[string]bool               // ids of images that belong to a live row
	snapshots map[string][]*volume.Snapshot // by volume
	deleted   map[string]*volume.Volume     // by the id of their image
	cached    map[string]bool               // by the id of an image that is in the cache, or was
	volumeOf  map[string]string             // the volume of a snapshot
	rows      map[string]*volume.Volume     // by id: live, deleted, of others
	children  map[volume.ImageParent]int    // of a snapshot in this pool
	busy      map[string]*volume.Operation  // by the id of the resource
	running   map[string]bool               // ids of operations
	findings  []volume.Finding
}

func newComparison(t Tables, images []volume.Image) *comparison {
	c := &comparison{
		Tables: t, byName: map[string]*volume.Image{}, byID: map[string]*volume.Image{}, matched: map[string]bool{},
		snapshots: map[string][]*volume.Snapshot{}, rows: map[string]*volume.Volume{},
		deleted: map[string]*volume.Volume{}, cached: map[string]bool{}, volumeOf: map[string]string{},
		children: map[volume.ImageParent]int{}, busy: map[string]*volume.Operation{}, running: map[string]bool{},
	}
	for i := range images {
		img := &images[i]
		c.byID[img.ID] = img
		if !img.Trashed {
			c.byName[img.Name] = img
		}
		if img.Parent != nil {
			c.children[*img.Parent]++
		}
	}
	c.indexRows()
	for i := range t.Operations {
		op := &t.Operations[i]
		c.busy[op.Resource.ID], c.running[op.ID] = op, true
	}
	return c
}

// indexRows indexes volumes and snapshots. What is live counts before what is past.
func (c *comparison) indexRows() {
	for id, v := range c.PastVolumes {
		c.rows[id] = &v
	}
	for id, s := range c.PastSnapshots {
		c.volumeOf[id] = s.VolumeID
	}
	for i := range c.Trashed {
		v := &c.Trashed[i]
		c.rows[v.ID], c.deleted[v.ImageID] = v, v
	}
	for i := range c.Volumes {
		c.rows[c.Volumes[i].ID] = &c.Volumes[i]
	}
	for _, v := range slices.Concat(c.Volumes, c.Trashed) {
		if v.ProjectID == volume.CacheProject {
			c.cached[v.ImageID] = true
		}
	}
	for i := range c.Snapshots {
		s := &c.Snapshots[i]
		c.volumeOf[s.ID] = s.VolumeID
		c.snapshots[s.VolumeID] = append(c.snapshots[s.VolumeID], s)
	}
}

// ours reports whether the image of a row of the service belongs into this pool.
func (c *comparison) ours(v *volume.Volume) bool {
	h := volume.ParseHost(v.Host)
	return h.Service() == c.Host && (h.Pool == "" || h.Pool == c.Pool)
}

// found notes a finding. One about something that an operation works on is unsettled.
func (c *comparison) found(f volume.Finding) {
	for _, id := range []string{f.SnapshotID, f.VolumeID} {
		if op := c.busy[id]; id != "" && op != nil && f.Kind != volume.ForeignImage {
			f = volume.Finding{
				Kind: volume.Unsettled, Note: true, VolumeID: f.VolumeID, SnapshotID: f.SnapshotID, Image: f.Image, Snapshot: f.Snapshot,
				Message: fmt.Sprintf("%s, but operation %s (%s) is at work on it and is %s", f.Kind, op.ID, op.Method, op.Status),
				Hint:    "audit again when the operation has ended: volumectl operation wait " + op.ID,
			}
			break
		}
	}
	c.findings = append(c.findings, f)
}

// key tells one finding from another.
func key(f volume.Finding) string {
	return strings.Join([]string{string(f.Kind), f.VolumeID, f.SnapshotID, f.Image.Name, f.Image.ImageID, f.Snapshot, f.Message}, "\x00")
}

// Suspects returns the images to look at again before the findings count. What nobody
// of this service can have changed meanwhile is not among them.
func Suspects(findings []volume.Finding, t Tables) []volume.Ref {
	seen := map[volume.Ref]bool{}
	var refs []volume.Ref
	rows := map[string]*volume.Volume{}
	for i := range t.Volumes {
		rows[t.Volumes[i].ID] = &t.Volumes[i]
	}
	add := func(v volume.Ref) {
		if !seen[v] {
			seen[v] = true
			refs = append(refs, v)
		}
	}
	for _, f := range findings {
		if f.Kind == volume.ForeignImage || f.Kind == volume.Unsettled {
			continue
		}
		add(f.Image)
		if row := rows[f.VolumeID]; row != nil {
			add(row.Ref(t.VolumeNames))
		}
	}
	return refs
}

// Refresh returns the images with those that refs name replaced by what was found in
// their place.
func Refresh(images []volume.Image, refs []volume.Ref, found []volume.Image) []volume.Image {
	ids, names := map[string]bool{}, map[string]bool{}
	for _, v := range refs {
		ids[v.ImageID], names[v.Name] = true, true
	}
	for _, img := range found {
		ids[img.ID] = true
	}
	var fresh []volume.Image
	for _, img := range images {
		if !ids[img.ID] && (img.Trashed || !names[img.Name]) {
			fresh = append(fresh, img)
		}
	}
	at := map[string]int{}
	for _, img := range found {
		if i, twice := at[img.ID]; twice {
			fresh[i] = img // the later look
			continue
		}
		at[img.ID] = len(fresh)
		fresh = append(fresh, img)
	}
	return fresh
}

// Confirm returns the findings of the second look that the first had as well, and
// what is unsettled now, numbered from 1.
func Confirm(first, second []volume.Finding) []volume.Finding {
	before := map[string]bool{}
	for _, f := range first {
		before[key(f)] = true
	}
	var confirmed []volume.Finding
	for _, f := range second {
		if f.Kind == volume.Unsettled || before[key(f)] {
			f.Number = len(confirmed) + 1
			confirmed = append(confirmed, f)
		}
	}
	return confirmed
}

// Summarize counts the findings into the audit.
func Summarize(a *volume.Audit, findings []volume.Finding) {
	a.Drift, a.Notes, a.Repairs, a.Bytes = 0, 0, 0, 0
	for _, f := range findings {
		switch {
		case f.Note:
			a.Notes++
		default:
			a.Drift++
		}
		if f.Repair != nil {
			a.Repairs++
			a.Bytes += f.Repair.Bytes
		}
	}
}
