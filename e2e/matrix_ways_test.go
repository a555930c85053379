package e2e

import "strings"

// way is how a point is reached.
type way struct {
	target string // the method that is run; the one of the point if empty
	format int    // of clones; 2 if 0
	depth  string // the most that a volume may have; that of the service if empty
	// first is a point where worker and supervisor die before, so that the point
	// is one of the recovery. While all are dead, the wish to cancel may come into
	// the journal, and tamper does what a death inside librbd would have done.
	first  string
	cancel bool
	tamper func(c *cell)
	// spoil does the same before the request is sent.
	spoil func(c *cell)
	// hold is a point where the work is held up, for longer than the journal is
	// not told of it, or until a request to cancel it has arrived.
	hold string
	ask  bool // for the cancel
}

// ways are tried in this order. In first and hold, %m, %f and %l are the method and
// its first and its last step.
var ways = []struct {
	points []string
	way
}{
	{[]string{"*/shorten/*", "*/shorten/*/*", "*/reclone/*", "*/reclone/*/*"}, way{depth: "1"}},
	{[]string{"*/detach/*", "*/detach/*/*"}, way{depth: "0"}},
	{[]string{"*/progress/*"}, way{hold: "%m/%f/before"}},
	{[]string{"purge_volume/cancel/*"}, way{target: "undelete_volume"}}, // nobody else cancels one
	{[]string{"*/cancel/*"}, way{hold: "%m/%f/before", ask: true}},

	{[]string{"migrate_volume/undo/*/*"}, way{first: "%m/%l/after", cancel: true}},
	{[]string{"*/undo/*/rbd.remove_image"}, way{first: "%m/%f/before", cancel: true, tamper: (*cell).leaveName}},
	{[]string{"create_snapshot/undo/*/rbd.unprotect_snapshot"}, way{format: 1, first: "%m/%l/after", cancel: true}},
	{[]string{"flatten_volume/undo/*", "flatten_volume/undo/*/*"}, way{first: "%m/%f/before", cancel: true, tamper: (*cell).leaveDetached}},
	{[]string{"*/undo/*", "*/undo/*/*"}, way{first: "%m/%l/after", cancel: true}},

	{[]string{"create_volume/create/*/rbd.move_to_trash"}, way{first: "create_volume/create/before/rbd.create_image", tamper: (*cell).leaveListed}},
	{
		[]string{"create_volume/create/*/rbd.complete_trash", "create_volume/create/*/rbd.remove_from_trash"},
		way{first: "create_volume/create/before/rbd.create_image", tamper: (*cell).leaveHidden},
	},
	{[]string{"create_volume/create/*/rbd.remove_image"}, way{first: "create_volume/create/before/rbd.create_image", tamper: (*cell).leaveHalf}},
	{[]string{"migrate_volume/copy/*/rbd.remove_image"}, way{first: "migrate_volume/copy/before/rbd.create_image", tamper: (*cell).leaveHalfCopy}},
	{[]string{"create_*/clone/*/rbd.remove_image", "clone_image/clone/*/rbd.remove_image"}, way{first: "%m/clone/before/rbd.clone_image", tamper: (*cell).leaveEmpty}},
	{[]string{"create_snapshot/snapshot/*/rbd.remove_snapshot"}, way{first: "create_snapshot/snapshot/after/rbd.create_snapshot", tamper: (*cell).leaveUnmapped}},
	{[]string{"create_cloned_volume/snapshot/*/rbd.remove_snapshot"}, way{first: "create_cloned_volume/clone/after"}},
	{[]string{"create_cloned_volume/snapshot/*/rbd.unprotect_snapshot"}, way{format: 1, first: "create_cloned_volume/snapshot/after"}},
	{[]string{"create_volume_from_snapshot/clone/*/rbd.protect_snapshot"}, way{format: 1, spoil: (*cell).unprotect}},
	{[]string{"flatten_volume/flatten/*/rbd.detach_parent"}, way{first: "%m/%f/before", tamper: (*cell).leaveDetached}},
	{[]string{"create_volume_from_image/import/*/rbd.discard"}, way{first: "create_volume_from_image/import/after"}},
	{[]string{"create_volume_from_cached_image/import/*", "create_volume_from_cached_image/import/*/*"}, way{spoil: (*cell).uncached}},
	{
		[]string{"create_volume_from_cached_image/lookup/*/rbd.move_to_trash", "create_volume_from_cached_image/lookup/*/rbd.remove_from_trash"},
		way{first: "create_volume_from_cached_image/clone/after"},
	},
	{[]string{"cache_image/import/*/rbd.remove_snapshot"}, way{first: "cache_image/snapshot/after"}},
	{[]string{"cache_image/import/*/rbd.move_to_trash", "cache_image/import/*/rbd.remove_from_trash"}, way{first: "cache_image/import/after"}},
	{[]string{"*/import/*/qemu.import", "copy_volume_to_image/copy/*/qemu.export"}, way{spoil: (*cell).inQCOW2}},
	{[]string{"retype/rebuild/*", "retype/rebuild/*/*"}, way{spoil: (*cell).unshare}},
	{[]string{"delete_volume/trash/*/rbd.remove_image"}, way{spoil: (*cell).behead}},
	{[]string{"manage_existing/rename/*/rbd.give_up_name"}, way{first: "manage_existing/rename/before", tamper: (*cell).leaveTwoNames}},
	{[]string{"apply_repairs/repair/*/rbd.rename"}, way{spoil: (*cell).misname}},
	{[]string{"apply_repairs/repair/*/rbd.remove_metadata"}, way{spoil: (*cell).misset}},
	{[]string{"apply_repairs/repair/*/rbd.break_lock"}, way{spoil: (*cell).mislock}},
	{[]string{"apply_repairs/repair/*/rbd.resize"}, way{spoil: (*cell).missize}},
	{[]string{"apply_repairs/repair/*/rbd.move_to_trash"}, way{spoil: (*cell).misplace}},
	{[]string{"undelete_volume/restore/*/rbd.complete_trash"}, way{spoil: (*cell).leaveMoving}},
	{[]string{"purge_volume/purge/*/rbd.complete_trash"}, way{first: "purge_volume/purge/before", tamper: (*cell).leaveMoving}},
	{[]string{"purge_volume/purge/*/rbd.remove_snapshot", "*/*/*/rbd.protect_snapshot", "*/*/*/rbd.unprotect_snapshot"}, way{format: 1}},
}

