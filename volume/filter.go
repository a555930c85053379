package volume

// Page is the part of a list that is asked for.
type Page struct {
	Limit  int    // entries, 1 to 1000; 0 means 100
	Marker string // the next of the page before; empty for the first page
}

// ServiceFilter selects services; empty fields select all.
type ServiceFilter struct {
	Page
	Host string // host@backend, or the backend's name alone
}

// VolumeFilter selects volumes that are not deleted; empty fields select all.
type VolumeFilter struct {
	Page
	ProjectID string
	Host      string // service host, with or without #pool
	Status    Status
	Name      string
}

// TypeFilter selects volume types; empty fields select all.
type TypeFilter struct {
	Page
	Name string
}

// SnapshotFilter selects snapshots that are not deleted; empty fields select all.
type SnapshotFilter struct {
	Page
	ProjectID string
	VolumeID  string
	Status    Status
	Name      string
}

// OperationFilter selects operations; empty fields select all.
type OperationFilter struct {
	Page
	ProjectID  string
	Backend    string
	Status     OperationStatus
	Method     string
	ResourceID string
	Unfinished bool // only those that have not ended
}

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	Page
	Type        ResourceType
	ResourceID  string
	OperationID string
}
