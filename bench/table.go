package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table collects the figures; told is how many of its rows were told already.
type table struct {
	rows [][]string
	told int
}

// add adds a row; an empty cell prints as a dash.
func (t *table) add(what, floor, ours, ratio, bar string) {
	row := []string{what, floor, ours, ratio, bar}
	for i, cell := range row {
		if cell == "" {
			row[i] = "–"
		}
	}
	t.rows = append(t.rows, row)
}

// tell writes the rows that are new since the last time, a line each: a run takes
// minutes, and what is known early is of use early.
func (t *table) tell(out io.Writer) {
	for _, row := range t.rows[t.told:] {
		fmt.Fprintf(out, "  %s: %s (floor %s, %s; bar %s)\n", row[0], row[2], row[1], row[3], row[4])
	}
	t.told = len(t.rows)
}

func (t *table) print(out io.Writer) {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WHAT\tFLOOR\tOURS\tRATIO\tBAR")
	for _, row := range t.rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", row[0], row[1], row[2], row[3], row[4])
	}
	_ = tw.Flush()
}

// median returns the middle one; of an even number the lower.
func median[T int | int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

// times adds a row of two durations, ours as a multiple of the floor.
func (t *table) times(what string, floor, ours []time.Duration, bar string) {
	t.add(what, round(median(floor)), round(median(ours)), fmt.Sprintf("%.2f ×", float64(median(ours))/float64(median(floor))), bar)
}

// rates adds a row of two rates per second, ours as a share of the floor.
func (t *table) rates(what string, floor, ours []float64, bar string) {
	t.add(what, fmt.Sprintf("%.0f/s", median(floor)), fmt.Sprintf("%.0f/s", median(ours)),
		fmt.Sprintf("%.0f %%", 100*median(ours)/median(floor)), bar)
}

func round(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
