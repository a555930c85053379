package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/supervisor/lifeline"
)

const (
	soundConf   = "[DEFAULT]\nenabled_backends = rbd0\n[rbd0]\nvolume_driver = rbd\n"
	warnedConf  = soundConf + "rbd_pol = volumes\n"
	halfBadConf = "[DEFAULT]\nenabled_backends = rbd0, rbd1\n[rbd0]\nvolume_driver = rbd\n[rbd1]\nvolume_driver = lvm\n"
	allBadConf  = "[DEFAULT]\nenabled_backends = rbd0\nreport_interval = soon\n[rbd0]\nvolume_driver = rbd\n"
	noGrammar   = "[DEFAULT]\nenabled_backends\n"
)

// checkConfig runs volumed check-config on a file with that text, and returns
// what it printed and its exit code. FILE in the output stands for its path.
func checkConfig(t *testing.T, text string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "volumed.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = checkConfigAt(t, path, args...)
	return strings.ReplaceAll(stdout, path, "FILE"), strings.ReplaceAll(stderr, path, "FILE"), code
}

func checkConfigAt(t *testing.T, path string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{parent: &lifeline.Parent{}}
	root := a.command()
	root.SetArgs(append([]string{"check-config", "--config-file", path}, args...))
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(t.Context())
	var coded *exitError
	switch {
	case errors.As(err, &coded):
		code = coded.code
	case err != nil:
		code = lifeline.ExitUsage
	}
	return out.String(), errs.String(), code
}

func TestCheckConfig(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		args       []string
		code       int
		stdout     string
		stderr     []string // parts, in one line
	}{
		{"sound", soundConf, nil, 0, "1 of 1 backends can start\n", nil},
		{"sound strict", soundConf, []string{"--strict"}, 0, "1 of 1 backends can start\n", nil},
		{"a warning", warnedConf, nil, 0, "1 of 1 backends can start\n", []string{"FILE:5: [rbd0] rbd_pol: ", "rbd_pool", "(warning)"}},
		{"a warning strict", warnedConf, []string{"--strict"}, 78, "1 of 1 backends can start\n", []string{"FILE:5: [rbd0] rbd_pol: "}},
		{"one backend", halfBadConf, nil, 78, "1 of 2 backends can start\n", []string{"FILE:6: [rbd1] volume_driver: "}},
		{"the whole load", allBadConf, nil, 78, "0 of 1 backends can start\n", []string{"FILE:3: [DEFAULT] report_interval: "}},
		{"the grammar", noGrammar, nil, 78, "0 of 0 backends can start\n", []string{"FILE:2: "}},
		{"another format", soundConf, []string{"-o", "xml"}, 64, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := checkConfig(t, tt.text, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if stdout != tt.stdout {
				t.Errorf("stdout %q, want %q", stdout, tt.stdout)
			}
			if len(tt.stderr) == 0 && stderr != "" {
				t.Errorf("stderr %q, want nothing", stderr)
			}
			for _, part := range tt.stderr {
				if !strings.Contains(stderr, part) {
					t.Errorf("stderr %q lacks %q", stderr, part)
				}
			}
		})
	}
}

func TestCheckConfigMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.conf")
	if _, stderr, code := checkConfigAt(t, path); code != lifeline.ExitConfig || !strings.Contains(stderr, path) {
		t.Errorf("exit code %d, stderr %q; want 78 and the path %s", code, stderr, path)
	}
}

func TestCheckConfigJSON(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		code       int
		want       configCheck // without the words of problems
	}{
		{"sound", soundConf, 0, configCheck{Problems: []config.Problem{}, Backends: 1, CanStart: 1}},
		{"one backend", halfBadConf, 78, configCheck{
			Problems: []config.Problem{{File: "FILE", Line: 6, Section: "rbd1", Option: "volume_driver"}},
			Backends: 2, CanStart: 1,
		}},
		{"a warning", warnedConf, 0, configCheck{
			Problems: []config.Problem{{File: "FILE", Line: 5, Section: "rbd0", Option: "rbd_pol", Warning: true}},
			Backends: 1, CanStart: 1,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := checkConfig(t, tt.text, "-o", "json")
			if code != tt.code || stderr != "" {
				t.Errorf("exit code %d, stderr %q; want %d and nothing", code, stderr, tt.code)
			}
			dec := json.NewDecoder(strings.NewReader(stdout))
			dec.DisallowUnknownFields()
			var got configCheck
			if err := dec.Decode(&got); err != nil {
				t.Fatalf("%v: %s", err, stdout)
			}
			if dec.More() {
				t.Errorf("more than one document: %s", stdout)
			}
			for i := range got.Problems {
				if got.Problems[i].Reason == "" || got.Problems[i].Hint == "" {
					t.Errorf("problem without a reason or hint: %+v", got.Problems[i])
				}
				got.Problems[i].Reason, got.Problems[i].Hint = "", ""
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, name := range []string{"problems", "backends", "can_start"} {
				if !strings.Contains(stdout, `"`+name+`"`) {
					t.Errorf("no %q in %s", name, stdout)
				}
			}
		})
	}
}
