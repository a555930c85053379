package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// line is what a case expects of one assignment.
type line struct {
	at           int
	section, key string
	value        string
}

// one is the assignment of a case with a single option.
func one(value string) []line { return []line{{2, "s", "a", value}} }

// accepted are inputs that both readers understand in the same way, by row of
// the grammar.
var accepted = []struct {
	name, in string
	want     []line
}{
	{"nothing", "", nil},
	{"only blanks", "  \n\t\n", nil},
	{"only a section", "[s]\n", nil},
	{"equal sign", "[s]\na = 1\n", one("1")},
	{"colon", "[s]\na: 1\n", one("1")},
	{"first of both, equal sign", "[s]\na = b:c\n", one("b:c")},
	{"first of both, colon", "[s]\na : b=c\n", one("b=c")},
	{"no blanks", "[s]\na=1\n", one("1")},
	{"no newline at the end", "[s]\na = 1", one("1")},
	{"CRLF", "[s]\r\na = 1\r\n", one("1")},
	{"CRLF in a continuation", "[s]\r\na = 1\r\n  2\r\n", one("1\n2")},
	{"trailing blanks", "[s]  \na = 1 \t\n", one("1")},
	{"empty value", "[s]\na =\n", one("")},
	{"empty value at the end", "[s]\na =", one("")},
	{"value of blanks", "[s]\na =   \n", one("")},
	{"continuation", "[s]\na = 1\n  2\n\t3\n", one("1\n2\n3")},
	{"continuation after an empty value", "[s]\na =\n  1\n", one("\n1")},
	{"comment signs in a continuation", "[s]\na = 1\n  # no comment\n  ; neither\n", one("1\n# no comment\n; neither")},
	{"section and assignment in a continuation", "[s]\na = 1\n  [x]\n  k = v\n", one("1\n[x]\nk = v")},
	{"quote in a continuation", "[s]\na = 1\n  \"x\n", one("1\n\"x")},
	{"backtick in a continuation", "[s]\na =\n  `x\n", one("\n`x")},
	{
		"continuation of more than 4 KiB", "[s]\na = 1\n" + strings.Repeat("  "+strings.Repeat("x", 99)+"\n", 100) + "b = 2\n",
		[]line{{2, "s", "a", "1" + strings.Repeat("\n"+strings.Repeat("x", 99), 100)}, {103, "s", "b", "2"}},
	},
	{"value of more than 64 KiB", "[s]\na = " + strings.Repeat("x", 70000) + "\n", one(strings.Repeat("x", 70000))},
	{"empty line ends a value", "[s]\na = 1\n\nb = 2\n", []line{{2, "s", "a", "1"}, {4, "s", "b", "2"}}},
	{"line of blanks ends a value", "[s]\na = 1\n   \nb = 2\n", []line{{2, "s", "a", "1"}, {4, "s", "b", "2"}}},
	{"lines of blanks after an empty value", "[s]\na =\n \t \n \nb = 2\n", []line{{2, "s", "a", ""}, {5, "s", "b", "2"}}},
	{"comment with #", "[s]\n# a = 0\na = 1\n", []line{{3, "s", "a", "1"}}},
	{"comment with ;", "[s]\n; a = 0\na = 1\n", []line{{3, "s", "a", "1"}}},
	{"comment before any section", "# c\n[s]\na = 1\n", []line{{3, "s", "a", "1"}}},
	{"comment ends a value", "[s]\na = 1\n# c\nb = 2\n", []line{{2, "s", "a", "1"}, {4, "s", "b", "2"}}},
	{"no inline comment with #", "[s]\na = 1 # y\n", one("1 # y")},
	{"no inline comment with ;", "[s]\na = p#w;x\n", one("p#w;x")},
	{"value that is a comment sign", "[s]\na = #\n", one("#")},
	{"double quotes", "[s]\na = \"x y\"\n", one("x y")},
	{"single quotes", "[s]\na = 'x y'\n", one("x y")},
	{"blanks in quotes are kept", "[s]\na = \" x \"\n", one(" x ")},
	{"empty quotes", "[s]\na = \"\"\n", one("")},
	{"other quote inside", "[s]\na = \"it's\"\n", one("it's")},
	{"quoted quotes", "[s]\na = '\"x\", \"y\"'\n", one(`"x", "y"`)},
	{"quote at one end", "[s]\na = \"x\n", one(`"x`)},
	{"quote in the middle", "[s]\na = x\"y\"z\n", one(`x"y"z`)},
	{"no escapes", `[s]` + "\n" + `a = x\n\t\\` + "\n", one(`x\n\t\\`)},
	{"backslash at the end", "[s]\na = x\\\nb = 2\n", []line{{2, "s", "a", `x\`}, {3, "s", "b", "2"}}},
	{"no interpolation", "[s]\na = %(b)s\nb = 1\n", []line{{2, "s", "a", "%(b)s"}, {3, "s", "b", "1"}}},
	{"dollars", "[s]\na = $b\n", one("$b")},
	{"backtick inside", "[s]\na = x`y`\n", one("x`y`")},
	{"triple quote inside", "[s]\na = x\"\"\"y\n", one(`x"""y`)},
	{"last of two", "[s]\na = 1\na = 2\n", []line{{2, "s", "a", "1"}, {3, "s", "a", "2"}}},
	{"same value twice", "[s]\na = 1\na = 1\n", []line{{2, "s", "a", "1"}, {3, "s", "a", "1"}}},
	{
		"section twice", "[s]\na = 1\n[t]\nb = 2\n[s]\na = 3\n",
		[]line{{2, "s", "a", "1"}, {4, "t", "b", "2"}, {6, "s", "a", "3"}},
	},
	{"sections that differ in case", "[s]\na = 1\n[S]\na =\n", []line{{2, "s", "a", "1"}, {4, "S", "a", ""}}},
	{"keys that differ in case", "[s]\na = 1\nA = 2\n", []line{{2, "s", "a", "1"}, {3, "s", "A", "2"}}},
	{"dotted section inherits nothing", "[s]\na = 1\n[s.t]\nb = 2\n", []line{{2, "s", "a", "1"}, {4, "s.t", "b", "2"}}},
	{"DEFAULT and default", "[DEFAULT]\na = 1\n[default]\na = 2\n", []line{{2, "DEFAULT", "a", "1"}, {4, "default", "a", "2"}}},
	{"blanks in a section name", "[ s ]\na = 1\n", []line{{2, " s ", "a", "1"}}},
	{"bracket in a section name", "[s]t]\na = 1\n", []line{{2, "s]t", "a", "1"}}},
	{"comment sign in a section name", "[s#1]\na = 1\n", []line{{2, "s#1", "a", "1"}}},
	{"blanks in a key", "[s]\na b = 1\n", []line{{2, "s", "a b", "1"}}},
	{"dash in a key", "[s]\nlog-file = 1\n", []line{{2, "s", "log-file", "1"}}},
	{"single quote in a key", "[s]\n'a' = 1\n", []line{{2, "s", "'a'", "1"}}},
	{"int with a zero", "[s]\na = 010\n", one("010")},
	{"not ASCII", "[s]\na = größe\n", one("größe")},
	{"line of a no-break space", "[s]\na = 1\n\u00a0\n", one("1")},
	{"no-break space around", "[s]\na =\u00a01\u00a0\n", one("1")},
	{"URL", "[s]\na = postgresql://u:p%40;#w@h/d?x=y\n", one("postgresql://u:p%40;#w@h/d?x=y")},
	{"JSON", "[s]\na = {\"k\": \"v\", \"n\": [1]}\n", one(`{"k": "v", "n": [1]}`)},
}

// refused are inputs that do not load: broken, or read differently by ini.v1.
var refused = []struct {
	name, in     string
	at           int
	reason, hint string
}{
	{"continuation of nothing", "[s]\n  x\n", 2, "unexpected continuation", "first column"},
	{"continuation at the start", "  x\n", 1, "unexpected continuation", "first column"},
	{"indented key", "[s]\n  a = 1\n", 2, "unexpected continuation", "first column"},
	{"continuation after a comment", "[s]\na = 1\n# c\n  2\n", 4, "unexpected continuation", "directly below"},
	{"continuation after an empty line", "[s]\na = 1\n\n  2\n", 4, "unexpected continuation", "directly below"},
	{"continuation after a line of blanks", "[s]\na = 1\n  \n  2\n", 4, "unexpected continuation", "directly below"},
	{"indented comment", "[s]\n  # c\n", 2, "unexpected continuation", "first column"},
	{"section not closed", "[s\na = 1\n", 1, "must end with ]", "own"},
	{"text after a section", "[s] # c\n", 1, "must end with ]", "own"},
	{"section without a name", "[]\n", 1, "no name", "[DEFAULT]"},
	{"no separator", "[s]\nabc\n", 2, "neither = nor :", "option = value"},
	{"empty key", "[s]\n= 1\n", 2, "no option name", "option = value"},
	{"empty key before a colon", "[s]\n: 1\n", 2, "no option name", "option = value"},
	{"key before a section", "a = 1\n[s]\n", 1, "before the first section", "[DEFAULT]"},
	{"BOM", "\ufeff[s]\na = 1\n", 1, "byte order mark", "without BOM"},
	{"UTF-16", "\xff\xfe[\x00", 1, "byte order mark", "UTF-8"},
	{"not UTF-8", "[s]\na = \xe4\n", 2, "not UTF-8", "UTF-8"},
	{"NUL", "[s]\na = \x00\n", 2, "control character", "delete"},
	{"lone CR", "[s]\na = 1\rb = 2\n", 2, "control character", "CRLF"},
	{"form feed", "[s]\n\fa = 1\n", 2, "control character", "delete"},
	{"no-break space before a section", "[s]\n\u00a0[t]\n", 2, "no-break space", "delete"},
	{"no-break space before a comment", "[s]\na = 1\n\u00a0# c = 1\n", 3, "no-break space", "delete"},
	{"no-break space before a key", "[s]\n\u2003a = 1\n", 2, "no-break space", "delete"},
	{"key is a dash", "[s]\n- = 1\n", 2, "not an option name", "name"},
	{"key in double quotes", "[s]\n\"a\" = 1\n", 2, "cannot be in quotes", "leave"},
	{"key in backticks", "[s]\n`a` = 1\n", 2, "cannot be in quotes", "leave"},
	{"open backtick", "[s]\na = `x\n", 2, "backtick", "double quotes"},
	{"backticks", "[s]\na = `x`\n", 2, "backtick", "double quotes"},
	{"open triple quote", "[s]\na = \"\"\"x\n", 2, `"""`, "leave the quotes out"},
	{"triple quotes", "[s]\na = \"\"\"x\"\"\"\n", 2, `"""`, "leave the quotes out"},
	{"lone double quote", "[s]\na = \"\n", 2, "single quote character", "two quotes"},
	{"lone single quote", "[s]\na = '\n", 2, "single quote character", "two quotes"},
	{"two quoted items", "[s]\na = \"x\", \"y\"\n", 2, "more of them inside", "outer quotes"},
	{"two quoted items, no blank", "[s]\na = \"x\",\"y\"\n", 2, "more of them inside", "outer quotes"},
	{"two quoted words", "[s]\na = 'x' 'y'\n", 2, "more of them inside", "outer quotes"},
	{"continuation of quotes", "[s]\na = \"x\"\n  y\n", 3, "cannot be continued", "quotes"},
	{"empty after a value", "[s]\na = 1\na =\n", 3, "set to nothing", "delete"},
	{"empty before a value", "[s]\na =\na = 1\n", 2, "set to nothing", "delete"},
	{"empty item of a multi option", "[s]\na = 1\na =\na = 2\n", 3, "set to nothing", "delete"},
	{"empty quotes beside a value", "[s]\na = 1\na = \"\"\n", 3, "set to nothing", "delete"},
}

func TestGrammarAccepts(t *testing.T) {
	for _, tc := range accepted {
		t.Run(tc.name, func(t *testing.T) {
			entries, _, problems := load(file{"f", []byte(tc.in)})
			if len(problems) > 0 {
				t.Fatalf("refused: %v", join(problems))
			}
			var got []line
			for _, e := range entries {
				got = append(got, line{e.line, e.section, e.key, e.value})
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(line{})); diff != "" {
				t.Errorf("assignments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGrammarRefuses(t *testing.T) {
	for _, tc := range refused {
		t.Run(tc.name, func(t *testing.T) {
			_, _, problems := load(file{"f", []byte(tc.in)})
			if len(problems) != 1 {
				t.Fatalf("%d problems, want 1: %v", len(problems), join(problems))
			}
			p := problems[0]
			if !strings.HasPrefix(p.Error(), fmt.Sprintf("f:%d: ", tc.at)) {
				t.Errorf("place: %v, want f:%d", p, tc.at)
			}
			if !strings.Contains(p.Reason, tc.reason) || !strings.Contains(p.Hint, tc.hint) {
				t.Errorf("%v: want reason %q, hint %q", p, tc.reason, tc.hint)
			}
		})
	}
}

// TestEveryBadLineIsReported shows that a load does not stop at the first one,
// and that one mistake is one problem.
func TestEveryBadLineIsReported(t *testing.T) {
	in := "a = 1\n[s\nb = `x\nc\n  d\n[t]\ne = '\n  f\n  g\nh = 1\ni = \x00\n  j\n"
	_, _, problems := load(file{"f", []byte(in)})
	var got []int
	for _, p := range problems {
		got = append(got, p.Line)
	}
	if want := []int{1, 2, 3, 4, 7, 11}; !cmp.Equal(want, got) {
		t.Errorf("lines %v, want %v: %v", got, want, join(problems))
	}
}

// agree fails unless both readers give the same value for every assignment
// that the scanner accepts.
func agree(t *testing.T, data []byte) {
	t.Helper()
	scanned, _, problems := scan("f", data)
	if len(problems) > 0 {
		return
	}
	loaded, _, problems := load(file{"f", data})
	if len(problems) > 0 {
		t.Fatalf("the scanner accepts what ini.v1 reads differently: %v\n%q", join(problems), data)
	}
	if diff := cmp.Diff(scanned, loaded, cmp.AllowUnexported(entry{}, origin{})); diff != "" {
		t.Fatalf("the readers differ (-scanner +ini.v1):\n%s\n%q", diff, data)
	}
}

func TestReadersAgree(t *testing.T) {
	for _, tc := range accepted {
		agree(t, []byte(tc.in))
	}
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, data)
	}
}

// FuzzReadersAgree looks for lines that the scanner must learn to refuse. What
// it found is kept in testdata/fuzz.
func FuzzReadersAgree(f *testing.F) {
	for _, tc := range accepted {
		if len(tc.in) < 1000 {
			f.Add([]byte(tc.in))
		}
	}
	for _, tc := range refused {
		f.Add([]byte(tc.in))
	}
	f.Fuzz(agree)
}
