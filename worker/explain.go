package worker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// explain says in words what the circumstances are.
func (c *circumstances) explain() rpc.WhyReply {
	reply := rpc.WhyReply{
		Resource: c.resource, Status: c.status, Service: c.service, Volume: &c.volume, Snapshot: c.snapshot,
		Operations: c.last, Events: c.events,
	}
	reply.Verdict, reply.Causes = c.judge()
	reply.Summary = fmt.Sprintf("%s is %s: %s", c.resource, c.status, verdicts[reply.Verdict])
	if c.status == volume.Deleted && len(c.unfinished) > 0 {
		reply.Summary = fmt.Sprintf("%s was deleted at %s, and its image is still in the trash", c.resource, stamp(c.removed()))
	}
	// In JSON an empty list, not null.
	reply.Causes, reply.Operations, reply.Events = list(reply.Causes), list(reply.Operations), list(reply.Events)
	return reply
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

var verdicts = map[rpc.Verdict]string{
	rpc.VerdictOK:      "nothing is wrong",
	rpc.VerdictWorking: "an operation is at work on it",
	rpc.VerdictWaiting: "an operation on it waits",
	rpc.VerdictFailed:  "the last operation on it failed",
	rpc.VerdictAway:    "it is at rest, but its service is not well",
	rpc.VerdictStuck:   "nobody is at work on what is to be done",
	rpc.VerdictDeleted: "only its record is left",
}

// judge finds the verdict and its causes.
func (c *circumstances) judge() (rpc.Verdict, []rpc.Cause) {
	service, well := c.serviceCause()
	if len(c.unfinished) > 0 {
		verdict, causes := c.atWork(well)
		if !well {
			causes = append([]rpc.Cause{service}, causes...)
		}
		return verdict, causes
	}
	verdict, causes := c.atRest()
	if !well && c.status != volume.Deleted {
		causes = append(causes, service)
		if verdict == rpc.VerdictOK {
			verdict = rpc.VerdictAway
		}
	}
	return verdict, causes
}

// serviceCause tells how the service is, and whether it is well.
func (c *circumstances) serviceCause() (cause rpc.Cause, well bool) {
	s := c.service
	switch {
	case s == nil:
		return rpc.Cause{
			Text: fmt.Sprintf("There is no service %s, to which the volume belongs.", volume.ParseHost(c.volume.Host).Service()),
			Hint: "start volumed with that backend",
		}, false
	case s.State == volume.Down && s.Phase == volume.Stopped:
		return rpc.Cause{
			Text:  fmt.Sprintf("The service %s was stopped at %s.", s.Host, stamp(s.PhaseSince)),
			Hint:  "start volumed on " + volume.ParseHost(s.Host).Node + "; what was accepted goes on then",
			Since: s.PhaseSince,
		}, false
	case s.State == volume.Down:
		return rpc.Cause{
			Text:  fmt.Sprintf("The service %s is down: its last heartbeat came at %s, when it was %s%s.", s.Host, stamp(s.UpdatedAt), s.Phase, because(s.Reason)),
			Hint:  "see on " + volume.ParseHost(s.Host).Node + " why volumed does not run: volumed status, or its log",
			Since: s.UpdatedAt,
		}, false
	case s.Phase == volume.Degraded:
		return rpc.Cause{
			Text:  fmt.Sprintf("The service %s has been degraded since %s%s.", s.Host, stamp(s.PhaseSince), because(s.Reason)),
			Hint:  "what it waits for goes on by itself when that is back; check: ceph -s",
			Since: s.PhaseSince,
		}, false
	default:
		return rpc.Cause{}, true
	}
}

// atWork tells of the operations that have not ended; what waits comes first.
func (c *circumstances) atWork(serviceWell bool) (rpc.Verdict, []rpc.Cause) {
	verdict := rpc.VerdictWorking
	var waiting, working []rpc.Cause
	for i := range c.unfinished {
		op := &c.unfinished[i]
		switch op.Status {
		case volume.Waiting:
			verdict = rpc.VerdictWaiting
			waiting = append(waiting, c.waits(op))
		default:
			working = append(working, works(op))
		}
	}
	if !serviceWell {
		verdict = rpc.VerdictWaiting
	}
	return verdict, append(waiting, working...)
}

// waits tells of an operation that waits.
func (c *circumstances) waits(op *volume.Operation) rpc.Cause {
	text := fmt.Sprintf("%s (operation %s, accepted at %s, attempt %d) waits: %s", op.Method, op.ID, stamp(op.CreatedAt), op.Attempt, op.Reason)
	named := c.named(op.BlockedBy)
	if named != "" {
		text += "; in the way: " + named
	}
	text += "."
	if !op.NextTry.IsZero() {
		text += " It is tried again at " + stamp(op.NextTry)
		if named != "" {
			text += ", or when an operation ends that was in the way"
		}
		text += "."
	}
	return rpc.Cause{
		Text: text, Hint: op.Hint, OperationID: op.ID, BlockedBy: c.meanings(op.BlockedBy), Since: op.CreatedAt, NextTry: op.NextTry,
	}
}

// works tells of an operation that makes progress, or is about to.
func works(op *volume.Operation) rpc.Cause {
	text := fmt.Sprintf("%s (operation %s) is %s since %s", op.Method, op.ID, op.Status, stamp(op.CreatedAt))
	if op.Status == volume.Queued {
		text = fmt.Sprintf("%s (operation %s) was accepted at %s; it waits for its turn in the lane %s, or has just begun",
			op.Method, op.ID, stamp(op.CreatedAt), op.Lane)
	}
	if op.Step != "" {
		text += fmt.Sprintf(", at the step %s, %d %%", op.Step, op.Progress)
	}
	if !op.ETA.IsZero() {
		text += ", its end expected at " + stamp(op.ETA)
	}
	cause := rpc.Cause{Text: text + ".", OperationID: op.ID, Since: op.CreatedAt}
	if op.CancelRequested {
		cause.Text += " Its cancel was asked for."
	}
	return cause
}

// atRest tells of something that no operation works on.
func (c *circumstances) atRest() (rpc.Verdict, []rpc.Cause) {
	switch {
	case c.status == volume.Deleted:
		return c.deleted()
	case c.status.Transient():
		return rpc.VerdictStuck, []rpc.Cause{{
			Text:  fmt.Sprintf("It has been %s since %s, and no operation is at work on it.", c.status, stamp(c.changed())),
			Hint:  "an operator can bring it to rest: volumectl audit repair --plan",
			Since: c.changed(),
		}}
	}
	if op := c.failed(); op != nil {
		return rpc.VerdictFailed, []rpc.Cause{c.failure(op)}
	}
	if c.status == volume.Error || c.status == volume.ErrorDeleting || c.status == volume.ErrorExtend || c.status == volume.ErrorManaging {
		return rpc.VerdictFailed, []rpc.Cause{{
			Text:  fmt.Sprintf("It has been in %s since %s; the record of the operation that failed is no longer kept.", c.status, stamp(c.changed())),
			Hint:  "delete it, or try again what failed",
			Since: c.changed(),
		}}
	}
	return rpc.VerdictOK, nil
}

// failed returns the operation that failed last, if nothing has gone well since.
func (c *circumstances) failed() *volume.Operation {
	for i := range c.last {
		switch c.last[i].Status {
		case volume.Failed:
			return &c.last[i]
		case volume.Succeeded:
			return nil
		}
	}
	return nil
}

// failure tells why an operation failed.
func (c *circumstances) failure(op *volume.Operation) rpc.Cause {
	text := fmt.Sprintf("%s (operation %s) failed at %s", op.Method, op.ID, stamp(op.FinishedAt))
	cause := rpc.Cause{OperationID: op.ID, Since: op.FinishedAt}
	if e := op.Error; e != nil {
		text += ": " + e.Message
		if named := c.named(e.BlockedBy); named != "" {
			text += "; in the way: " + named
		}
		cause.Hint, cause.BlockedBy = e.Hint, c.meanings(e.BlockedBy)
	}
	cause.Text = text + "."
	return cause
}

// deleted tells of a record.
func (c *circumstances) deleted() (rpc.Verdict, []rpc.Cause) {
	text := fmt.Sprintf("It was deleted at %s", stamp(c.removed()))
	cause := rpc.Cause{Since: c.removed()}
	switch {
	case c.snapshot != nil && c.snapshot.Unmanaged():
		cause.Text = fmt.Sprintf("It was unmanaged at %s; the snapshot was left on the image.", stamp(c.removed()))
		cause.Hint = "to have it back: volumectl snapshot manage"
	case c.snapshot != nil:
		cause.Text = text + "."
	case c.volume.Unmanaged():
		cause.Text = fmt.Sprintf("It was unmanaged at %s; its image was left to others, as it was.", stamp(c.removed()))
		cause.Hint = "to have it back: volumectl volume manage"
	case c.volume.PreviousStatus == volume.Managing && c.volume.ImageID == "" && c.volume.TerminatedAt.IsZero():
		cause.Text = fmt.Sprintf("Its image was not taken over; that was given up at %s, and the image is as it was.", stamp(c.removed()))
	case c.volume.ImageID == "":
		cause.Text = text + ", and its space has been given back."
	default:
		cause.Text = text + ", and its image is still in the trash: no operation purges it."
		cause.Hint = "an operator can have it purged: volumectl audit repair --plan"
		return rpc.VerdictStuck, []rpc.Cause{cause}
	}
	return rpc.VerdictDeleted, []rpc.Cause{cause}
}

// changed is when the row was last changed, removed when it became a record.
func (c *circumstances) changed() time.Time {
	updated, created := c.volume.UpdatedAt, c.volume.CreatedAt
	if c.snapshot != nil {
		updated, created = c.snapshot.UpdatedAt, c.snapshot.CreatedAt
	}
	if updated.IsZero() {
		return created
	}
	return updated
}

func (c *circumstances) removed() time.Time {
	if c.snapshot != nil {
		return c.snapshot.DeletedAt
	}
	return c.volume.DeletedAt
}

// meanings returns what the blockers are, each in the words that say most.
func (c *circumstances) meanings(blockers []string) []string {
	told := slices.Clone(blockers)
	for i, name := range told {
		if meaning := c.blockers[name]; meaning != "" {
			told[i] = meaning
		}
	}
	return told
}

// named lists the blockers in a sentence.
func (c *circumstances) named(blockers []string) string {
	return strings.Join(c.meanings(blockers), ", ")
}

// tellOperation names an operation that is in the way.
func tellOperation(op *volume.Operation) string {
	return tellProgress(op, fmt.Sprintf("%s of %s", op.Method, op.Resource))
}

// tellProgress tells how far an operation is, and of what it does no more than is said.
func tellProgress(op *volume.Operation, does string) string {
	text := fmt.Sprintf("operation %s (%s, %s", op.ID, does, op.Status)
	if op.Status == volume.Running && op.Progress > 0 {
		text += fmt.Sprintf(", %d %%", op.Progress)
	}
	return text + ")"
}

// tellVolume names a volume that is in the way.
func tellVolume(v *volume.Volume) string {
	if v.Name == "" {
		return fmt.Sprintf("volume %s (%s)", v.ID, v.Status)
	}
	return fmt.Sprintf("volume %s (%q, %s)", v.ID, v.Name, v.Status)
}

// volumeNamed returns the id of the volume whose image a driver names in an error,
// as name, pool/name or either with a remark, and the remark.
func (w *Worker) volumeNamed(blocker string) (id, remark string) {
	name, remark, remarked := strings.Cut(blocker, " (")
	if remarked {
		remark = " (" + remark
	}
	if slash := strings.LastIndexByte(name, '/'); slash >= 0 {
		name = name[slash+1:]
	}
	before, after, _ := strings.Cut(w.cfg.VolumeNameTemplate, "%s")
	if id, ok := strings.CutPrefix(name, before); ok {
		if id, ok = strings.CutSuffix(id, after); ok && uuid.Validate(id) == nil {
			return id, remark
		}
	}
	return "", ""
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
