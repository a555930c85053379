package rbd

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
)

var _ driver.Fencer = (*Driver)(nil)

// fenceTime is how long a dead client stays on the cluster's blocklist, in seconds:
// longer than the 30 s for which OSDs keep a watch without a sign of life, and long
// enough to tell what it leaves behind beyond that (see alive); Ceph's own default.
// Monitors take this number only with a decimal point.
const fenceTime json.Number = "3600.0"

// Fence puts clients on the cluster's blocklist, each by its whole address with
// the nonce: another process of the same host has another one.
func (d *Driver) Fence(ctx context.Context, addrs []string) (err error) {
	defer fault.Wrap(&err, "fence")
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, addr := range addrs {
		if !strings.Contains(addr, "/") || slices.Contains(d.Addrs(), addr) {
			return fault.New(fault.Invalid, "%q is not the address of another client", addr)
		}
	}
	// Monitors commit what comes at once as one change of the map.
	var group errgroup.Group
	for _, addr := range addrs {
		group.Go(func() error { return d.blocklist(ctx, addr) })
	}
	return group.Wait()
}

func (d *Driver) blocklist(ctx context.Context, addr string) error {
	return crashpoint.Around(ctx, "rbd.blocklist", func() error {
		_, err := d.control.monCommand(map[string]any{
			"prefix": "osd blocklist", "blocklistop": "add", "addr": addr, "expire": fenceTime,
		})
		return err
	})
}
