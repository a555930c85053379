package rbd

import (
	"encoding/binary"
	"strings"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/volumed/volumed/fault"
)

// trashObject holds one entry for each image in the trash. It is read directly:
// librbd's list leaves out what it is removing itself, cannot find one entry
// without listing all, and go-ceph's fails beyond 10,240 of them.
const trashObject = "rbd_trash"

// trashPage is how many entries are read at once.
const trashPage = 1024

// States of a trash entry. librbd sets them at the ends of what it does, so the
// two that begin something outlive a process that died there.
const (
	trashNormal = 0
	trashMoving = 1 // into the trash
	// trashRemoving is set by what purges, trashRestoring by what restores.
	trashRemoving  = 2
	trashRestoring = 3
)

// sourceRemoving is the source of an entry that librbd has made itself, of an image
// that was to be removed at once.
const sourceRemoving = 3

// trashEntry is one image in the trash.
type trashEntry struct {
	id, name  string
	source    byte
	state     byte
	deleted   time.Time
	keepUntil time.Time
}

// trashGet returns the entry of an image id, nil if there is none.
func (l *link) trashGet(id string) (*trashEntry, error) {
	value, err := l.omapValue(trashObject, "id_"+id)
	if err != nil || value == nil {
		return nil, err
	}
	return parseTrashEntry(id, value)
}

// trashFind returns the entry that was deleted last under that name, nil if
// there is none.
func (l *link) trashFind(name string) (*trashEntry, error) {
	var found *trashEntry
	for after := ""; ; {
		n := 0
		var bad error
		err := l.io.ListOmapValues(trashObject, after, "id_", trashPage, func(key string, value []byte) {
			n, after = n+1, key
			e, err := parseTrashEntry(strings.TrimPrefix(key, "id_"), value)
			switch {
			case err != nil:
				bad = err
			case e.name == name && (found == nil || e.deleted.After(found.deleted)):
				found = e
			}
		})
		switch {
		case errno(err) == syscall.ENOENT:
			return nil, nil
		case err != nil:
			return nil, classify(err, "read the trash")
		case n < trashPage && found == nil:
			return nil, bad
		case n < trashPage:
			return found, nil
		}
	}
}

// parseTrashEntry decodes an entry: version, compatible version and length, then
// source, name, the times of deletion and of the end of its keeping (seconds and
// nanoseconds, 32 bits each), and since version 2 the state.
func parseTrashEntry(id string, value []byte) (*trashEntry, error) {
	const header, times = 6, 16
	broken := fault.New(fault.Internal, "the trash entry of image id %s has a form that this version does not know", id)
	if len(value) < header+1 || value[1] > 2 {
		return nil, broken
	}
	name, rest, ok := cutString(value[header+1:])
	if !ok || len(rest) < times {
		return nil, broken
	}
	e := &trashEntry{id: id, name: name, source: value[header], deleted: cephTime(rest), keepUntil: cephTime(rest[times/2:])}
	if value[0] >= 2 && len(rest) > times {
		e.state = rest[times]
	}
	return e, nil
}

func cephTime(b []byte) time.Time {
	return time.Unix(int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:])))
}

// trashComplete ends what a dead process has begun with an entry, and left in the
// state from. Right before the end of a move into the trash that is an entry which
// librbd refuses to remove (EUCLEAN) and to restore, for ever; in a restore it is one
// that it refuses to remove (EBUSY).
func (l *link) trashComplete(id string, from byte) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Exec("rbd", "trash_state_set", append(appendString(nil, id), trashNormal, from))
	return classify(op.Operate(l.io, trashObject, rados.OperationNoFlag), "complete the entry in the trash")
}
