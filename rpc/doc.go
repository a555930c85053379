// Package rpc carries requests to the service, its answers and its events, over
// NATS. Nothing above it knows NATS, and it knows nothing of what a request does.
//
// # Addresses
//
// A backend's work goes to volumed.v1.<service>.<method>, where <service> is
// host@backend as one subject token (see [Token]); the workers of one service
// share a queue group, so that a twin shares the work instead of doubling it.
// Reads go to volumed.v1.any.<method>, one queue group over all workers. Events
// are published on volumed.v1.event.<type>.<id>, capabilities on
// volumed.v1.stats.<service>. [Methods] is the table of all methods: what is
// registered, the JSON Schemas in the folder schema and the page docs/rpc.md come
// from it.
//
// # Messages
//
// Bodies are JSON objects; who asks, and under which terms, rides in headers (the
// constants Header…). A request that the service does not understand whole is
// refused whole: an unknown field, a field of the wrong type, text after the
// object and an expired deadline are each an error that names the field, and
// nothing has been done. An error is told by the header Nats-Service-Error, as
// NATS's micro protocol has it, and its body carries the [fault.Error] and the
// operation where there is one. What is lost on the way: the chain of wrapped
// errors, which the server logs together with the request id.
//
// # Delivery
//
// NATS delivers at most once, and an answer can be lost after the work was
// done. So every request that changes something has a request id, under which
// the service answers a repetition without doing it twice; [Client] repeats with
// the same id until its context ends. Nobody there is told at once and is not
// waited for.
//
// # The server
//
// Each request runs on a goroutine of its own under a bound, never on the
// goroutine that reads the subscription. Requests that start or await an
// operation may be held by Volumed-Wait, so they have a bound of their own, large
// enough to hold thousands; reads, cancel and capabilities have another and
// are never behind them. Beyond a bound a request is refused at once with
// [fault.Overloaded]. Stop lets everything that was received be answered.
package rpc
