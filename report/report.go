package report

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Limit is how long a section may take. The sum of a report is little more, which
// is less than the five seconds that who asks for one waits.
const Limit = 4 * time.Second

// Report tells of one process.
type Report struct {
	Subject  string    `json:"subject"` // what the process is: a backend, parent
	Trigger  string    `json:"trigger"` // why it was made
	At       time.Time `json:"at"`      // when, in UTC
	Sections []Section `json:"sections"`
	// Processes are the reports about others that this one has gathered.
	Processes []Report `json:"processes,omitempty"`
}

// Section is one part of it, its content in this order.
type Section struct {
	Title  string  `json:"title"`
	Error  string  `json:"error,omitempty"` // why there is nothing, or not more
	Fields []Field `json:"fields,omitempty"`
	Tables []Table `json:"tables,omitempty"`
	Text   string  `json:"text,omitempty"`
}

// Field is one value.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Table is a list of values with the same names.
type Table struct {
	Title   string     `json:"title,omitempty"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Add adds a field. Values are printed as fmt.Print does, times in RFC 3339, and
// empty ones as -.
func (s *Section) Add(name string, value any) {
	s.Fields = append(s.Fields, Field{name, Print(value)})
}

// Row adds a row to the table, its values printed as those of fields.
func (t *Table) Row(values ...any) {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = Print(v)
	}
	t.Rows = append(t.Rows, row)
}

// Print returns a value as reports show it.
func Print(value any) string {
	var text string
	switch v := value.(type) {
	case time.Time:
		if !v.IsZero() {
			text = v.UTC().Format("2006-01-02T15:04:05.000Z")
		}
	case time.Duration:
		text = round(v).String()
	case []string:
		text = strings.Join(v, ", ")
	case nil:
	default:
		text = fmt.Sprint(v)
	}
	if text == "" {
		return "-"
	}
	return text
}

// round leaves of a duration what people read.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	default:
		return d.Round(time.Microsecond)
	}
}

// Age returns how long ago that was, for Add and Row; nothing for the zero time.
func Age(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return time.Since(at)
}

// Source makes one section. Its ctx ends when its time is over.
type Source struct {
	Title string
	Make  func(ctx context.Context) (Section, error)
}

// Build makes a report. It takes as long as the slowest source, but no longer than
// ctx and Limit allow; a source that is not done then is left behind.
func Build(ctx context.Context, subject, trigger string, sources ...Source) Report {
	r := Report{Subject: subject, Trigger: trigger, At: time.Now().UTC(), Sections: make([]Section, len(sources))}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	var all sync.WaitGroup
	for i, src := range sources {
		all.Go(func() { r.Sections[i] = src.section(ctx) })
	}
	all.Wait()
	return r
}

// section runs the source until it is done, or its time is over.
func (s Source) section(ctx context.Context) Section {
	began := time.Now()
	done := make(chan Section, 1)
	go func() {
		var made Section
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			if err != nil {
				made.Error = err.Error()
			}
			made.Title = s.Title
			done <- made
		}()
		made, err = s.Make(ctx)
	}()
	select {
	case made := <-done:
		return made
	case <-ctx.Done():
	}
	select {
	case made := <-done: // it heard that its time is over
		return made
	case <-time.After(graceToHear):
		return Section{Title: s.Title, Error: fmt.Sprintf("not done after %s: what it asks hangs", round(time.Since(began)))}
	}
}

// graceToHear is how long a source has to return what it has when its time is over.
const graceToHear = 100 * time.Millisecond

// Mask puts every value and every line through a function that hides secrets.
func (r *Report) Mask(mask func(string) string) {
	r.Trigger = mask(r.Trigger)
	for i := range r.Sections {
		r.Sections[i].mask(mask)
	}
	for i := range r.Processes {
		r.Processes[i].Mask(mask)
	}
}

func (s *Section) mask(mask func(string) string) {
	s.Error = mask(s.Error)
	for i := range s.Fields {
		s.Fields[i].Value = mask(s.Fields[i].Value)
	}
	for _, t := range s.Tables {
		for _, row := range t.Rows {
			for i := range row {
				row[i] = mask(row[i])
			}
		}
	}
	var b strings.Builder
	for line := range strings.Lines(s.Text) {
		b.WriteString(mask(line))
	}
	s.Text = b.String()
}
