package volume

import (
	"strings"

	"github.com/google/uuid"
)

// Names that cinder-volume gives to what it keeps for clones.
const (
	SilentSuffix    = ".deleted"    // ends the name of the image of a deleted volume that clones need
	CloneSnapSuffix = ".clone_snap" // ends the name of a snapshot taken for a clone, after that of the clone's image
)

// IDIn returns the id in a name that was made by template: ok is false for any other
// name, and for one whose id is no UUID in lower case.
func IDIn(template, name string) (id string, ok bool) {
	before, after, found := strings.Cut(template, "%s")
	if !found || len(name) < len(before)+len(after) || !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
		return "", false
	}
	id = name[len(before) : len(name)-len(after)]
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return "", false
	}
	return id, true
}

// IsBackupSnapshot reports whether a snapshot belongs to an incremental backup, by its
// name: backup.<id>.snap.<time>.
func IsBackupSnapshot(name string) bool {
	rest, ok := strings.CutPrefix(name, "backup.")
	return ok && strings.Contains(rest, ".snap.")
}
