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
		case s.Reach == config.OfSupervisor && section == "" && s.Option != "enabled_backends": // that is told backend by backend
			add(s, ownScope(s.Option))
		}
	}
	return all
}

// ownScope is when an option of the supervisor takes effect after a reload.
func ownScope(option string) supervisor.Scope {
	switch option {
	case "watchdog_timeout", "orphan_grace":
		return supervisor.Births
	case "db_sync_timeout":
		return supervisor.Start
	default:
		return supervisor.Own
	}
}
