package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// width is that of the frame around a title.
const width = 72

// String returns the report as text.
func (r Report) String() string {
	var b strings.Builder
	r.write(&b)
	return b.String()
}

func (r Report) write(b *strings.Builder) {
	frame(b, "Guru Meditation")
	b.WriteString(strings.Repeat("|", width) + "\n")
	fmt.Fprintf(b, "subject = %s\ntrigger = %s\nat = %s\n\n\n", r.Subject, r.Trigger, r.At.Format(time.RFC3339Nano))
	for _, s := range r.Sections {
		s.write(b)
	}
	for _, p := range r.Processes {
		p.write(b)
	}
}

// frame writes a title as Guru Meditation does.
func frame(b *strings.Builder, title string) {
	line := strings.Repeat("=", width)
	left := max(0, (width-8-len(title))/2)
	fmt.Fprintf(b, "%s\n====%-64s====\n%s\n", line, strings.Repeat(" ", left)+title, line)
}

func (s Section) write(b *strings.Builder) {
	frame(b, s.Title)
	if s.Error != "" {
		fmt.Fprintf(b, "error = %s\n", oneLine(s.Error))
	}
	for _, f := range s.Fields {
		fmt.Fprintf(b, "%s = %s\n", f.Name, oneLine(f.Value))
	}
	for _, t := range s.Tables {
		t.write(b)
	}
	if s.Text != "" {
		b.WriteString(s.Text)
		if !strings.HasSuffix(s.Text, "\n") {
			b.WriteByte('\n')
		}
	}
	b.WriteString("\n\n")
}

// write writes the table as indented columns.
func (t Table) write(b *strings.Builder) {
	indent := ""
	if t.Title != "" {
		b.WriteString(t.Title + ":\n")
		indent = "  "
	}
	if len(t.Rows) == 0 {
		b.WriteString(indent + "none\n")
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		fmt.Fprintf(w, "%s%s\n", indent, oneLine(strings.Join(row, "\t")))
	}
	_ = w.Flush() // into memory
}

// oneLine keeps a value from looking like the next ones.
func oneLine(s string) string { return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", `\n`) }
