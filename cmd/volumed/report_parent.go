package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/report"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// parentSubject is what reports of the parent are called.
const parentSubject = "parent"

// parentReporter makes the reports of the parent, with those of its workers.
type parentReporter struct {
	*reporter
	app    *app
	cfg    *config.Config
	status func() []supervisor.ChildStatus

	mu         sync.Mutex
	looping    map[string]bool      // who is in a crash loop
	exits      map[string]time.Time // the last exit of each child that was looked at
	background sync.WaitGroup
}

// newParentReporter returns a reporter that knows no children before watch.
func (a *app) newParentReporter(cfg *config.Config, log hclog.Logger) *parentReporter {
	p := &parentReporter{
		app: a, cfg: cfg, looping: map[string]bool{}, exits: map[string]time.Time{},
		status: func() []supervisor.ChildStatus { return nil },
	}
	p.reporter = newReporter(cfg, log, parentSubject, p.report)
	return p
}

// watch makes reports when they are asked for, by a signal or by the file that is
// watched, until stop is called. stop waits for reports that are being made.
func (p *parentReporter) watch(status func() []supervisor.ChildStatus) (stop func()) {
	p.status = status
	ctx, cancel := context.WithCancel(context.Background())
	unhear := p.app.hear(p.make)
	if path := p.cfg.Reports.FileEventHandler; path != "" {
		p.background.Go(func() { p.watchFile(ctx, path, p.cfg.Reports.FileEventEvery) })
	}
	return func() {
		cancel()
		unhear()
		p.background.Wait()
	}
}

// watchFile makes a report each time that the file is touched, or made.
func (p *parentReporter) watchFile(ctx context.Context, path string, every time.Duration) {
	touched := func() (at time.Time) {
		if info, err := os.Stat(path); err == nil {
			at = info.ModTime()
		}
		return at
	}
	last := touched()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if at := touched(); at.After(last) {
			last = at
			p.make("file event")
		}
	}
}

// changed is the supervisor's OnChange: it makes a report, in the background, of what
// a child has met that only a report can explain.
func (p *parentReporter) changed(c supervisor.ChildStatus) {
	why := p.alarming(c)
	if why == "" || !p.due(c.Name) {
		return
	}
	p.log.Warn("making a report", "backend", c.Name, "why", why)
	p.background.Go(func() { p.make(c.Name + ": " + why) })
}

// alarming returns what is new with a child and asks for a report, if anything is.
func (p *parentReporter) alarming(c supervisor.ChildStatus) (why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.CrashLoop && !p.looping[c.Name] {
		why = "crash loop"
	}
	p.looping[c.Name] = c.CrashLoop
	if e := c.LastExit; e != nil && !e.At.Equal(p.exits[c.Name]) {
		p.exits[c.Name] = e.At
		if e.Hung || e.CutOff {
			why = e.Reason
		}
	}
	return why
}

// report makes the report of the parent and, at the same time, those of all children.
func (p *parentReporter) report(ctx context.Context, trigger string) report.Report {
	children := p.status()
	gathered := make([]report.Report, len(children))
	var all sync.WaitGroup
	for i, c := range children {
		all.Go(func() { gathered[i] = p.childReport(ctx, c, trigger) })
	}
	sources := []report.Source{
		p.app.header(parentSubject), pack(),
		section("Children", func(s *report.Section) { p.children(s, children) }),
	}
	made := buildReport(ctx, parentSubject, trigger, append(sources, p.app.common(p.cfg, "")...))
	all.Wait()
	for i, c := range children {
		if c.PID != 0 {
			made.Processes = append(made.Processes, gathered[i])
		}
	}
	return made
}

// backendReport makes the report of one worker, whether it answers or not. NotFound
// if there is none with that name, or it does not run now.
func (p *parentReporter) backendReport(ctx context.Context, trigger, backend string) (report.Report, error) {
	for _, c := range p.status() {
		if c.Name == backend && c.PID != 0 {
			return p.childReport(ctx, c, trigger), nil
		}
	}
	return report.Report{}, fault.New(fault.NotFound, "backend %s has no process now", backend)
}

// askTimeout is how long a worker has to answer with its report.
const askTimeout = 5 * time.Second

// childReport asks a worker for its report. Of one that does not answer, and of other
// children, it is what the kernel tells.
func (p *parentReporter) childReport(ctx context.Context, c supervisor.ChildStatus, trigger string) (r report.Report) {
	if c.PID == 0 {
		return r
	}
	sources := report.Process(c.PID)
	if c.Role == supervisor.Worker {
		within, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		err := lifeline.Console(p.cfg.Default.StatePath, c.PID).Ask(within, http.MethodGet, lifeline.ConsoleReport+"?format=json", nil, &r)
		if err == nil {
			r.Trigger = trigger
			return r
		}
		sources = append([]report.Source{section("No answer", func(s *report.Section) {
			s.Add("why", err)
			s.Add("what follows", "what the kernel tells of the process")
		})}, sources...)
	}
	return buildReport(context.WithoutCancel(ctx), c.Name, trigger, sources)
}

func (p *parentReporter) children(s *report.Section, all []supervisor.ChildStatus) {
	now := report.Table{
		Title:   "now",
		Columns: []string{"NAME", "ROLE", "STATE", "FOR", "PID", "GENERATION", "RESTARTS", "CRASH LOOP", "LAST BEAT", "NEXT START", "REASON", "SAYS"},
	}
	exits := report.Table{Title: "last exits", Columns: []string{"NAME", "PID", "GENERATION", "CODE", "SIGNAL", "AT", "UPTIME", "REASON"}}
	for _, c := range all {
		now.Row(c.Name, c.Role, c.State, report.Age(c.Since), c.PID, c.Generation, c.Restarts, c.CrashLoop,
			report.Age(c.LastBeat), c.NextStart, c.Reason, c.Text)
		if e := c.LastExit; e != nil {
			exits.Row(c.Name, e.PID, e.Generation, e.Code, signalName(e), e.At, e.Uptime, e.Reason)
			if e.Crash != "" {
				s.Text += fmt.Sprintf("end of the last crash of %s, all of it in %s:\n%s\n\n", c.Name,
					filepath.Join(p.cfg.Default.StatePath, "crash", url.PathEscape(c.Name)+".last.txt"), tail(e.Crash))
			}
		}
	}
	s.Tables = []report.Table{now, exits}
}

func signalName(e *supervisor.Exit) any {
	if e.Signal == 0 {
		return nil
	}
	return e.Signal
}

// crashShown is how much of a crash a report holds.
const crashShown = 16 << 10

// tail returns the last lines of a text.
func tail(text string) string {
	if len(text) <= crashShown {
		return text
	}
	_, whole, _ := strings.Cut(text[len(text)-crashShown:], "\n")
	return whole
}
