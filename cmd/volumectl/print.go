package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table is what a person sees.
type table struct {
	head []string
	rows [][]string
}

// print writes doc as JSON, or the tables, as -o says.
func (a *app) print(doc any, tables ...table) error {
	if a.format == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	for i, t := range tables {
		if i > 0 && len(t.rows) > 0 {
			fmt.Fprintln(a.stdout)
		}
		if err := a.printTable(t); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printTable(t table) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	if len(t.head) > 0 {
		fmt.Fprintln(w, strings.Join(t.head, "\t"))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			row[i] = or(escape(cell), "-")
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// pair is a row of a table with one thing in it.
func pair(name string, value any) []string { return []string{name, fmt.Sprint(value)} }

// escape returns s with everything that a terminal might act on, or that
// does not show, written as a Go escape.
func escape(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// hidden reports whether a rune is not to be shown as it is. Control characters
// and those that turn the direction of writing are not printable.
func hidden(r rune) bool { return !unicode.IsPrint(r) }

// stamp returns a time for a table: UTC, to the second.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func or(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}
