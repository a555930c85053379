package config

import "time"

// The drivers, as Backend.VolumeDriver names them.
const (
	DriverRBD = "rbd"
	DriverMem = "mem" // in memory, for injecting faults
)

// Backend is one enabled backend: its section over [backend_defaults].
type Backend struct {
	// Name is the name of the section.
	Name string
	// Err is not nil when this backend must not start: all its problems joined.
	// The other fields may be incomplete then.
	Err error

	VolumeDriver                 string         `conf:"volume_driver"`                    // DriverRBD or DriverMem
	VolumeBackendName            string         `conf:"volume_backend_name"`              // empty: unset
	BackendHost                  string         `conf:"backend_host"`                     // empty: [DEFAULT] host
	BackendAvailabilityZone      string         `conf:"backend_availability_zone"`        // empty: the default
	BackendNativeThreadsPoolSize int            `conf:"backend_native_threads_pool_size"` // >= 20
	ReservedPercentage           int            `conf:"reserved_percentage"`              // 0 to 100
	MaxOverSubscriptionRatio     string         `conf:"max_over_subscription_ratio"`      // number >= 1, or auto
	ExtraCapabilities            map[string]any `conf:"extra_capabilities"`
	FilterFunction               string         `conf:"filter_function"`
	GoodnessFunction             string         `conf:"goodness_function"`

	RBDPool                        string              `conf:"rbd_pool"`
	ImageRBDAllow                  []string            `conf:"image_rbd_allow"` // pools
	ImageVolumeCacheEnabled        bool                `conf:"image_volume_cache_enabled"`
	ImageVolumeCacheMaxSizeGB      int                 `conf:"image_volume_cache_max_size_gb"` // 0: no limit
	ImageVolumeCacheMaxCount       int                 `conf:"image_volume_cache_max_count"`   // 0: no limit
	RBDUser                        string              `conf:"rbd_user"`                       // empty: the library's
	RBDCephConf                    string              `conf:"rbd_ceph_conf"`                  // empty: the library's places
	RBDClusterName                 string              `conf:"rbd_cluster_name"`
	RBDSecretUUID                  string              `conf:"rbd_secret_uuid"` // empty: the fsid
	RBDFlattenVolumeFromSnapshot   bool                `conf:"rbd_flatten_volume_from_snapshot"`
	RBDMaxCloneDepth               int                 `conf:"rbd_max_clone_depth"`         // <= 0: always copy
	RBDMaxSnapshotsPerImage        int                 `conf:"rbd_max_snapshots_per_image"` // 0: no limit
	RBDStoreChunkSize              int                 `conf:"rbd_store_chunk_size"`        // MiB, power of two, 1 to 32
	RBDCloneFormat                 string              `conf:"rbd_clone_format"`            // 2, 1 or auto
	RadosConnectTimeout            time.Duration       `conf:"rados_connect_timeout"`       // < 0: unset, 0: endless
	RadosConnectionRetries         int                 `conf:"rados_connection_retries"`    // >= 1
	RadosConnectionInterval        time.Duration       `conf:"rados_connection_interval"`   //
	ReplicationConnectTimeout      time.Duration       `conf:"replication_connect_timeout"` // as RadosConnectTimeout
	ReportDynamicTotalCapacity     bool                `conf:"report_dynamic_total_capacity"`
	RBDExclusiveCinderPool         bool                `conf:"rbd_exclusive_cinder_pool"`
	EnableDeferredDeletion         bool                `conf:"enable_deferred_deletion"`
	DeferredDeletionDelay          time.Duration       `conf:"deferred_deletion_delay"`
	DeferredDeletionPurgeInterval  time.Duration       `conf:"deferred_deletion_purge_interval"`
	RBDConcurrentFlattenOperations int                 `conf:"rbd_concurrent_flatten_operations"` // 0: no limit
	RBDFlattenMinRate              int                 `conf:"rbd_flatten_min_rate"`              // MiB/s
	ReplicationDevices             []ReplicationDevice `conf:"replication_device"`                // defaults filled in
}

// ReplicationDevice is one target of replication.
type ReplicationDevice struct {
	BackendID  string
	Conf       string
	User       string
	SecretUUID Secret
}

// ServiceHost is the name of the service that serves this backend:
// "<backend_host or host>@<name>".
func (b *Backend) ServiceHost(c *Config) string {
	host := b.BackendHost
	if host == "" {
		host = c.Default.Host
	}
	return host + "@" + b.Name
}

// AvailabilityZone is the zone of the backend, or that of the service.
func (b *Backend) AvailabilityZone(c *Config) string {
	if b.BackendAvailabilityZone != "" {
		return b.BackendAvailabilityZone
	}
	return c.Default.StorageAvailabilityZone
}
