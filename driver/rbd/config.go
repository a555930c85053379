package rbd

import (
	"errors"
	"math/bits"
	"time"

	"github.com/volumed/volumed/fault"
)

// Config holds what the driver takes from its backend's section. It is a struct
// of its own, and not the section as package config reads it, so that the driver
// says what it needs and can be tested without a file. The zero value of every
// field but Pool is a working default.
type Config struct {
	// Name is volume_backend_name; "RBD" if empty.
	Name string
	// Cluster is rbd_cluster_name; "ceph" if empty.
	Cluster string
	// ConfFile is rbd_ceph_conf; librados looks in its usual places if empty.
	ConfFile string
	// User is rbd_user, without "client."; "admin" if empty, and hosts are then
	// told that they need not authenticate.
	User string
	// Pool is rbd_pool. It must exist.
	Pool string
	// ImagePools is image_rbd_allow: other pools whose images may be cloned.
	ImagePools []string
	// SecretUUID is rbd_secret_uuid; the id of the cluster if empty.
	SecretUUID string
	// ChunkSize is rbd_store_chunk_size, the size of objects in MiB, a power of
	// two of at most 32; 4 if 0.
	ChunkSize int
	// CloneFormat is rbd_clone_format: "2" (or empty), "1", or "auto" for what
	// the cluster's clients can use.
	CloneFormat string
	// ConnectTimeout is rados_connect_timeout: the longest wait for a monitor
	// when connecting, and for each operation of the control connection. With 0
	// or less it is 10 s, where librados would wait for ever.
	ConnectTimeout time.Duration
	// ConnectRetries is rados_connection_retries, the number of attempts of
	// Open; 3 if 0.
	ConnectRetries int
	// ConnectInterval is rados_connection_interval, the wait after the first
	// attempt, which doubles with each; 5 s if 0.
	ConnectInterval time.Duration
	// MaxSnapshots is rbd_max_snapshots_per_image: how many snapshots an image may
	// have, hidden ones too, for another to be taken; no limit if 0.
	MaxSnapshots int
	// FlattenMinRate is rbd_flatten_min_rate: what all flattens together copy at least,
	// though clients suffer, in MiB per second; 4 if 0.
	FlattenMinRate int
	// ExclusivePool is rbd_exclusive_cinder_pool: everything in the pool is
	// ours, so that the provisioned capacity need not be read from it.
	ExclusivePool bool
	// DynamicCapacity is report_dynamic_total_capacity: the total is what is
	// free and used, instead of the quota or the whole cluster.
	DynamicCapacity bool
	// ReservedPercentage is reserved_percentage.
	ReservedPercentage int
	// MaxOverSubscriptionRatio is a number of at least 1, or "auto"; "20.0" if
	// empty.
	MaxOverSubscriptionRatio string
}

// DefaultName is volume_backend_name where the configuration has none.
const DefaultName = "RBD"

// controlTimeout bounds the operations of the control connection where the
// configuration does not.
const controlTimeout = 10 * time.Second

// maxChunk is the largest object that librbd takes, in MiB.
const maxChunk = 32

// withDefaults returns c with its defaults filled in, or all that is wrong with
// it, with the kind Invalid.
func (c Config) withDefaults() (Config, error) {
	var problems []error
	if c.Pool == "" {
		problems = append(problems, fault.New(fault.Invalid, "rbd_pool is empty: name the pool that holds the volumes").WithField("rbd_pool"))
	}
	setDefault(&c.Name, DefaultName)
	setDefault(&c.Cluster, "ceph")
	setDefault(&c.ChunkSize, 4)
	setDefault(&c.CloneFormat, "2")
	setDefault(&c.FlattenMinRate, 4)
	setDefault(&c.ConnectRetries, 3)
	setDefault(&c.ConnectInterval, 5*time.Second)
	setDefault(&c.MaxOverSubscriptionRatio, "20.0")
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = controlTimeout
	}
	if c.ChunkSize < 1 || c.ChunkSize > maxChunk || bits.OnesCount(uint(c.ChunkSize)) != 1 {
		problems = append(problems, fault.New(fault.Invalid,
			"rbd_store_chunk_size is %d: use 1, 2, 4, 8, 16 or 32 MiB", c.ChunkSize).WithField("rbd_store_chunk_size"))
	}
	if c.CloneFormat != "1" && c.CloneFormat != "2" && c.CloneFormat != "auto" {
		problems = append(problems, fault.New(fault.Invalid,
			"rbd_clone_format is %q: use 2, 1 or auto", c.CloneFormat).WithField("rbd_clone_format"))
	}
	return c, errors.Join(problems...)
}

// setDefault gives *v the value if it has none.
func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// flattenPause is the longest pause between two objects that flattens copy.
func (c Config) flattenPause() time.Duration {
	return time.Second * time.Duration(c.ChunkSize) / time.Duration(max(c.FlattenMinRate, 1))
}

// order returns the binary logarithm of the object size in bytes.
func (c Config) order() uint64 { return uint64(bits.Len(uint(c.ChunkSize)) - 1 + 20) }
