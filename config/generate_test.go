package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

const (
	samplePath = "../etc/volumed.conf.sample"
	docsPath   = "../docs/config.md"
)

// TestGenerated keeps the sample file and the documentation in step with the
// option tables; go generate writes them.
func TestGenerated(t *testing.T) {
	for path, want := range map[string]string{samplePath: sample(), docsPath: docs(t)} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(want, readFile(t, path)); diff != "" {
			t.Errorf("%s is stale, run go generate ./config (-want +got):\n%s", path, diff)
		}
	}
}

// TestSampleLoads shows that the sample starts the service, and that it still
// means the same with all defaults written out.
func TestSampleLoads(t *testing.T) {
	text := readFile(t, samplePath)
	asIs := healthy(t, parse(t, text))
	written := healthy(t, parse(t, strings.ReplaceAll(text, "\n#", "\n")))
	opts := cmp.Options{cmp.AllowUnexported(Config{}), cmp.FilterPath(isSettings, cmp.Ignore())}
	if diff := cmp.Diff(asIs, written, opts); diff != "" {
		t.Errorf("with the defaults written out (-as it is +written out):\n%s", diff)
	}
}

func isSettings(p cmp.Path) bool { return p.Last().String() == ".settings" }

// sample is a file that starts one RBD backend and shows every option.
func sample() string {
	var b strings.Builder
	b.WriteString("; volumed.conf, with every option. The lines with # are the defaults.\n; Generated from the option tables by go generate ./config. Grammar: docs/config.md.\n")
	for _, t := range append(append([]*table{}, tables...), &table{backendDefaults, OfBackend, backendTable.options}) {
		fmt.Fprintf(&b, "\n[%s]\n", t.section)
		for i := range t.options {
			if o := &t.options[i]; o.kind != ignored {
				b.WriteString(sampleOption(o))
			}
		}
	}
	b.WriteString(`
; One section for each name in enabled_backends, with the options of
; [backend_defaults] and, only here, backend_host.
[rbd0]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
rbd_pool = volumes
rbd_user = volumed
rbd_ceph_conf = /etc/ceph/ceph.conf
`)
	return b.String()
}

func sampleOption(o *option) string {
	facts := []string{o.typeName()}
	for _, fact := range []string{o.unitName(), o.bounds()} {
		if fact != "" {
			facts = append(facts, fact)
		}
	}
	if o.def == "" {
		facts = append(facts, "default: "+orUnset(o.auto))
	}
	if o.secret {
		facts = append(facts, "secret")
	}
	assignment := fmt.Sprintf("#%s = %s", o.name, o.def)
	switch {
	case o.name == "enabled_backends":
		assignment = "enabled_backends = rbd0"
	case o.def == "":
		assignment = "; " + o.name + " ="
	}
	return fmt.Sprintf("\n; %s\n; (%s)\n%s\n", strings.ReplaceAll(o.meaning(), "`", ""), strings.Join(facts, "; "), assignment)
}

func orUnset(s string) string {
	if s == "" {
		return "unset"
	}
	return s
}

type docSection struct {
	Title   string
	Options []docOption
	Ignored string
}

type docOption struct{ Name, Type, Unit, Default, Range, Help string }

func docs(t *testing.T) string {
	tmpl := template.Must(template.ParseFiles("testdata/config.md.tmpl"))
	data := map[string]any{
		"DefaultFile": DefaultFile, "DefaultDir": DefaultDir,
		"IgnoredSections": "`[" + strings.Join(ignoredSections, "]`, `[") + "]`",
	}
	var sections []docSection
	for _, tab := range tables {
		sections = append(sections, documented(tab, "["+tab.section+"]"))
	}
	data["Sections"] = append(sections, documented(&backendTable, "Backend sections and [backend_defaults]"))
	var b bytes.Buffer
	if err := tmpl.Execute(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func documented(t *table, title string) docSection {
	s := docSection{Title: title}
	var quiet []string
	for i := range t.options {
		o := &t.options[i]
		if o.kind == ignored {
			quiet = append(quiet, "`"+o.name+"`")
			continue
		}
		s.Options = append(s.Options, docOption{o.name, docType(o), o.unitName(), docDefault(o), o.bounds(), docHelp(o)})
	}
	s.Ignored = strings.Join(quiet, ", ")
	return s
}

func docType(o *option) string {
	if o.secret {
		return o.typeName() + ", *secret*"
	}
	return o.typeName()
}

func docDefault(o *option) string {
	switch {
	case o.def != "":
		return "`" + o.def + "`"
	case o.auto != "":
		return o.auto
	}
	return ""
}

func docHelp(o *option) string {
	help := strings.ReplaceAll(o.help, "|", `\|`)
	if o.idle {
		help += " *Without effect in this version.*"
	}
	if len(o.old) > 0 {
		help += " Old name: `" + strings.Join(o.old, "`, `") + "`."
	}
	return help
}
