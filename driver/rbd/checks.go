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

// warn logs what will hurt later but is no reason not to start.
func (d *Driver) warn() {
	var applications map[string]any
	err := d.control.mon(&applications, "osd pool application get", "pool", d.cfg.Pool)
	if _, ok := applications["rbd"]; err == nil && !ok {
		d.log.Warn("pool is not marked for rbd", "pool", d.cfg.Pool, "hint", "rbd pool init "+d.cfg.Pool)
	}
	if err := d.control.makeTrash(); err != nil {
		d.log.Warn("pool cannot be written to", "pool", d.cfg.Pool, "error", err)
	}
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
