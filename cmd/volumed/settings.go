package main

import (
	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/supervisor"
)

// settings are the options that concern one process, as a reload compares them:
// those of the service, and, for a worker, those of its backend's section.
func settings(cfg *config.Config, section string) []supervisor.Setting {
	var all []supervisor.Setting
	add := func(s config.Setting, scope supervisor.Scope) {
		all = append(all, supervisor.Setting{Name: "[" + s.Section + "] " + s.Option, Value: s.Fingerprint, Scope: scope})
	}
	for _, s := range cfg.Effective() {
		_, another := cfg.Backend(s.Section)
		switch {
		case another && s.Section != section:
		case s.Reach == config.OfService:
			add(s, supervisor.Service)
		case s.Reach == config.OfBackend:
			add(s, supervisor.Backend)
		case s.Reach == config.OfAll:
			add(s, supervisor.Live)
		}
	}
	return all
}
