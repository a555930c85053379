package worker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// How much an answer to why tells.
const (
	lastOperations = 5
	lastEvents     = 10
	namedBlockers  = 10 // of an operation, that are looked up
)

// why tells what a volume or a snapshot waits for or why it failed: from what the
// operations have written, so that any worker can, also when the one of the volume
// is dead.
func (w *Worker) why(ctx context.Context, r rpc.WhyRequest) (rpc.WhyReply, error) {
	c := circumstances{now: time.Now().UTC()}
	if err := w.subject(ctx, r, &c); err != nil {
		return rpc.WhyReply{}, err
	}
	if err := w.gather(ctx, &c); err != nil {
		return rpc.WhyReply{}, err
	}
	return c.explain(), nil
}

// circumstances are what an answer is made of.
type circumstances struct {
	now      time.Time
	resource volume.Resource
	status   volume.Status
	volume   volume.Volume // of a snapshot, the one that it is of
	snapshot *volume.Snapshot
	service  *rpc.ServiceInfo
	// unfinished are the operations at work on the resource, last the newest of all,
	// newest first.
	unfinished, last []volume.Operation
	events           []volume.Event
	blockers         map[string]string // what names in BlockedBy mean
}

// subject finds what is asked about, deleted or not.
func (w *Worker) subject(ctx context.Context, r rpc.WhyRequest, c *circumstances) error {
	switch {
	case r.VolumeID != "" && r.SnapshotID != "":
		return fault.New(fault.Invalid, "volume_id and snapshot_id are both given").WithField("snapshot_id").WithHint("give one of them")
	case r.SnapshotID == "":
		return w.subjectVolume(ctx, r.VolumeID, c)
	default:
		return w.subjectSnapshot(ctx, r.SnapshotID, c)
	}
}

func (w *Worker) subjectVolume(ctx context.Context, id string, c *circumstances) (err error) {
	if err := checkID("volume_id", id); err != nil {
		return err
	}
	if c.volume, err = w.store.VolumeRecord(ctx, id); err == nil && !visible(ctx, c.volume.ProjectID) {
		err = absent(volume.VolumeResource, id)
	}
	c.resource, c.status = volume.Resource{Type: volume.VolumeResource, ID: id}, c.volume.Status
	if err != nil {
		return named(err, "volume_id")
	}
	return nil
}

func (w *Worker) subjectSnapshot(ctx context.Context, id string, c *circumstances) error {
	if err := checkID("snapshot_id", id); err != nil {
		return err
	}
	s, err := w.store.SnapshotRecord(ctx, id)
	if err == nil && !visible(ctx, s.ProjectID) {
		err = absent(volume.SnapshotResource, id)
	}
	if err == nil {
		c.volume, err = w.store.VolumeRecord(ctx, s.VolumeID)
	}
	c.resource, c.status, c.snapshot = volume.Resource{Type: volume.SnapshotResource, ID: id}, s.Status, &s
	if err != nil {
		return named(err, "snapshot_id")
	}
	return nil
}

// gather reads what there is about the resource.
func (w *Worker) gather(ctx context.Context, c *circumstances) (err error) {
	about := volume.OperationFilter{ResourceID: c.resource.ID, Page: volume.Page{Limit: lastOperations}}
	if c.last, _, err = w.store.Operations(ctx, about); err != nil {
		return err
	}
	about.Unfinished = true
	if c.unfinished, _, err = w.store.Operations(ctx, about); err != nil {
		return err
	}
	if c.snapshot != nil && (c.status == volume.Deleting || c.status == volume.Restoring) { // perhaps it goes with its volume
		about.ResourceID = c.volume.ID
		of, _, err := w.store.Operations(ctx, about)
		if err != nil {
			return err
		}
		c.unfinished = append(c.unfinished, of...)
	}
	if c.events, err = w.store.LastEvents(ctx, c.resource, lastEvents); err != nil {
		return err
	}
	host := volume.ParseHost(c.volume.Host).Service()
	services, _, err := w.store.Services(ctx, volume.ServiceFilter{Host: host})
	if err != nil {
		return err
	}
	for _, s := range services {
		if s.Host == host {
			info := w.serviceInfo(s)
			c.service = &info
		}
	}
	return w.nameBlockers(ctx, c)
}

// nameBlockers finds out what stands in the way of the operations: the tables know
// more than an image's name or an operation's id.
func (w *Worker) nameBlockers(ctx context.Context, c *circumstances) error {
	c.blockers = map[string]string{}
	for _, op := range append(c.unfinished[:len(c.unfinished):len(c.unfinished)], c.last...) {
		names := op.BlockedBy
		if op.Error != nil {
			names = op.Error.BlockedBy
		}
		for _, name := range names[:min(len(names), namedBlockers)] {
			if c.blockers[name] != "" {
				continue
			}
			meaning, err := w.blocker(ctx, name)
			if err != nil && !errors.Is(err, fault.NotFound) {
				return err
			}
			c.blockers[name] = meaning
		}
	}
	return nil
}

// blocker says what a name in BlockedBy means, empty for nothing more than it says.
func (w *Worker) blocker(ctx context.Context, name string) (string, error) {
	if uuid.Validate(name) == nil {
		op, err := w.store.Operation(ctx, name)
		switch {
		case err != nil:
			return "", err
		case visible(ctx, op.ProjectID):
			return tellOperation(&op), nil
		case op.Method == methodCacheImage: // for all who want the image
			return tellProgress(&op, op.Method), nil
		default:
			return "", nil
		}
	}
	id, suffix := w.volumeNamed(name)
	if id == "" {
		return "", nil
	}
	v, err := w.store.VolumeRecord(ctx, id)
	if err != nil || !visible(ctx, v.ProjectID) {
		return "", err
	}
	return tellVolume(&v) + suffix, nil
}
