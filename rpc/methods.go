package rpc

import (
	"reflect"
	"slices"

	"github.com/volumed/volumed/rpc/schema"
)

// Scope says who answers a method.
type Scope string

// The scopes.
const (
	Service Scope = "service" // the worker of the one service that is named
	Any     Scope = "any"     // any worker, from SQL
)

// Method is a row of the table of methods.
type Method struct {
	Name  string
	Scope Scope
	// Doc is one sentence for a caller.
	Doc string
	// Operates tells that the method starts or awaits an operation: Volumed-Wait
	// has a meaning, and the reply carries the operation.
	Operates bool
	// Held tells that requests wait for Config.Open: they need the engine, which the
	// others do without.
	Held bool
	// Request and Reply are the types of the bodies.
	Request, Reply reflect.Type
}

// Methods returns the table of all methods, in the order of the documentation.
func Methods() []Method { return slices.Clone(methods) }

// methodNamed returns the method's row of the table.
func methodNamed(name string) (Method, bool) {
	i := slices.IndexFunc(methods, func(m Method) bool { return m.Name == name })
	if i < 0 {
		return Method{}, false
	}
	return methods[i], true
}

var methods = []Method{
	operates[CreateVolumeRequest, VolumeReply](MethodCreateVolume,
		"Makes a volume: empty, from a snapshot, as a clone of a volume of the same service, or from an image."),
	operates[DeleteVolumeRequest, VolumeReply](MethodDeleteVolume,
		"Deletes a volume that is not in use; its clones keep their data."),
	operates[UndeleteVolumeRequest, VolumeReply](MethodUndeleteVolume,
		"Brings a deleted volume back, with the snapshots that were deleted with it, as long as it is kept: see enable_deferred_deletion."),
	operates[ExtendVolumeRequest, VolumeReply](MethodExtendVolume,
		"Makes a volume larger."),
	operates[FlattenVolumeRequest, VolumeReply](MethodFlattenVolume,
		"Copies what a clone shares with its parent, so that it no longer needs it."),
	operates[RevertToSnapshotRequest, VolumeReply](MethodRevertToSnapshot,
		"Gives a volume that is not in use the content of any of its snapshots; its size and its other snapshots stay."),
	operates[UpdateVolumeRequest, VolumeReply](MethodUpdateVolume,
		"Changes name, description and metadata of a volume, and whether machines can be started from it, whatever its status; a null removes a key of the metadata."),
	operates[CopyVolumeToImageRequest, VolumeReply](MethodCopyVolumeToImage,
		"Writes what a volume holds into a file or to a web server, as a raw or a qcow2 image."),
	operates[ReimageRequest, VolumeReply](MethodReimage,
		"Replaces what a volume that is not in use holds by an image."),
	operates[CreateSnapshotRequest, SnapshotReply](MethodCreateSnapshot,
		"Takes a snapshot of a volume."),
	operates[DeleteSnapshotRequest, SnapshotReply](MethodDeleteSnapshot,
		"Deletes a snapshot; volumes made from it keep their data."),
	operates[UpdateSnapshotRequest, SnapshotReply](MethodUpdateSnapshot,
		"Changes name, description and metadata of a snapshot, whatever its status; a null removes a key of the metadata."),
	operates[RetypeRequest, VolumeReply](MethodRetype,
		"Gives a volume another type, and with it other limits; attached or not. One that moves the volume is for callers without a project."),
	operates[MigrateVolumeRequest, VolumeReply](MethodMigrateVolume,
		"Moves a volume that nobody has open to another backend, with its snapshots; for callers without a project."),
	operates[ManageExistingRequest, VolumeReply](MethodManageExisting,
		"Takes an image that others have made over as a volume, without copying it; for callers without a project."),
	operates[ManageExistingSnapshotRequest, SnapshotReply](MethodManageExistingSnapshot,
		"Takes a snapshot that others have taken of a volume's image over; for callers without a project."),
	operates[AuditBackendRequest, AuditReply](MethodAuditBackend,
		"Compares what is on the backend with the tables, and plans repairs; for callers without a project."),
	operates[ApplyRepairsRequest, AuditReply](MethodApplyRepairs,
		"Carries out the repairs that an audit has planned, unless the world has changed since; for callers without a project."),
	operates[OperationRequest, OperationReply](MethodWaitOperation,
		"Answers when the operation has ended, or as it is when Volumed-Wait is over."),
	held[OperationRequest, OperationReply](MethodCancelOperation,
		"Asks an operation to stop and to leave nothing behind; it ends soon after, not at once."),
	held[ManageableVolumesRequest, ManageableVolumesReply](MethodGetManageableVolumes,
		"Lists the images in the pool, and says of each whether it can be managed; for callers without a project."),
	held[ManageableSnapshotsRequest, ManageableSnapshotsReply](MethodGetManageableSnapshots,
		"Lists the snapshots in the pool, and says of each whether it can be managed; for callers without a project."),
	direct[ConnectionRequest, ConnectionReply](Service, MethodInitializeConnection,
		"Tells how a host attaches the volume."),
	direct[ConnectionRequest, VolumeReply](Service, MethodTerminateConnection,
		"Takes note that a host no longer attaches the volume."),
	direct[CapabilitiesRequest, CapabilitiesReply](Service, MethodGetCapabilities,
		"Tells what the backend can do and how full it is."),
	direct[ListServicesRequest, ServicesReply](Any, MethodListServices,
		"Lists the services, one for each backend."),
	direct[ListVolumesRequest, VolumesReply](Any, MethodListVolumes,
		"Lists volumes, newest first."),
	direct[VolumeIDRequest, VolumeReply](Any, MethodGetVolume,
		"Tells one volume."),
	direct[ListSnapshotsRequest, SnapshotsReply](Any, MethodListSnapshots,
		"Lists snapshots, newest first."),
	direct[SnapshotIDRequest, SnapshotReply](Any, MethodGetSnapshot,
		"Tells one snapshot."),
	direct[ListTypesRequest, TypesReply](Any, MethodListTypes,
		"Lists volume types, newest first."),
	direct[TypeRequest, TypeReply](Any, MethodGetType,
		"Tells one volume type."),
	enacts[CreateTypeRequest, TypeReply](MethodCreateType,
		"Makes a volume type; for callers without a project."),
	enacts[UpdateTypeRequest, TypeReply](MethodUpdateType,
		"Changes a volume type; what it does to volumes only as long as no volume has it; for callers without a project."),
	enacts[TypeRequest, TypeReply](MethodDeleteType,
		"Deletes a volume type that no volume has; for callers without a project."),
	direct[ListOperationsRequest, OperationsReply](Any, MethodListOperations,
		"Lists operations, newest first."),
	direct[OperationRequest, OperationReply](Any, MethodGetOperation,
		"Tells one operation."),
	direct[WhyRequest, WhyReply](Any, MethodWhy,
		"Tells what a volume or a snapshot waits for or why it failed, or that nothing is wrong; also of a deleted one."),
	direct[ListAuditsRequest, AuditsReply](Any, MethodListAudits,
		"Lists audits that have come to their end, newest first; for callers without a project."),
	direct[GetAuditRequest, FindingsReply](Any, MethodGetAudit,
		"Tells one audit, with a page of at most 500 of its findings; for callers without a project."),
}

// operates is a row for a method of a service that starts or awaits an operation.
func operates[Req, Resp any](name, doc string) Method {
	m := direct[Req, Resp](Service, name, doc)
	m.Operates, m.Held = true, true
	return m
}

// enacts is a row for a method of any worker whose operation has ended when it is
// answered.
func enacts[Req, Resp any](name, doc string) Method {
	m := direct[Req, Resp](Any, name, doc)
	m.Operates, m.Held = true, true
	return m
}

// held is a row for a method of a service that answers at once, by the engine.
func held[Req, Resp any](name, doc string) Method {
	m := direct[Req, Resp](Service, name, doc)
	m.Held = true
	return m
}

// direct is a row for a method that answers at once.
func direct[Req, Resp any](scope Scope, name, doc string) Method {
	return Method{Name: name, Scope: scope, Doc: doc, Request: reflect.TypeFor[Req](), Reply: reflect.TypeFor[Resp]()}
}

// metadata is what nats micro info shows of a method.
func metadata(m Method) map[string]string {
	return map[string]string{
		"doc":             m.Doc,
		"request_schema":  schema.Request(m.Name),
		"response_schema": schema.Reply(m.Name),
	}
}
