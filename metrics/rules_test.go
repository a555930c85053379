package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/volumed/volumed/internal/testenv"
)

const (
	rulesPath      = "../etc/alerts/volumed.rules.yml"
	rulesTestsPath = "../etc/alerts/volumed.test.yml"
	alertsPath     = "../docs/alerts.md"
)

// TestRules has promtool run the tests of the alert rules.
func TestRules(t *testing.T) {
	testenv.Promtool(t, "", "check", "rules", "--lint-fatal", rulesPath)
	testenv.Promtool(t, "", "test", "rules", rulesTestsPath)
}

// TestEveryAlert holds the alerts against what is written elsewhere: each says what to
// do, has its section of the runbook, and a test in which it fires.
func TestEveryAlert(t *testing.T) {
	rules, tests, runbook := read(t, rulesPath), read(t, rulesTestsPath), read(t, alertsPath)
	alerts := strings.Split(rules, "- alert: ")[1:]
	if len(alerts) < 12 {
		t.Errorf("only %d alerts are found", len(alerts))
	}
	for _, a := range alerts {
		name, _, _ := strings.Cut(a, "\n")
		for _, part := range []string{"severity: ", "summary: ", "description: ", "/docs/alerts.md#" + strings.ToLower(name) + "\""} {
			if !strings.Contains(a, part) {
				t.Errorf("%s has no %s", name, part)
			}
		}
		if !strings.Contains(runbook, "\n## "+name+"\n") {
			t.Errorf("%s has no section in %s", name, alertsPath)
		}
		fires := regexp.MustCompile(`alertname: ` + name + `\n +eval_time: \S+\n +exp_alerts:\n +- exp_labels:`)
		if !fires.MatchString(tests) {
			t.Errorf("%s fires in no test", name)
		}
	}
	for _, title := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !strings.Contains(rules, "- alert: "+title[1]+"\n") {
			t.Errorf("%s explains %s, which is no alert", alertsPath, title[1])
		}
	}
}

// TestRulesNameMetrics shows that what the alerts and their runbook name exists.
func TestRulesNameMetrics(t *testing.T) {
	var known []string
	for _, c := range chapters(t) {
		for _, m := range c.Metrics {
			known = append(known, m.Name)
		}
	}
	metric := regexp.MustCompile(`\bvolumed_[a-z_]+`)
	for _, path := range []string{rulesPath, rulesTestsPath, alertsPath, "testdata/metrics.md.tmpl"} {
		for _, name := range metric.FindAllString(read(t, path), -1) {
			family := strings.HasSuffix(name, "_") // as in volumed_child_*
			if !slices.ContainsFunc(known, func(k string) bool { return k == name || family && strings.HasPrefix(k, name) }) {
				t.Errorf("%s names %s, which there is not", path, name)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
