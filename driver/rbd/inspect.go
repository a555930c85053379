package rbd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/volume"
)

// readOpen fills in img as librbd tells it, of an image that is opened for it.
func (d *Driver) readOpen(img *volume.Image) error {
	open, err := d.openAs(d.control, img.ID, rbd.OpenImageByIdReadOnly)
	if err != nil {
		return err
	}
	defer open.discard()
	size, err := open.GetSize()
	if err != nil {
		return classify(err, "read the size")
	}
	img.Size = int64(size)
	if img.Parent, err = open.parent(); err != nil {
		return err
	}
	if img.Snapshots, err = open.snapshots(); err != nil {
		return err
	}
	features, err := open.GetFeatures()
	if err != nil {
		return classify(err, "read the features")
	}
	group, err := open.group()
	if err != nil {
		return err
	}
	img.Migrating, img.Grouped = features&rbd.FeatureMigrating != 0, group != ""
	img.Metadata, err = open.ListMetadata()
	return classify(err, "read the metadata")
}

// parent returns what the image is a clone of, nil for none.
func (i *image) parent() (*volume.ImageParent, error) {
	parent, err := i.parentInfo()
	if err != nil || parent == nil {
		return nil, err
	}
	return &volume.ImageParent{
		Pool:    otherPool(int64(parent.Image.PoolID), i.d.control.io.GetPoolID(), parent.Image.PoolNamespace),
		ImageID: parent.Image.ImageID, SnapshotID: parent.Snap.ID,
	}, nil
}

// snapshots returns the snapshots that users see.
func (i *image) snapshots() ([]volume.ImageSnapshot, error) {
	list, err := i.GetSnapshotNames()
	if err != nil {
		return nil, classify(err, "list the snapshots")
	}
	var found []volume.ImageSnapshot
	for _, s := range list {
		kind, err := i.GetSnapNamespaceType(s.Id)
		if err != nil {
			return nil, classify(err, "read the snapshot "+s.Name)
		}
		if kind != rbd.SnapNamespaceTypeUser {
			continue
		}
		protected, err := i.GetSnapshot(s.Name).IsProtected()
		if err != nil {
			return nil, classify(err, "read the snapshot "+s.Name)
		}
		found = append(found, volume.ImageSnapshot{ID: s.Id, Name: s.Name, Size: int64(s.Size), Protected: protected})
	}
	return byID(found), nil
}

func byID(list []volume.ImageSnapshot) []volume.ImageSnapshot {
	slices.SortFunc(list, func(a, b volume.ImageSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// otherPool names a pool, by its id, unless it is the pool of the image itself.
func otherPool(of, own int64, namespace string) string {
	if of == own && namespace == "" {
		return ""
	}
	name := fmt.Sprintf("pool id %d", of)
	if namespace != "" {
		name += ", namespace " + namespace
	}
	return name
}

// lockName is the lock that librbd and the rbd command take on a header.
const lockName = "rbd_lock"

// managedCookie begins the cookies of the locks that librbd takes by itself.
const managedCookie = "auto "

// readClients fills in who has img open or locked. An image must be open for its
// watchers to be listed; for reading only, which makes no watcher of us.
func (d *Driver) readClients(img *volume.Image) error {
	open, err := d.openAs(d.control, img.ID, rbd.OpenImageByIdReadOnly)
	if err != nil {
		return err
	}
	watchers, err := open.ListWatchers()
	open.discard()
	if err != nil {
		return classify(err, "list the watchers")
	}
	for _, w := range watchers {
		img.Watchers = append(img.Watchers, w.Addr)
	}
	slices.Sort(img.Watchers)
	img.Locks, err = d.control.locks(img.ID)
	return err
}

// locks returns who holds the lock of an image.
func (l *link) locks(id string) ([]volume.ImageLock, error) {
	info, err := l.io.ListLockers("rbd_header."+id, lockName)
	if errno(err) == syscall.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, classify(err, "list the locks")
	}
	var found []volume.ImageLock
	for n := range info.NumLockers {
		if n >= min(len(info.Clients), len(info.Cookies), len(info.Addrs)) {
			break
		}
		found = append(found, volume.ImageLock{
			Client: info.Clients[n], Cookie: info.Cookies[n], Addr: plainAddr(info.Addrs[n]),
			Managed: strings.HasPrefix(info.Cookies[n], managedCookie),
		})
	}
	return found, nil
}

// plainAddr returns an address as watchers and this driver's own are written: without
// the version of the protocol, which locks name in front.
func plainAddr(addr string) string {
	if version, rest, ok := strings.Cut(addr, ":"); ok && (version == "v1" || version == "v2" || version == "any") {
		return rest
	}
	return addr
}
