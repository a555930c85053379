package worker

import (
	"context"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (w *Worker) handleMigrate(ctx context.Context, r rpc.MigrateVolumeRequest) (rpc.VolumeReply, error) {
	if err := firstOf(forOperators(ctx), checkID("volume_id", r.VolumeID), checkHost(r.Host), w.checkTyped(ctx, r.NewType)); err != nil {
		return rpc.VolumeReply{}, err
	}
	return w.migrate(ctx, r, r)
}

// migrate submits a migration; asked is the request that it came by. Where the volume
// goes to is found out before: in the transaction that accepts, nobody can be asked.
func (w *Worker) migrate(ctx context.Context, asked any, r rpc.MigrateVolumeRequest) (rpc.VolumeReply, error) {
	m := migration{MigrateVolumeRequest: r}
	var err error
	if m.Dest, err = w.locate(ctx, r.Host); err != nil {
		m.Refused = volume.NewOperationError(err) // unless the request was accepted before
	}
	end, err := w.submitAs(ctx, rpc.MethodMigrateVolume, asked, m)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleRetype(ctx context.Context, r rpc.RetypeRequest) (rpc.VolumeReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), checkTypeName("new_type", r.NewType), checkPolicy(&r)); err != nil {
		return rpc.VolumeReply{}, err
	}
	if r.MigrationPolicy == rpc.MigrateOnDemand && volume.ParseHost(r.Host).Service() != w.cfg.Host {
		if err := forOperators(ctx); err != nil {
			return rpc.VolumeReply{}, err
		}
		return w.migrate(ctx, r, rpc.MigrateVolumeRequest{VolumeID: r.VolumeID, Host: r.Host, NewType: r.NewType})
	}
	end, err := w.submit(ctx, rpc.MethodRetype, r)
	return w.volumeReply(ctx, end, err)
}

// checkPolicy refuses a migration to nowhere, and one that is not allowed.
func checkPolicy(r *rpc.RetypeRequest) error {
	switch r.MigrationPolicy {
	case "", rpc.MigrateNever:
		if r.Host != "" {
			return fault.New(fault.Invalid, "a host is given, and the volume must not move").WithField("host").
				WithHint("migration_policy %s allows it to", rpc.MigrateOnDemand)
		}
		return nil
	case rpc.MigrateOnDemand:
		return checkHost(r.Host)
	default:
		return fault.New(fault.Invalid, "the migration policy is %q; it must be %s or %s", r.MigrationPolicy, rpc.MigrateNever, rpc.MigrateOnDemand).
			WithField("migration_policy")
	}
}

// checkHost refuses what names no service.
func checkHost(host string) error {
	if host == "" {
		return fault.New(fault.Invalid, "host is missing").WithField("host").WithHint("the service to move to: host@backend")
	}
	if h := volume.ParseHost(host); h.Node == "" || h.Backend == "" {
		return fault.New(fault.Invalid, "%q is not host@backend or host@backend#pool", host).WithField("host")
	}
	return printable("host", host)
}
