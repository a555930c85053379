package audit

import (
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// Tables is what the database says of one service.
type Tables struct {
	Host, Pool string
	// VolumeNames and SnapshotNames are the templates of the names on the backend,
	// with one %s for the id.
	VolumeNames, SnapshotNames string
	// SharedPool tells that others keep images in the pool as well.
	SharedPool bool
	// Addrs are the addresses of the services' own clients.
	Addrs []string
	// Settings are the metadata that the types of volumes want on their images, by the id
	// of the volume.
	Settings map[string]map[string]string

	// Volumes are the service's volumes that are not deleted, Snapshots theirs.
	Volumes   []volume.Volume
	Snapshots []volume.Snapshot
	// Trashed are the records of its deleted volumes whose image is not known to be
	// purged.
	Trashed []volume.Volume
	// Operations are those of the service that have not ended.
	Operations []volume.Operation

	// PastVolumes and PastSnapshots are further rows, deleted or of other services,
	// by their ids: those that Unknown asks for.
	PastVolumes   map[string]volume.Volume
	PastSnapshots map[string]volume.Snapshot
}

// Unknown returns the ids of volumes and snapshots that the images name or the rows
// refer to and that are not among the rows: Compare wants to know what they were.
func Unknown(t Tables, images []volume.Image) (volumes, snapshots []string) {
	known := map[string]bool{}
	for _, v := range slices.Concat(t.Volumes, t.Trashed) {
		known[v.ID] = true
	}
	for _, s := range t.Snapshots {
		known[s.ID] = true
	}
	ask := func(list *[]string, id string) {
		if id != "" && !known[id] {
			known[id] = true
			*list = append(*list, id)
		}
	}
	for _, v := range t.Volumes {
		ask(&volumes, v.SourceVolID)
		ask(&snapshots, v.SnapshotID)
	}
	named := map[string]bool{}
	for _, v := range t.Volumes {
		named[v.Ref(t.VolumeNames).Name] = true
	}
	for _, img := range images {
		if !named[img.Name] {
			id, _ := volume.IDIn(t.VolumeNames, strings.TrimSuffix(img.Name, volume.SilentSuffix))
			ask(&volumes, id)
		}
		for _, s := range img.Snapshots {
			id, _ := volume.IDIn(t.SnapshotNames, s.Name)
			ask(&snapshots, id)
			id, _ = volume.IDIn(t.VolumeNames+volume.CloneSnapSuffix, s.Name)
			ask(&volumes, id)
		}
	}
	return volumes, snapshots
}

// Names that this service gives to what it makes for clones, and to settings.
const (
	clonePrefix    = "volumed-clone-" // begins the name of a snapshot taken for a clone, before the id of the operation
	settingsPrefix = "conf_"          // begins the metadata keys that are settings of an image
)
