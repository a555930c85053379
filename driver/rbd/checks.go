package rbd

import (
	"strings"

	"github.com/ceph/go-ceph/rados"
)

// oldestClient returns the oldest release of clients that the cluster admits,
// empty if it does not tell.
func (d *Driver) oldestClient() string {
	text, err := d.control.monText("osd get-require-min-compat-client")
	if err != nil {
		d.log.Debug("oldest admitted client cannot be read", "error", err)
	}
	return text
}

// lookAround prepares what calls are the faster for, and logs what will hurt later
// but is no reason not to start.
func (d *Driver) lookAround() {
	for _, l := range []*link{d.control, d.data} {
		if err := l.trustPool(); err != nil {
			d.log.Debug("librbd validates the pool with every image", "pool", d.cfg.Pool, "error", err)
		}
	}
	var applications map[string]any
	err := d.control.mon(&applications, "osd pool application get", "pool", d.cfg.Pool)
	if _, ok := applications["rbd"]; err == nil && !ok {
		d.log.Warn("pool is not marked for rbd", "pool", d.cfg.Pool, "hint", "rbd pool init "+d.cfg.Pool)
	}
	if err := d.control.makeTrash(); err != nil {
		d.log.Warn("pool cannot be written to", "pool", d.cfg.Pool, "error", err)
	}
}

// infoObject tells of a pool that it can hold images, once librbd has found so.
const (
	infoObject = "rbd_info"
	validated  = "overwrite validated"
)

// trustPool spares librbd the validation of a pool that it has validated before: it
// would read the same answer again for every image it makes.
func (l *link) trustPool() error {
	said := make([]byte, len(validated)+1)
	n, err := l.io.Read(infoObject, said, 0)
	if err != nil {
		return classify(err, "read what is known of the pool")
	}
	if string(said[:n]) != validated {
		return nil
	}
	return classify(l.conn.SetConfigOption("rbd_validate_pool", "false"), "set rbd_validate_pool")
}

// makeTrash makes the object of the trash, empty, as librbd does with the first
// image: once the pool is full it could not, and nothing could be deleted.
func (l *link) makeTrash() error {
	return classify(l.io.Create(trashObject, rados.CreateIdempotent), "make the trash")
}

// monText runs a monitor command that answers in plain text.
func (l *link) monText(prefix string) (string, error) {
	out, err := l.monCommand(map[string]any{"prefix": prefix})
	return strings.TrimSpace(string(out)), err
}
