package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// minimal is the least that loads.
const minimal = "[DEFAULT]\nenabled_backends = rbd0\n[rbd0]\nvolume_driver = rbd\n"

// sources are texts of files in order of precedence, and variables.
func sources(files []string, environ ...string) Sources {
	src := Sources{environ: overrides(environ), hostname: "node1", address: "192.0.2.7"}
	for i, text := range files {
		src.files = append(src.files, file{string(rune('a'+i)) + ".conf", []byte(text)})
	}
	return src
}

// parse expects no error of the whole load.
func parse(t *testing.T, texts ...string) *Config {
	t.Helper()
	return mustParse(t, sources(texts))
}

func mustParse(t *testing.T, src Sources) *Config {
	t.Helper()
	c, err := Parse(src)
	if err != nil {
		t.Fatalf("load failed: %v", err)
	}
	return c
}

// healthy expects that nothing at all is wrong.
func healthy(t *testing.T, c *Config) *Config {
	t.Helper()
	for _, p := range c.Problems() {
		t.Errorf("unexpected problem: %v", p)
	}
	return c
}

// mentions fails unless exactly one problem's text has all the parts.
func mentions(t *testing.T, problems []Problem, parts ...string) {
	t.Helper()
	found := 0
	for _, p := range problems {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(p.Error(), part)
		}
		if all {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d problems have %q, want 1, in:\n%v", found, parts, join(problems))
	}
}

func taggedFields(target any) map[string]string {
	fields := map[string]string{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(target)) {
		if name, ok := f.Tag.Lookup("conf"); ok {
			fields[name] = f.Type.String()
		}
	}
	return fields
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
