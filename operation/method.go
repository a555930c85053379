package operation

import (
	"context"
	"encoding/json"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Method says what an operation of one name does. S is the state of one
// operation: its exported fields are the arguments, stored as JSON with the
// operation; fields tagged json:"-" are scratch between steps of one process.
type Method[S any] struct {
	// Name is the name of the method on the wire, such as create_volume.
	Name string
	// Since is the version of the records in which this method came; empty for the
	// first. A service that is older would not know what to do with its operations,
	// so while one lives they are refused.
	Since string
	// Resource is the type of what the operation changes.
	Resource volume.ResourceType
	// Lane is where the steps get their slots.
	Lane Lane
	// Target says how the resource is claimed; empty for not at all, for what may
	// come at any time.
	Target ClaimMode
	// Creates methods make their resource when they are accepted: nobody can have
	// a claim on it before.
	Creates bool
	// Patient methods also wait, and try again, when a step is fault.Busy.
	Patient bool
	// Background methods are work that nobody waits for: their steps get slots behind
	// those of all others in the lane, and one that is Interruptible is interrupted for
	// them, and begun again. An operation that waits for such a claim on its target has
	// the one that holds it cancelled.
	Background bool
	// Overwrites methods, if they are run again after they have succeeded, would write
	// over what callers have written since. So nobody is told before the end is on the
	// disk.
	Overwrites bool
	// Accept decides, inside the accepting transaction, whether the request can
	// be done, and moves the rows to their transient statuses. It sets
	// op.Resource.ID, completes s (ids it generates become part of the stored
	// arguments) and claims sources. An error refuses the request; nothing of
	// it is written then. It may run more than once.
	Accept func(tx Tx, op *volume.Operation, s *S) error
	// Steps are run in order.
	Steps []Step[S]
	// Undo takes back what the steps may have left on the backend, after a step
	// failed for good or the operation was cancelled. It must be repeatable; nil
	// means that there is nothing to take back.
	Undo func(ctx context.Context, t *Task, s *S, cause error) error
	// Finish moves the rows to their statuses of rest, inside the finishing
	// transaction. err is nil on success, of the kind fault.Cancelled where
	// nothing is left behind after a cancel or a deadline, and the cause of the
	// failure otherwise. It may run more than once.
	Finish func(tx Tx, t *Task, s *S, err error) error
}

// Step is one repeatable part of a method.
type Step[S any] struct {
	Name string
	// Free steps take no slot: they wait for something else than the backend.
	Free bool
	// Interruptible steps end soon, with the kind Cancelled, when their ctx is
	// cancelled, and may then be begun again. Others run to their end.
	Interruptible bool
	// Lane is where this step gets its slot, if not where the others do.
	Lane Lane
	// When reports whether the step is needed, after those before it; nil for always.
	When func(s *S) bool
	Run  func(ctx context.Context, t *Task, s *S) error
}

// definition is a method without its type parameter.
type definition struct {
	name     string
	since    string
	resource volume.ResourceType
	lane     Lane
	target   ClaimMode
	creates  bool
	patient  bool
	behind   bool // Background
	durable  bool // Overwrites
	// bind decodes the arguments of an operation and returns its methods.
	bind func(args volume.Args) (bound, error)
}

// bound is a method bound to the state of one operation.
type bound struct {
	accept func(tx Tx, op *volume.Operation) error
	steps  []boundStep
	undo   func(ctx context.Context, t *Task, cause error) error
	finish func(tx Tx, t *Task, err error) error
	encode func() (volume.Args, error)
}

type boundStep struct {
	name          string
	free          bool
	interruptible bool
	lane          Lane
	when          func() bool
	run           func(ctx context.Context, t *Task) error
}

// Register makes the engine know the method. All methods are registered before
// Recover; a name that is taken is a defect and panics.
func Register[S any](e *Engine, m Method[S]) {
	if _, taken := e.methods[m.Name]; taken {
		panic("operation: method registered twice: " + m.Name)
	}
	e.methods[m.Name] = definition{
		name: m.Name, since: m.Since, resource: m.Resource, lane: m.Lane, target: m.Target, creates: m.Creates, patient: m.Patient, behind: m.Background, durable: m.Overwrites,
		bind: func(args volume.Args) (bound, error) { return bind(m, args) },
	}
}

func bind[S any](m Method[S], args volume.Args) (bound, error) {
	s := new(S)
	if err := json.Unmarshal(args, s); err != nil {
		return bound{}, fault.New(fault.Invalid, "arguments of %s: %w", m.Name, err)
	}
	b := bound{
		accept: func(tx Tx, op *volume.Operation) error { return m.Accept(tx, op, s) },
		finish: func(tx Tx, t *Task, err error) error { return m.Finish(tx, t, s, err) },
		encode: func() (volume.Args, error) { return json.Marshal(s) },
	}
	if m.Undo != nil {
		b.undo = func(ctx context.Context, t *Task, cause error) error { return m.Undo(ctx, t, s, cause) }
	}
	for _, step := range m.Steps {
		b.steps = append(b.steps, boundStep{
			name: step.Name, free: step.Free, interruptible: step.Interruptible, lane: step.Lane,
			when: func() bool { return step.When == nil || step.When(s) },
			run:  func(ctx context.Context, t *Task) error { return step.Run(ctx, t, s) },
		})
	}
	return b, nil
}

// bindOperation finds the method of an operation and binds it to its arguments.
func (e *Engine) bindOperation(op *volume.Operation) (definition, bound, error) {
	d, ok := e.methods[op.Method]
	if !ok {
		return definition{}, bound{}, fault.New(fault.Unsupported, "operation %s: this version has no method %s", op.ID, op.Method)
	}
	b, err := d.bind(op.Args)
	return d, b, err
}
