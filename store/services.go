package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// serviceColumns are the columns of services: what the first process writes for
// good, what a process says when it starts, and what others write.
var serviceColumns = []string{
	"uuid", "host", `"binary"`,
	"topic", "cluster_name", "epoch", "phase", "reason", "availability_zone", "rpc_current_version", "object_current_version", "updated_at",
	"node",
	"report_count", "disabled", "disabled_reason", "ceph_addrs", "replication_status", "active_backend_id", "frozen", "created_at", "modified_at",
	"phase_since",
}

func serviceFields(s *volume.Service) []any {
	return []any{
		&s.ID, &s.UUID, &s.Host, &s.Binary,
		&s.Topic, &s.ClusterName, &s.Epoch, (*string)(&s.Phase), &s.Reason, &s.AvailabilityZone,
		&s.RPCCurrentVersion, &s.ObjectCurrentVersion, timeOf(&s.UpdatedAt), &s.Node,
		&s.ReportCount, &s.Disabled, &s.DisabledReason, jsonOf(&s.CephAddrs), &s.ReplicationStatus, &s.ActiveBackendID, &s.Frozen,
		timeOf(&s.CreatedAt), timeOf(&s.ModifiedAt), timeOf(&s.PhaseSince),
	}
}

var (
	serviceRow    = "id, " + strings.Join(serviceColumns, ", ")
	selectFor     = "SELECT " + serviceRow + ` FROM services WHERE host = $1 AND "binary" = $2`
	insertService = insertInto("services", serviceColumns) + " RETURNING " + serviceRow
	// The rest of the row is the operator's, or tells of the process before.
	takeService = `UPDATE services SET topic = $3, cluster_name = $4, epoch = $5, phase = $6, reason = $7,
		availability_zone = $8, rpc_current_version = $9, object_current_version = $10, updated_at = $11, phase_since = $11, node = $12,
		ceph_addrs = $13
		WHERE host = $1 AND "binary" = $2 RETURNING ` + serviceRow
)

// TakeOver makes the caller's process the one of the service (s.Host, s.Binary),
// and returns the row: its epoch is the fence of all that the process writes. A
// service that has no row gets one as s says, with epoch 1; Disabled and
// DisabledReason of s count only then. Otherwise the epoch grows by one, and what
// operators set stays. The phase is Starting.
//
// before is the row as the process before has left it, and its age; the zero
// value for a new service. Its clients of the cluster may be fenced if it is dead.
// Until a Heartbeat writes others, the new row has the addresses of the process
// before: should this one die before it has fenced them, its successor knows them
// too. If that did not run on the same node, they are marked by volume.Elsewhere.
// On PostgreSQL writes that are under way under an older epoch are waited for.
func (db *DB) TakeOver(ctx context.Context, s volume.Service) (row volume.Service, before volume.ServiceState, err error) {
	err = db.engine.write(ctx, urgent, func(q *session) error {
		taken := s
		taken.Phase, taken.Reason = volume.Starting, ""
		now, err := q.clock()
		if err != nil {
			return err
		}
		taken.UpdatedAt = now
		row, before = volume.Service{}, volume.ServiceState{}
		found, err := q.one(serviceFields(&before.Service), selectFor+q.d.lockService, s.Host, s.Binary)
		if err != nil {
			return err
		}
		if !found {
			return q.insertService(&taken, &row)
		}
		before.Age = now.Sub(before.UpdatedAt)
		taken.Epoch, taken.CephAddrs = before.Epoch+1, before.CephAddrs
		if before.Node != s.Node || s.Node == "" {
			taken.CephAddrs = volume.Elsewhere(before.CephAddrs)
		}
		args := append([]any{s.Host, s.Binary}, serviceFields(&taken)[4:14]...)
		_, err = q.one(serviceFields(&row), takeService, append(args, jsonOf(&taken.CephAddrs))...)
		return err
	})
	return row, before, err
}

func (s *session) insertService(service, row *volume.Service) error {
	service.UUID, service.Epoch, service.ReportCount = uuid.NewString(), 1, 0
	service.CreatedAt, service.PhaseSince = service.UpdatedAt, service.UpdatedAt
	found, err := s.one(serviceFields(row), insertService, serviceFields(service)[1:]...)
	if err == nil && !found {
		err = fault.New(fault.Exists, "service %s exists already: %w", service.Host, errLostRace)
	}
	return err
}

// clock returns the time of the database.
func (s *session) clock() (time.Time, error) {
	var now time.Time
	_, err := s.one([]any{timeOf(&now)}, "SELECT "+s.d.now)
	return now, err
}

// Heartbeat says that the process which holds the fence is alive, and what it
// does. addrs are the addresses of its Ceph connections; nil leaves those in the
// row as they are. It goes before every other write of the process, and is
// operation.ErrFenced for a process whose service was taken over.
func (db *DB) Heartbeat(ctx context.Context, fence operation.Fence, phase volume.Phase, reason string, addrs []string) error {
	return db.engine.write(ctx, urgent, func(s *session) error {
		args := []any{fence.Host, fence.Epoch, volume.Binary, string(phase), reason}
		set := ""
		if addrs != nil {
			set, args = ", ceph_addrs = $6", append(args, jsonOf(&addrs))
		}
		n, err := s.exec("UPDATE services SET report_count = report_count + 1, updated_at = "+s.d.now+
			", phase_since = CASE WHEN phase = $4 THEN phase_since ELSE "+s.d.now+" END, phase = $4, reason = $5"+set+` WHERE host = $1 AND epoch = $2 AND "binary" = $3`, args...)
		if err == nil && n == 0 {
			err = operation.ErrFenced
		}
		return err
	})
}
