package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/report"
)

// Bounds of reports that nobody asked for: their cause may come again every second.
const (
	alarmEvery  = 10 * time.Minute // for each backend
	alarmWithin = time.Second      // in a process that is about to end
	reportsKept = 20               // of each backend, asked for or not
)

// reporter makes the reports of one process and puts them where they belong.
type reporter struct {
	place   report.Place
	log     hclog.Logger
	subject string
	build   func(ctx context.Context, trigger string) report.Report

	mu     sync.Mutex
	alarms map[string]time.Time // the last one about each backend
}

// newReporter returns a reporter whose reports are made by build.
func newReporter(cfg *config.Config, log hclog.Logger, subject string, build func(context.Context, string) report.Report) *reporter {
	return &reporter{
		place: report.Place{Dir: cfg.Reports.LogDir, Program: "volumed", Keep: reportsKept, Else: os.Stderr},
		log:   log, subject: subject, build: build, alarms: map[string]time.Time{},
	}
}

// plainReporter is for a role that has nothing to tell but what every process has.
func (a *app) plainReporter(cfg *config.Config, log hclog.Logger, role string) *reporter {
	return newReporter(cfg, log, role, func(ctx context.Context, trigger string) report.Report {
		return buildReport(ctx, role, trigger, append([]report.Source{a.header(role), pack()}, a.common(cfg, role)...))
	})
}

// make makes a report and files it. It blocks for as long as that takes.
func (r *reporter) make(trigger string) { r.file(r.build(context.Background(), trigger)) }

func (r *reporter) file(made report.Report) {
	path, err := r.place.Save(made)
	switch {
	case err != nil:
		r.log.Error("report not filed as it should be", "trigger", made.Trigger, "dir", r.place.Dir, "error", err)
	case path != "":
		r.log.Info("report", "trigger", made.Trigger, "file", path)
	}
}

// alarm makes a report that nobody asked for, in little time.
func (r *reporter) alarm(what string, build func(context.Context, string) report.Report) {
	if !r.due(r.subject) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), alarmWithin)
	defer cancel()
	r.log.Warn("making a report", "why", what)
	r.file(build(ctx, what))
}

// due reports whether a report that nobody asked for may be made about the backend
// now, which it then counts as.
func (r *reporter) due(backend string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, before := r.alarms[backend]
	if before && time.Since(last) < alarmEvery {
		return false
	}
	r.alarms[backend] = time.Now()
	return true
}

// buildReport makes a report without secrets.
func buildReport(ctx context.Context, subject, trigger string, sources []report.Source) report.Report {
	r := report.Build(ctx, subject, trigger, sources...)
	r.Mask(config.Mask)
	return r
}

// section returns a source that asks nobody, so that it cannot fail.
func section(title string, fill func(s *report.Section)) report.Source {
	return report.Source{Title: title, Make: func(context.Context) (s report.Section, err error) {
		fill(&s)
		return s, nil
	}}
}

// header tells which process the report is about.
func (a *app) header(role string) report.Source {
	return section("Process", func(s *report.Section) {
		s.Add("role", role)
		s.Add("pid", os.Getpid())
		s.Add("ppid", os.Getppid())
		s.Add("generation", a.parent.Generation())
		s.Add("supervised", a.parent.Supervised())
		s.Add("arguments", strings.Join(os.Args[1:], " "))
		s.Add("started", a.began)
		s.Add("uptime", report.Age(a.began))
	})
}

func pack(more ...report.Field) report.Source { return report.Package("volumed", version, more...) }

// common are the sections of every process.
func (a *app) common(cfg *config.Config, backend string) []report.Source {
	return []report.Source{
		report.Runtime(), report.Threads(os.Getpid()), report.Files(os.Getpid()), report.Goroutines(),
		a.configuration(cfg, backend), a.recentLog(),
	}
}

// configuration shows every option that counts for the backend, or for all, as it is
// in effect: what was taken over since the start, and what was not.
func (a *app) configuration(cfg *config.Config, backend string) report.Source {
	return section("Configuration", func(s *report.Section) {
		_, one := cfg.Backend(backend)
		settings, now := cfg.Effective(), cfg
		if next := a.tuned.Load(); next != nil {
			taken := []config.Reach{config.OfAll}
			if !one {
				taken = append(taken, config.OfSupervisor, config.OfBackend)
			}
			settings, now = cfg.EffectiveAfter(next, taken...), next
		}
		tables := map[string]int{}
		for _, set := range settings {
			if _, other := now.Backend(set.Section); other && one && set.Section != backend {
				continue
			}
			i, known := tables[set.Section]
			if !known {
				i = len(s.Tables)
				tables[set.Section] = i
				s.Tables = append(s.Tables, report.Table{Title: "[" + set.Section + "]", Columns: []string{"OPTION", "VALUE", "ORIGIN"}})
			}
			s.Tables[i].Row(set.Option, set.Value, set.Origin)
		}
	})
}

// recentLog shows the last lines of the log, those below its level too.
func (a *app) recentLog() report.Source {
	return section("Recent log", func(s *report.Section) {
		recent := a.logs.Recent()
		s.Add("level", a.logs.Level())
		for _, part := range []struct {
			title string
			lines []string
		}{{"warnings and errors", recent.Warn}, {"from info", recent.Info}, {"from debug", recent.Debug}} {
			s.Text += "last lines, " + part.title + ":\n" + strings.Join(part.lines, "\n") + "\n\n"
		}
	})
}
