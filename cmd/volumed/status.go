package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

func (o *operator) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		Short: "Show the processes of the service on this host",
		Long: `status shows what runs on this host, what does not and why.

Exit code: 0 all backends are ready, 1 some are not, 3 no supervisor runs.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.status(cmd.Context()) },
	}
}

func (o *operator) status(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var s serviceStatus
	if err := o.ask(ctx, http.MethodGet, pathStatus, nil, &s); err != nil {
		return err
	}
	if o.format == "json" {
		if err := o.printJSON(s); err != nil {
			return err
		}
	} else {
		o.printStatus(s)
	}
	for _, c := range s.Children {
		if c.Role == supervisor.Worker && c.State != lifeline.Ready {
			return &exitError{code: lifeline.ExitError}
		}
	}
	return nil
}

// answerTimeout bounds the wait for commands that are answered at once.
const answerTimeout = 10 * time.Second

func (o *operator) printStatus(s serviceStatus) {
	fmt.Fprintf(o.out, "volumed %s, pid %d\n", s.Version, s.PID)
	w := tabwriter.NewWriter(o.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tFOR\tPID\tGEN\tRESTARTS\tHEARTBEAT\tIN FLIGHT\tREASON")
	for _, c := range s.Children {
		fmt.Fprintln(w, strings.Join(c.row(), "\t"))
		if n := c.Replacement; n != nil {
			fmt.Fprintf(w, "  next\t%s\t%s\t%d\t%d\t\t\t\t%s\n", n.State, age(n.Since), n.PID, n.Generation, n.Reason)
		}
	}
	w.Flush()
	for _, c := range s.Children {
		if e := c.LastExit; e != nil && c.Role != supervisor.OneShot {
			fmt.Fprintf(o.out, "%s: pid %d ended %s ago: %s\n", c.Name, e.PID, age(e.At), e.Reason)
		}
		if len(c.Pending) > 0 {
			fmt.Fprintf(o.out, "%s: not in effect: %s; volumed restart %s, or restart the service where it says so below\n", c.Name, strings.Join(c.Pending, ", "), c.Name)
		}
		if c.Silent != "" {
			fmt.Fprintf(o.out, "%s: pid %d tells nothing of itself: %s\n", c.Name, c.PID, c.Silent)
		}
	}
	if len(s.Pending) > 0 {
		fmt.Fprintf(o.out, "not in effect until a restart of the service: %s\n", strings.Join(s.Pending, ", "))
	}
}

func (c childStatus) row() []string {
	dash := func(shown bool, text string) string {
		if !shown {
			return "-"
		}
		return text
	}
	state := string(c.State)
	if c.CrashLoop {
		state += " (crash loop)"
	}
	reason := c.Reason
	if !c.NextStart.IsZero() {
		reason = strings.TrimSpace(fmt.Sprintf("%s; next start in %s", reason, max(0, -age(c.NextStart))))
	}
	return []string{
		c.Name, state, age(c.Since).String(), dash(c.PID != 0, strconv.Itoa(c.PID)), strconv.Itoa(c.Generation), strconv.Itoa(c.Restarts),
		dash(c.HeartbeatAge > 0, fmt.Sprintf("%.1fs ago", c.HeartbeatAge)), dash(c.Host != "", strconv.Itoa(c.InFlight)), dash(reason != "", reason),
	}
}
