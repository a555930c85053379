package rpc

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// ErrorReply is the body of a reply that has the error headers.
type ErrorReply struct {
	Error     *volume.OperationError `json:"error"`
	Operation *volume.Operation      `json:"operation,omitempty"`
}

// WithOperation returns err with the operation that it belongs to, so that the
// reply carries both. It returns nil for a nil err.
func WithOperation(err error, op volume.Operation) error {
	if err == nil {
		return nil
	}
	return &operationError{err, op}
}

// OperationOf returns the operation that err came with, if it came with one.
func OperationOf(err error) (volume.Operation, bool) {
	var with *operationError
	if !errors.As(err, &with) {
		return volume.Operation{}, false
	}
	return with.op, true
}

// operationError is an error and the operation it belongs to.
type operationError struct {
	error
	op volume.Operation
}

func (e *operationError) Unwrap() error { return e.error }

// encodeError puts err on the wire: the headers of NATS's micro protocol, and
// the details as the body.
func encodeError(err error) (nats.Header, []byte) {
	reply := ErrorReply{Error: volume.NewOperationError(err)}
	if op, ok := OperationOf(err); ok {
		reply.Operation = &op
	}
	body, marshalErr := json.Marshal(reply)
	if marshalErr != nil { // an operation with broken raw JSON in it
		body, _ = json.Marshal(ErrorReply{Error: reply.Error})
	}
	return nats.Header{
		micro.ErrorHeader:     {oneLine(reply.Error.Message)},
		micro.ErrorCodeHeader: {strconv.Itoa(reply.Error.Kind.Status())},
	}, body
}

// decodeError takes an error off the wire; nil for a reply that is none.
func decodeError(msg *nats.Msg) error {
	if msg.Header.Get(micro.ErrorHeader) == "" && msg.Header.Get(micro.ErrorCodeHeader) == "" {
		return nil
	}
	var reply ErrorReply
	if json.Unmarshal(msg.Data, &reply) != nil || reply.Error == nil || reply.Error.Message == "" {
		// Not ours, or from a broken peer: the headers are all there is.
		return fault.New(kindOfStatus(msg.Header.Get(micro.ErrorCodeHeader)), "%s", msg.Header.Get(micro.ErrorHeader))
	}
	err := reply.Error.Fault()
	if reply.Operation != nil {
		err = WithOperation(err, *reply.Operation)
	}
	return err
}

// kindOfStatus returns the kind with the numeric code; two share 409, of which
// conflict is the one that promises less.
func kindOfStatus(code string) fault.Kind {
	status, _ := strconv.Atoi(code)
	if status == fault.Conflict.Status() {
		return fault.Conflict
	}
	for _, k := range fault.Kinds() {
		if k.Status() == status {
			return k
		}
	}
	return fault.Internal
}

// oneLine returns s as the value of a header: one line of bounded length.
func oneLine(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	if s == "" {
		return "error"
	}
	return s
}
