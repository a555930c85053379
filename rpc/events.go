package rpc

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Events publishes what happens. It is best effort: what cannot be sent now
// is lost with an error of the kind fault.Unavailable, and readers find the
// truth by asking. None of its methods waits for the server.
type Events struct{ conn *Conn }

// NewEvents returns a publisher on the connection, which stays the caller's.
func NewEvents(conn *Conn) *Events { return &Events{conn} }

// Publish sends the events, each to the subject of its resource.
func (e *Events) Publish(ctx context.Context, events ...volume.Event) error {
	var errs []error
	for _, event := range events {
		errs = append(errs, e.send(ctx, EventSubject(event.Resource), event))
	}
	return errors.Join(errs...)
}

// PublishOperation sends the state of an operation, progress included, to
// those who watch it.
func (e *Events) PublishOperation(ctx context.Context, op volume.Operation) error {
	return e.send(ctx, OperationSubject(op.ID), op)
}

// PublishStats sends the capabilities of a service to schedulers.
func (e *Events) PublishStats(ctx context.Context, service string, stats CapabilitiesReply) error {
	return e.send(ctx, StatsSubject(service), stats)
}

func (e *Events) send(ctx context.Context, subject string, v any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fault.New(fault.Internal, "encode for %s: %w", subject, err)
	}
	return e.conn.publish(&nats.Msg{Subject: subject, Data: data})
}
