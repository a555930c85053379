package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Page is one manual page, written from the top downwards.
type Page struct {
	name    string
	section int
	roff    strings.Builder
}

// NewPage begins the page name(section). Short says what it is about, in half a
// sentence; source is the program with its version, for the foot.
func NewPage(name string, section int, short, source string) *Page {
	p := &Page{name: name, section: section}
	fmt.Fprintf(&p.roff, ".TH \"%s\" %d \"\" \"%s\"\n", strings.ToUpper(name), section, source)
	p.Heading("NAME")
	fmt.Fprintf(&p.roff, "%s \\- %s\n", escape(name), escape(short))
	return p
}

// Heading begins a section of the page. Titles are in capitals as a rule.
func (p *Page) Heading(title string) {
	fmt.Fprintf(&p.roff, ".SH \"%s\"\n", title)
}

// Text adds paragraphs, which an empty line separates. Lines are filled anew,
// but for paragraphs that are indented, such as examples. Words between
// backticks are literal.
func (p *Page) Text(text string) {
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, " ") {
			fmt.Fprintf(&p.roff, ".PP\n.nf\n%s\n.fi\n", lines(paragraph))
		} else {
			fmt.Fprintf(&p.roff, ".PP\n%s\n", lines(paragraph))
		}
	}
}

// Item adds a term with what there is to say about it. Words between backticks
// are literal.
func (p *Page) Item(term, text string) {
	fmt.Fprintf(&p.roff, ".TP\n%s\n%s\n", lines(term), lines(text))
}

// Write writes the page to its file below dir, such as dir/man8/volumed.8.
func (p *Page) Write(dir string) error {
	dir = filepath.Join(dir, fmt.Sprintf("man%d", p.section))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s.%d", p.name, p.section))
	return os.WriteFile(file, []byte(p.roff.String()), 0o644)
}

var literal = regexp.MustCompile("`([^`]*)`")

// lines returns text for the body of a page: no line is taken for a request.
func lines(text string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range all {
		line = literal.ReplaceAllString(escape(line), `\fB$1\fR`)
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		all[i] = line
	}
	return strings.Join(all, "\n")
}

// escape keeps backslashes, and hyphens that somebody may copy into a shell.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
}
