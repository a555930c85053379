package rbd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/spell"
)

// Open connects to the cluster and checks that the pool can be used. It tries
// again, as often and as far apart as the configuration says, while the cluster
// does not answer, and logs what is odd but no obstacle.
//
// Kinds: Invalid for a configuration, a ceph.conf or a key that cannot work,
// NotFound for the pool, Unavailable for a cluster that does not answer. A ctx
// that ends makes Open return at once; the attempt in progress goes on in the
// background until librados gives up, for at most the connect timeout and that
// of one read, and then undoes itself.
func Open(ctx context.Context, cfg Config, log hclog.Logger) (d *Driver, err error) {
	defer fault.Wrap(&err, "connect to pool %s", cfg.Pool)
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	wait := cfg.ConnectInterval
	for attempt := 1; ; attempt++ {
		d, err = openOnce(ctx, cfg, log)
		last := attempt >= cfg.ConnectRetries || ctx.Err() != nil
		if err == nil || last || fault.KindOf(err) != fault.Unavailable {
			return d, err
		}
		log.Warn("cluster does not answer, trying again", "attempt", attempt, "wait", wait, "error", err)
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		wait *= 2
	}
}

// sleep waits, or returns the error of the ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openOnce runs one attempt in a goroutine that outlives it if ctx ends first.
func openOnce(ctx context.Context, cfg Config, log hclog.Logger) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type result struct {
		d   *Driver
		err error
	}
	results := make(chan result) // unbuffered: what is not received is undone
	go func() {
		d, err := connect(cfg, log)
		select {
		case results <- result{d, err}:
		case <-ctx.Done():
			if err == nil { // it looks around, and is waited for
				err = d.Close()
			}
			log.Info("connect attempt that was left behind has ended", "error", err)
		}
	}()
	select {
	case r := <-results:
		return r.d, r.err
	case <-ctx.Done():
		return nil, fault.New(fault.KindOf(ctx.Err()), "gave up waiting; an attempt is left behind: %w", ctx.Err())
	}
}

// connect makes a driver that is ready for use.
func connect(cfg Config, log hclog.Logger) (*Driver, error) {
	control, data, err := dialBoth(cfg)
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, log: log, told: spell.New(log, 0), control: control, data: data, pace: pacer{most: cfg.flattenPause()}}
	if err := d.setUp(); err != nil {
		control.close()
		data.close()
		return nil, err
	}
	return d, nil
}

// setUp reads what stays the same as long as the connection lasts, and checks.
func (d *Driver) setUp() (err error) {
	if d.fsid, err = d.control.conn.GetFSID(); err != nil {
		return classify(err, "read the cluster id")
	}
	setDefault(&d.cfg.SecretUUID, d.fsid)
	if err := d.control.read(); err != nil {
		return err
	}
	d.features = defaultFeatures(d.option("rbd_default_features"))
	d.cloneFormat = cloneFormat(d.cfg.CloneFormat, d.option("rbd_default_clone_format"), d.oldestClient)
	// Nobody waits for this; Close does, as for every call.
	if leave, err := d.enter(context.Background()); err == nil {
		go func() {
			defer leave()
			d.lookAround()
		}()
	}
	return nil
}

// option returns an option of the cluster's client configuration, empty if
// there is none.
func (d *Driver) option(name string) string {
	value, err := d.control.conn.GetConfigOption(name)
	if err != nil {
		d.log.Debug("option cannot be read", "option", name, "error", err)
		return ""
	}
	return value
}

// defaultFeatures reads rbd_default_features, a number or a list of names;
// layering, which clones need, if it says nothing.
func defaultFeatures(value string) uint64 {
	if n, err := strconv.ParseUint(value, 0, 64); err == nil && n != 0 {
		return n
	}
	var names []string
	for name := range strings.SplitSeq(value, ",") {
		names = append(names, strings.TrimSpace(name))
	}
	if set := rbd.FeatureSetFromNames(names); set != 0 {
		return uint64(set)
	}
	return rbd.FeatureLayering
}

// cloneFormat decides the format of clones. What is automatic is decided as
// librbd does: 2 if the cluster refuses clients that cannot read it.
func cloneFormat(ours, clusters string, oldestClient func() string) uint64 {
	if ours == "auto" {
		ours = clusters
	}
	switch {
	case ours == "1":
		return 1
	case ours == "2":
		return 2
	case oldestClient() >= "mimic": // releases are named in alphabetical order
		return 2
	default:
		return 1
	}
}
