package audit

import (
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// Foreign returns the names of the snapshots of an image that are neither among those
// that its rows name nor were taken for clones: nobody but their owners can do without
// them.
func Foreign(img *volume.Image, named []string) (names []string) {
	for _, s := range img.Snapshots {
		forClone := strings.HasPrefix(s.Name, clonePrefix) || strings.HasSuffix(s.Name, volume.CloneSnapSuffix)
		if !forClone && !slices.Contains(named, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}
