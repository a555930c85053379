package volume

import (
	"encoding/json"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/redact"
)

// OperationStatus is the status of an operation.
type OperationStatus string

// Statuses of operations. The last three are ends: an operation that has
// reached one of them never changes again.
const (
	Queued    OperationStatus = "queued"    // accepted, waits for a slot of its lane
	Running   OperationStatus = "running"   // a step is at work
	Waiting   OperationStatus = "waiting"   // for what Reason says; tried again at NextTry
	Succeeded OperationStatus = "succeeded" // the effect is there, once
	Failed    OperationStatus = "failed"    // Error says why; the effect is not there
	Cancelled OperationStatus = "cancelled" // on request; nothing is left behind
)

// Terminal reports whether the status is an end.
func (s OperationStatus) Terminal() bool {
	return s == Succeeded || s == Failed || s == Cancelled
}

// ResourceType is the kind of thing that an operation changes.
type ResourceType string

// Types of resources.
const (
	VolumeResource   ResourceType = "volume"
	SnapshotResource ResourceType = "snapshot"
)

// Resource names one resource.
type Resource struct {
	Type ResourceType `json:"resource_type"`
	ID   string       `json:"resource_id"`
}

// String returns "type id".
func (r Resource) String() string { return string(r.Type) + " " + r.ID }

// Operation is a row of the table operations: an accepted request, from the
// moment its caller may rely on it until its record expires.
type Operation struct {
	ID        string `json:"id"`
	RequestID string `json:"request_id"`
	ProjectID string `json:"project_id"`
	UserID    string `json:"user_id,omitempty"`
	Method    string `json:"method"`
	// Args are the arguments as accepted, ids that accept generated included.
	Args Args `json:"args"`
	// ArgHash tells a repeated request from another one under the same id.
	ArgHash string `json:"-"`
	Resource
	Backend  string          `json:"backend"` // service host, host@backend
	Lane     string          `json:"lane"`
	Status   OperationStatus `json:"status"`
	Step     string          `json:"step,omitempty"`
	Progress int             `json:"progress"` // percent, 0 to 100; it never falls
	// ETA is the expected end while it can be told from the progress so far.
	ETA time.Time `json:"eta,omitzero"`
	// Attempt counts the starts of the operation's steps, from 1; it grows with
	// every retry and with every process that takes the operation over.
	Attempt int    `json:"attempt"`
	Reason  string `json:"reason,omitempty"` // what a waiting operation waits for
	// BlockedBy names what stands in its way, where that is known: operations,
	// images, addresses of clients. Hint says what a person can do about it.
	BlockedBy []string `json:"blocked_by,omitempty"`
	Hint      string   `json:"hint,omitempty"`
	// NextTry is when a waiting operation tries again, if nothing wakes it earlier.
	NextTry         time.Time       `json:"next_try,omitzero"`
	Error           *OperationError `json:"error,omitempty"`
	Result          json.RawMessage `json:"result,omitempty"`
	Epoch           int64           `json:"epoch"` // of the service that owns it
	CancelRequested bool            `json:"cancel_requested,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	CreatedAt       time.Time       `json:"created_at"`
	StartedAt       time.Time       `json:"started_at,omitzero"`
	UpdatedAt       time.Time       `json:"updated_at,omitzero"`
	FinishedAt      time.Time       `json:"finished_at,omitzero"`
	Deadline        time.Time       `json:"deadline,omitzero"`
}

// Args are the arguments of an operation, as JSON. Their bytes are for the journal, which
// needs them whole. Whoever is shown them, as JSON or as text, sees URLs without query and
// user, where signatures and passwords are.
type Args json.RawMessage

// MarshalJSON implements json.Marshaler.
func (a Args) MarshalJSON() ([]byte, error) { return json.RawMessage(redact.JSON(a)).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Args) UnmarshalJSON(data []byte) error { return (*json.RawMessage)(a).UnmarshalJSON(data) }

// String returns what may be shown.
func (a Args) String() string { return string(redact.JSON(a)) }

// OperationError is the error with which an operation ended: the fault in the
// form in which it is stored and travels.
type OperationError struct {
	Kind       fault.Kind `json:"kind"`
	Message    string     `json:"message"`
	Field      string     `json:"field,omitempty"`
	BlockedBy  []string   `json:"blocked_by,omitempty"`
	Hint       string     `json:"hint,omitempty"`
	Retryable  bool       `json:"retryable"`
	RetryAfter float64    `json:"retry_after,omitempty"` // seconds
}

// NewOperationError returns err in its stored form, nil for nil.
func NewOperationError(err error) *OperationError {
	f := fault.Of(err)
	if f == nil {
		return nil
	}
	return &OperationError{
		Kind: f.Kind, Message: f.Message, Field: f.Field, BlockedBy: f.BlockedBy, Hint: f.Hint,
		Retryable: f.Kind.Retryable(), RetryAfter: f.RetryAfter.Seconds(),
	}
}

// Fault returns the stored error as a fault again, nil for nil. A kind that
// this version does not know becomes internal.
func (e *OperationError) Fault() error {
	if e == nil {
		return nil
	}
	f := fault.New(fault.ParseKind(string(e.Kind)), "%s", e.Message)
	f.Field, f.BlockedBy, f.Hint = e.Field, e.BlockedBy, e.Hint
	f.RetryAfter = time.Duration(e.RetryAfter * float64(time.Second))
	return f
}

// Event is a row of the table events: one thing that happened to a resource.
type Event struct {
	ID int64 `json:"id"` // grows in the order of the commits
	Resource
	OperationID string          `json:"operation_id,omitempty"`
	What        string          `json:"what"` // such as create_volume.succeeded
	Detail      json.RawMessage `json:"detail,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
}
