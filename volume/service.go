package volume

import "time"

// Phase is what a service says of itself; it is finer than up and down.
type Phase string

// Phases of a service.
const (
	Starting Phase = "starting" // not set up yet
	Ready    Phase = "ready"    // takes work
	Degraded Phase = "degraded" // alive, but a dependency is away; Reason says which
	Draining Phase = "draining" // ends its work, takes no new
	Stopped  Phase = "stopped"  // ended in good order
)

// Service is a row of the table services: one backend's service, whichever
// process runs it now.
type Service struct {
	ID          int64  `json:"id"`
	UUID        string `json:"uuid"`
	Host        string `json:"host"`   // host@backend
	Binary      string `json:"binary"` // cinder-volume, Cinder's name for this job
	Topic       string `json:"topic"`
	ClusterName string `json:"cluster_name,omitempty"`
	// Epoch counts the processes that took the service over. Only the newest
	// one's writes are carried out.
	Epoch  int64  `json:"epoch"`
	Phase  Phase  `json:"phase"`
	Reason string `json:"reason,omitempty"` // why not ready
	// PhaseSince is when the phase began, in the database's time.
	PhaseSince       time.Time `json:"phase_since,omitzero"`
	ReportCount      int64     `json:"report_count"`
	Disabled         bool      `json:"disabled"`
	DisabledReason   string    `json:"disabled_reason,omitempty"`
	AvailabilityZone string    `json:"zone"`
	// Node tells the machine, and its boot, that the process runs on.
	Node string `json:"node,omitempty"`
	// CephAddrs are the addresses (ip:port/nonce) of the process's connections,
	// so that exactly its leftovers can be fenced once it is dead. Those of
	// processes before it stay until they are fenced; of one that ran on another
	// node they begin with "any:", see Elsewhere.
	CephAddrs            []string  `json:"ceph_addrs,omitempty"`
	RPCCurrentVersion    string    `json:"rpc_current_version"`
	ObjectCurrentVersion string    `json:"object_current_version"`
	ReplicationStatus    string    `json:"replication_status"`
	ActiveBackendID      string    `json:"active_backend_id,omitempty"`
	Frozen               bool      `json:"frozen"`
	CreatedAt            time.Time `json:"created_at"`
	// UpdatedAt is the heartbeat, in the database's time.
	UpdatedAt  time.Time `json:"updated_at"`
	ModifiedAt time.Time `json:"modified_at,omitzero"` // last enable or disable
}

// Binary is the value of the column binary for this service.
const Binary = "cinder-volume"

// ServiceState is a service and how long ago it was last heard of.
type ServiceState struct {
	Service
	// Age is the time since the heartbeat, by the database's clock.
	Age time.Duration
}
