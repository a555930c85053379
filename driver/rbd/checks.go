package rbd

import (
	"strconv"
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
	if err := d.control.tryWrite(); err != nil {
		d.log.Warn("pool cannot be written to", "pool", d.cfg.Pool, "error", err)
	}
}

// tryWrite makes and removes an object that only this client names.
func (l *link) tryWrite() error {
	name := "volumed_write_check." + strconv.FormatUint(l.conn.GetInstanceID(), 10)
	if err := l.io.Create(name, rados.CreateIdempotent); err != nil {
		return classify(err, "write")
	}
	return classify(l.io.Delete(name), "remove what was written")
}

// monText runs a monitor command that answers in plain text.
func (l *link) monText(prefix string) (string, error) {
	out, err := l.monCommand(map[string]any{"prefix": prefix})
	return strings.TrimSpace(string(out)), err
}
