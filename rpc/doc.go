// Package rpc carries requests to the service and its answers back, over NATS.
package rpc
