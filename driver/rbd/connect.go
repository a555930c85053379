package rbd

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/volumed/volumed/fault"
)

// link is one connection to the cluster with its one I/O context, both shared by
// all calls and never changed once they are.
type link struct {
	conn *rados.Conn
	io   *rados.IOContext
	addr string // ip:port/nonce
}

// huntEvery is how often a monitor or an OSD that is away is tried again.
const huntEvery = 3 * time.Second

// dial connects, with options of the connection's own. Operations time out after the
// given time, or never with 0; connecting itself never takes longer than the configured
// timeout.
func dial(cfg Config, timeout time.Duration, own map[string]string) (*link, error) {
	user := cfg.User
	setDefault(&user, "admin")
	conn, err := rados.NewConnWithClusterAndUser(cfg.Cluster, "client."+user)
	if err != nil {
		return nil, classify(err, "create a client")
	}
	if err := readConf(conn, cfg); err != nil {
		return nil, err
	}
	options := map[string]string{
		"client_mount_timeout": seconds(cfg.ConnectTimeout),
		"rados_mon_op_timeout": seconds(timeout),
		"rados_osd_op_timeout": seconds(timeout),
		// How soon what was away is looked for again. librados waits longer from
		// try to try, up to half a minute for a monitor: too long after its return.
		"mon_client_hunt_interval":              seconds(huntEvery),
		"mon_client_hunt_interval_max_multiple": "1",
		"ms_max_backoff":                        seconds(huntEvery),
	}
	if timeout > 0 {
		// Small messages, for which somebody waits: two messenger threads answer them
		// sooner than the usual three, which hand over to each other.
		options["ms_async_op_threads"] = "2"
	}
	maps.Copy(options, own)
	for name, value := range options {
		if err := conn.SetConfigOption(name, value); err != nil {
			return nil, classify(err, "set "+name)
		}
	}
	if err := conn.Connect(); err != nil {
		return nil, connectError(err, cfg, user)
	}
	l := &link{conn: conn}
	if l.addr, err = conn.GetAddrs(); err == nil {
		err = l.openPool(cfg.Pool)
	}
	if err != nil {
		l.close()
		return nil, classify(err, "open pool "+cfg.Pool)
	}
	return l, nil
}

// seconds returns a time as librados's options have it, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

func readConf(conn *rados.Conn, cfg Config) error {
	err, where := error(nil), cfg.ConfFile
	if where != "" {
		err = conn.ReadConfigFile(where)
	} else {
		where = "the configuration of cluster " + cfg.Cluster
		err = conn.ReadDefaultConfigFile()
	}
	switch errno(err) {
	case 0:
		return err
	case syscall.ENOENT:
		return fault.New(fault.Invalid, "%s does not exist", where).
			WithField("rbd_ceph_conf").WithHint("set rbd_ceph_conf to the cluster's ceph.conf")
	default:
		return fault.New(fault.Invalid, "%s cannot be read: %w", where, err).WithField("rbd_ceph_conf")
	}
}

// connectError says in the operator's words why there is no connection: librados
// reports a keyring without our key as "no such object".
func connectError(err error, cfg Config, user string) error {
	switch errno(err) {
	case syscall.ENOENT, syscall.EPERM, syscall.EACCES:
		return fault.New(fault.Invalid, "the cluster does not accept client.%s: no key in the keyring, or another one than the cluster's (%w)", user, err).
			WithField("rbd_user").WithHint("compare the keyring with: ceph auth get client.%s", user)
	case syscall.ETIMEDOUT:
		return fault.New(fault.Unavailable, "no monitor answers within %s (%w)", cfg.ConnectTimeout, err).
			WithHint("check mon_host in the ceph.conf and the monitors: ceph -s")
	default:
		return classify(err, "connect")
	}
}

// openPool opens the I/O context. An unknown name must not reach
// OpenIOContext, nor GetPoolByName: both then ask a monitor for a newer map, with
// no timeout. The list is that of the map we connected with.
func (l *link) openPool(pool string) error {
	pools, err := l.conn.ListPools()
	if err != nil {
		return err
	}
	if !slices.Contains(pools, pool) {
		return fault.New(fault.NotFound, "the cluster has no such pool, only %s", strings.Join(pools, ", ")).
			WithField("rbd_pool").WithHint("ceph osd pool create %s && rbd pool init %s", pool, pool)
	}
	if l.io, err = l.conn.OpenIOContext(pool); err != nil {
		return err
	}
	return l.io.SetPoolFullTry()
}

// dialBoth makes the control and the data connection, side by side.
func dialBoth(cfg Config) (control, data *link, err error) {
	var dataErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		data, dataErr = dial(cfg, 0, nil)
	}()
	control, err = dial(cfg, cfg.ConnectTimeout, nil)
	<-done
	if err == nil && dataErr == nil {
		return control, data, nil
	}
	control.close()
	data.close()
	return nil, nil, cmp.Or(err, dataErr)
}

// close undoes dial. No call may be in flight and no image open on the link.
func (l *link) close() {
	if l == nil {
		return
	}
	if l.io != nil {
		l.io.Destroy()
	}
	l.conn.Shutdown()
}
