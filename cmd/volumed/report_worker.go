package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/report"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// workerReport makes the report of a worker. It asks nobody outside of the process,
// so that what hangs there does not hold it up.
func (a *app) workerReport(ctx context.Context, cfg *config.Config, backend, trigger string, k known) report.Report {
	sources := []report.Source{
		a.header("worker"), section("Service", k.service),
		pack(report.Field{Name: "RPC version", Value: worker.RPCVersion}, report.Field{Name: "object version", Value: worker.ObjectVersion}),
		section("Operations", k.operations), section("Driver", k.driver), section("RPC", k.requests),
		section("Connections", k.connections), section("Capabilities", k.capabilities),
	}
	return buildReport(ctx, backend, trigger, append(sources, a.common(cfg, backend)...))
}

// known is what a worker knows of itself, asked for once in a report.
type known struct {
	vitals  func() worker.Vitals
	details func() worker.Details
}

// ask asks the worker, in the course of the report.
func ask(w *worker.Worker) known { return known{sync.OnceValue(w.Vitals), sync.OnceValue(w.Details)} }

// given is what was known at some moment.
func given(v worker.Vitals, d worker.Details) known {
	return known{func() worker.Vitals { return v }, func() worker.Details { return d }}
}

func (k known) service(s *report.Section) {
	v, d := k.vitals(), k.details()
	s.Add("service", v.Host)
	s.Add("phase", v.Phase)
	s.Add("since", d.Since)
	s.Add("reason", v.Reason)
	s.Add("epoch", v.Epoch)
	s.Add("last heartbeat", v.Heartbeat)
	s.Add("age of the heartbeat", report.Age(v.Heartbeat))
	s.Add("error of the last try", v.HeartbeatError)
}

func (k known) operations(s *report.Section) {
	v, d := k.vitals(), k.details()
	working := report.Table{
		Title:   "at work",
		Columns: []string{"ID", "METHOD", "RESOURCE", "LANE", "STATUS", "STEP", "PROGRESS", "ATTEMPT", "AGE", "NEXT TRY", "WAITS FOR", "BLOCKED BY", "REQUEST ID"},
	}
	for _, op := range v.Operations {
		working.Row(op.ID, op.Method, op.Resource, op.Lane, op.Status, op.Step, op.Progress, op.Attempt,
			report.Age(op.CreatedAt), op.NextTry, op.Reason, op.BlockedBy, op.RequestID)
	}
	lanes := report.Table{Title: "lanes", Columns: []string{"LANE", "SLOTS", "BUSY", "WAITING", "ACCEPTED", "QUEUE"}}
	for _, l := range v.Lanes {
		lanes.Row(l.Lane, l.Slots, l.Busy, l.Waiting, l.Accepted, l.Queue)
	}
	ended := report.Table{Title: "last ended", Columns: []string{"ID", "METHOD", "RESOURCE", "STATUS", "ENDED", "TOOK", "ERROR", "REQUEST ID"}}
	for _, op := range d.Ended {
		ended.Row(op.ID, op.Method, op.Resource, op.Status, op.FinishedAt, op.FinishedAt.Sub(op.CreatedAt), failure(op), op.RequestID)
	}
	s.Tables = []report.Table{working, lanes, ended}
}

func failure(op volume.Operation) any {
	if op.Error == nil {
		return nil
	}
	return op.Error.Message
}

func (k known) driver(s *report.Section) {
	slots := k.details().Slots
	s.Add("slots busy", slots.Busy)
	s.Add("of them with calls that nobody waits for", slots.Abandoned)
	t := report.Table{Title: "calls that have not returned", Columns: []string{"METHOD", "OBJECT", "AGE", "NO SIGN OF LIFE FOR"}}
	for _, f := range k.vitals().Calls {
		t.Row(f.Method, f.Object, report.Age(f.Begun), report.Age(f.Sign))
	}
	s.Tables = []report.Table{t}
}

func (k known) requests(s *report.Section) {
	pending := report.Table{Title: "not answered yet", Columns: []string{"METHOD", "AGE", "REQUEST ID", "PROJECT"}}
	for _, p := range k.details().Pending {
		pending.Row(p.Method, report.Age(p.Received), p.RequestID, p.Project)
	}
	methods := report.Table{Title: "answered", Columns: []string{"METHOD", "REQUESTS", "ERRORS", "MEAN TIME", "LAST ERROR"}}
	for _, m := range k.vitals().Requests {
		if m.Requests > 0 {
			mean := time.Duration(m.Seconds / float64(m.Requests) * float64(time.Second))
			methods.Row(m.Method, m.Requests, m.Errors, mean, m.LastError)
		}
	}
	s.Tables = []report.Table{pending, methods}
}

func (k known) connections(s *report.Section) {
	v, d := k.vitals(), k.details()
	s.Add("database", d.Database)
	s.Add("schema", d.Schema)
	s.Add("bus", d.Bus)
	s.Add("bus connected", v.BusConnected)
	s.Add("addresses on the cluster", d.Addrs)
	t := report.Table{Title: "away", Columns: []string{"WHAT", "WHY"}}
	for _, what := range slices.Sorted(maps.Keys(d.Away)) {
		t.Row(what, d.Away[what])
	}
	s.Tables = []report.Table{t}
}

func (k known) capabilities(s *report.Section) {
	c := k.vitals().Capabilities
	s.Add("reported", c.Timestamp)
	s.Add("age", report.Age(c.Timestamp))
	text, err := json.MarshalIndent(c.Capabilities, "", "  ")
	if err != nil {
		s.Error = err.Error()
		return
	}
	s.Text = strings.TrimSpace(string(text)) + "\n"
}
