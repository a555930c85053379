package rbd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
)

// A ghost is a watch of a client that is dead and shut out. The OSD ends such a watch
// when it learns of the entry on the blocklist, with one exception: a client that
// died while the OSD was about to enter its watch has no connection any more by which
// the OSD would find it again. The watch is written down, and stays, until the OSD
// reads the object anew. To librbd it is a client like any other, and it removes no
// image that has one.

// alive returns those of the clients that the cluster has not shut out.
func (l *link) alive(addrs []string) ([]string, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	out, err := l.monCommand(map[string]any{"prefix": "osd blocklist ls", "format": "json"})
	if err != nil {
		return nil, err
	}
	// A list of addresses and, in newer releases, one of ranges behind it.
	for in := json.NewDecoder(bytes.NewReader(out)); len(addrs) > 0; {
		var entries []struct{ Addr string }
		if err := in.Decode(&entries); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fault.New(fault.Internal, "answer to \"osd blocklist ls\": %w", err)
		}
		addrs = slices.DeleteFunc(addrs, func(addr string) bool {
			return slices.ContainsFunc(entries, func(e struct{ Addr string }) bool { return e.Addr == addr })
		})
	}
	return addrs, nil
}

// despiteGhosts calls remove, and again if only ghosts kept it from removing the image.
// It returns the error of librbd as it is.
func (d *Driver) despiteGhosts(id string, remove func() error) error {
	err := remove()
	if errno(err) != syscall.EBUSY {
		return err
	}
	if again, cause := d.exorcise(id); !again || cause != nil {
		return err
	}
	return remove()
}

// exorcise has the OSD forget the header of an image on which there are ghosts and
// nobody else, and reports whether it did: what they kept from being done may be
// tried again.
func (d *Driver) exorcise(id string) (bool, error) {
	img, err := d.openAs(d.control, id, rbd.OpenImageByIdReadOnly)
	if err != nil {
		return false, err
	}
	list, err := img.ListWatchers()
	img.discard()
	if err != nil {
		return false, classify(err, "list the watchers")
	}
	watchers := make([]string, len(list))
	for i, w := range list {
		watchers[i] = w.Addr
	}
	alive, err := d.control.alive(watchers)
	if err != nil || len(list) == 0 || len(alive) > 0 {
		return false, err
	}
	d.log.Info("an image is watched by dead clients only: the OSD is made to read it anew", "image", id, "clients", watchers)
	return true, d.control.forget("rbd_header." + id)
}

// remembered is how many objects of a placement group an OSD keeps in mind, by
// default (osd_pg_object_context_cache_count), and some more.
const remembered = 64 * 3

// forget has the OSD forget an object, by using others of its placement group. They
// are gone afterwards.
func (l *link) forget(object string) error {
	pool, err := l.io.GetPoolName()
	if err != nil {
		return classify(err, "read the name of the pool")
	}
	group, err := l.conn.OpenIOContext(pool)
	if err != nil {
		return classify(err, "open the pool")
	}
	defer group.Destroy()
	group.SetLocator(object)
	for n := range remembered {
		other := fmt.Sprintf("volumed-forget-%d", n)
		if err := group.WriteFull(other, []byte{0}); err != nil {
			return classify(err, "write "+other)
		}
		if err := group.Delete(other); err != nil {
			return classify(err, "remove "+other)
		}
	}
	return nil
}
