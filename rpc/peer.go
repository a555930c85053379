package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/fault"
)

// peerTimeout is how long a worker on the bus may take to say what it is.
const peerTimeout = time.Second

// Peer returns the metadata of the first worker on the bus that answers, nil if
// there is none. Kind: Unavailable when nothing can be asked, such as without
// the right to publish on $SRV.PING.
func (c *Conn) Peer(ctx context.Context) (map[string]string, error) {
	subject, err := micro.ControlSubject(micro.PingVerb, ServiceName, "")
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	reply, err := c.nc.RequestWithContext(ctx, subject, nil)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "ask on %s: %w", subject, err)
	}
	var ping micro.Ping
	if err := json.Unmarshal(reply.Data, &ping); err != nil {
		return nil, fault.New(fault.Unavailable, "the answer on %s is not understood: %w", subject, err)
	}
	return ping.Metadata, nil
}
