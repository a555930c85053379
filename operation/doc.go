// Package operation is the engine of the service.
package operation
