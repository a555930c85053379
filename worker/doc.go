// Package worker is the service of one backend: it takes requests, has the
// engine run them on the driver, and reports that it lives.
//
// It begins in an order that lets nothing slip through: its row in services is
// taken over (the next epoch, which shuts a predecessor out), the driver is set
// up, unfinished operations are claimed, requests are subscribed to, and only
// then are the claimed operations run. It ends in the opposite order. What it
// depends on may be away at any time: the worker then says so, in its phase and
// its reason, and goes on by itself when it is back.
//
// The package knows the transport by package rpc and the backend by package
// driver. Tables it knows by the interfaces in store.go only.
package worker
