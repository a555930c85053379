package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/supervisor"
)

// Every option of the launcher is compared by a reload, which tells when it takes effect.
func TestScopesOfTheLauncher(t *testing.T) {
	cfg, _ := config.Parse(config.Sources{}) // no backends, but every option
	got := map[string]supervisor.Scope{}
	for _, s := range settings(cfg, "") {
		if name, ok := strings.CutPrefix(s.Name, "[launcher] "); ok {
			got[name] = s.Scope
		}
	}
	want := map[string]supervisor.Scope{"control_socket": supervisor.Service}
	for _, s := range cfg.Effective() {
		if s.Section == "launcher" && s.Reach == config.OfSupervisor {
			want[s.Option] = supervisor.Own
		}
	}
	want["watchdog_timeout"], want["orphan_grace"], want["db_sync_timeout"] = supervisor.Births, supervisor.Births, supervisor.Start
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	for _, s := range settings(cfg, "rbd0") {
		if s.Scope > supervisor.Service {
			t.Errorf("%s concerns no worker", s.Name)
		}
	}
}
