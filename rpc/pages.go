package rpc

import (
	"context"
	"iter"

	"github.com/volumed/volumed/volume"
)

// Services returns all services that fit the request, from req.Marker on, page
// after page. An error ends the sequence. The same holds for its siblings.
func (c *Client) Services(ctx context.Context, req ListServicesRequest) iter.Seq2[ServiceInfo, error] {
	return pages(&req.Marker, func() ([]ServiceInfo, string, error) {
		r, err := c.ListServices(ctx, req)
		return r.Services, r.Next, err
	})
}

// Volumes returns all volumes that fit the request; see Services.
func (c *Client) Volumes(ctx context.Context, req ListVolumesRequest) iter.Seq2[volume.Volume, error] {
	return pages(&req.Marker, func() ([]volume.Volume, string, error) {
		r, err := c.ListVolumes(ctx, req)
		return r.Volumes, r.Next, err
	})
}

// Snapshots returns all snapshots that fit the request; see Services.
func (c *Client) Snapshots(ctx context.Context, req ListSnapshotsRequest) iter.Seq2[volume.Snapshot, error] {
	return pages(&req.Marker, func() ([]volume.Snapshot, string, error) {
		r, err := c.ListSnapshots(ctx, req)
		return r.Snapshots, r.Next, err
	})
}

// Operations returns all operations that fit the request; see Services.
func (c *Client) Operations(ctx context.Context, req ListOperationsRequest) iter.Seq2[volume.Operation, error] {
	return pages(&req.Marker, func() ([]volume.Operation, string, error) {
		r, err := c.ListOperations(ctx, req)
		return r.Operations, r.Next, err
	})
}

// pages yields the entries that fetch returns, moving the marker until there is
// no next page.
func pages[T any](marker *string, fetch func() ([]T, string, error)) iter.Seq2[T, error] {
	first := *marker
	return func(yield func(T, error) bool) {
		for *marker = first; ; {
			entries, next, err := fetch()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			*marker = next
		}
	}
}