// victims are what is unfinished when a process dies while it takes a service
// over: one operation of each method, with an image open where there is one.
var victims = []point{
	"create_volume/create/after/rbd.create_image",
	"create_volume_from_snapshot/clone/before/rbd.resize",
	"create_cloned_volume/snapshot/after/rbd.create_snapshot",
	"drop_clone_snapshot/remove/before/rbd.remove_snapshot",
	"delete_volume/trash/after/rbd.move_to_trash",
	"purge_volume/purge/before/rbd.remove_from_trash",
	"undelete_volume/restore/after/rbd.restore_from_trash",
	"extend_volume/extend/before/rbd.resize",
	"retype/configure/before/rbd.set_metadata",
	"migrate_volume/copy/after/rbd.create_snapshot",
	"flatten_volume/flatten/before/rbd.flatten",
	"revert_to_snapshot/rollback/after/rbd.rollback",
	"create_volume_from_image/import/after/rbd.write",
	"cache_image/import/after/rbd.write",
	"create_volume_from_cached_image/clone/before/rbd.resize",
	"clone_image/clone/before/rbd.resize",
	"reimage/import/after/rbd.write",
	"copy_volume_to_image/copy/before",
	"create_snapshot/snapshot/after/rbd.create_snapshot",
	"delete_snapshot/remove/before/rbd.remove_snapshot",
	"manage_existing/rename/after/rbd.rename",
	"manage_deleted_volume/trash/after/rbd.move_to_trash",
	"manage_existing_snapshot/rename/after/rbd.rename_snapshot",
	"unmanage_volume/accept/after",
	"unmanage_snapshot/accept/after",
}

// waysTo returns the ways to a point: most have one.
func waysTo(p point) (found []way) {
	if p.method() != "service" {
		w := wayTo(p)
		if w.target == "" {
			w.target = p.method()
		}
		return []way{w}
	}
	for _, v := range victims {
		found = append(found, way{target: v.method(), first: string(v)})
	}
	return found
}

// wayTo returns the way to a point of a method; where there is no other, the
// request alone.
func wayTo(p point) way {
	for _, w := range ways {
		for _, pattern := range w.points {
			if p.is(pattern) {
				found := w.way
				found.first, found.hold = p.fill(found.first), p.fill(found.hold)
				return found
			}
		}
	}
	return way{}
}

func (p point) fill(template string) string {
	m := methods[p.method()]
	return strings.NewReplacer("%m", p.method(), "%f", m.first, "%l", m.last).Replace(template)
}
