package operation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Request is what a caller wants done.
type Request struct {
	// RequestID identifies the request within the project. The same id with the
	// same arguments is the same request, however often it comes.
	RequestID string
	ProjectID string
	UserID    string
	Method    string
	Args      any // encoded as JSON into the state of the method
	// Asked is what tells a repeated request from another one under the same id, where
	// Args hold more than that; nil for Args.
	Asked any
	// AskedAs is the method that does so, where a request is for one method at one time
	// and for another later; empty for Method.
	AskedAs string
	// Deadline is when an operation that has not begun is cancelled instead; zero
	// is never. One that has begun is not affected.
	Deadline    time.Time
	TraceParent string
}

// operation returns the operation that a request begins as.
func (r *Request) operation(host string) (*volume.Operation, error) {
	if r.RequestID == "" {
		return nil, fault.New(fault.Invalid, "the request has no id").WithField("request_id")
	}
	args, err := json.Marshal(r.Args)
	if err != nil {
		return nil, fault.New(fault.Invalid, "arguments of %s: %w", r.Method, err)
	}
	asked := args
	if r.Asked != nil {
		if asked, err = json.Marshal(r.Asked); err != nil {
			return nil, fault.New(fault.Invalid, "arguments of %s: %w", r.Method, err)
		}
	}
	return &volume.Operation{
		ID: uuid.NewString(), RequestID: r.RequestID, ProjectID: r.ProjectID, UserID: r.UserID,
		Method: r.Method, Args: args, ArgHash: hash(host, cmp.Or(r.AskedAs, r.Method), asked),
		Backend: host, Status: volume.Queued, Attempt: 1, Deadline: r.Deadline, TraceParent: r.TraceParent,
	}, nil
}

// hash tells one request from another under the same id: what is asked, of
// whom, with which arguments. Encoding a Go value as JSON is canonical.
func hash(host, method string, args json.RawMessage) string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(host), []byte(method), args} {
		h.Write(part)
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}
