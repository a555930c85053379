package volume

// Capabilities are the facts of a backend that schedulers and operators decide by. The
// field names in JSON are those of Cinder's capabilities.
type Capabilities struct {
	VolumeBackendName string `json:"volume_backend_name"`
	VendorName        string `json:"vendor_name"`
	DriverVersion     string `json:"driver_version"`
	StorageProtocol   string `json:"storage_protocol"`
	// LocationInfo is cluster_name:ceph_conf:fsid:user:pool, the exact form that
	// other services compare and split.
	LocationInfo string `json:"location_info"`
	PoolName     string `json:"pool_name"`
	// TotalCapacityGB and FreeCapacityGB are in GiB with two decimals; both are
	// nil while the cluster does not tell.
	TotalCapacityGB *float64 `json:"total_capacity_gb"`
	FreeCapacityGB  *float64 `json:"free_capacity_gb"`
	// ProvisionedCapacityGB is the sum of all image sizes in GiB, rounded up;
	// nil for a pool that holds only our volumes.
	ProvisionedCapacityGB *int64 `json:"provisioned_capacity_gb,omitempty"`
	AllocatedCapacityGB   int64  `json:"allocated_capacity_gb"`
	ReservedPercentage    int    `json:"reserved_percentage"`
	// MaxOverSubscriptionRatio is a number of at least 1, or "auto".
	MaxOverSubscriptionRatio string         `json:"max_over_subscription_ratio"`
	ThinProvisioningSupport  bool           `json:"thin_provisioning_support"`
	Multiattach              bool           `json:"multiattach"`
	QoSSupport               bool           `json:"qos_support"`
	ReplicationEnabled       bool           `json:"replication_enabled"`
	BackendState             string         `json:"backend_state"` // up or down
	Reason                   string         `json:"reason,omitempty"`
	Extra                    map[string]any `json:"extra_capabilities,omitempty"`
}

// Backend states.
const (
	Up   = "up"
	Down = "down"
)
