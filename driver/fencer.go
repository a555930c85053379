package driver

import "context"

// Fencer is a backend that can shut clients out. What a dead client held open
// is then free at once, where the backend would wait half a minute for it.
type Fencer interface {
	// Fence shuts out the clients with the addresses (ip:port/nonce), as Addrs of
	// their process gave them. Only the caller knows that these are dead: to a
	// client that lives it is the end. It may be repeated. Kinds: Invalid for an
	// address of this process, or one that is none; Unavailable.
	Fence(ctx context.Context, addrs []string) error
}
