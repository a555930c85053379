package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
)

// choice is a flag with a few allowed values, the first of which is the default.
type choice struct {
	to      *string
	allowed []string
}

func newChoice(to *string, allowed ...string) *choice {
	*to = allowed[0]
	return &choice{to, allowed}
}

func (c *choice) String() string { return *c.to }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be %s", strings.Join(c.allowed, " or "))
	}
	*c.to = s
	return nil
}

// change holds the flags of every verb that changes something.
type change struct {
	wait      time.Duration
	requestID string
	// named tells that the id came from the command line, so that this may
	// be a repetition.
	named bool
}

// defaultWait is the value of --wait.
const defaultWait = 30 * time.Second

func (c *change) add(cmd *cobra.Command) *cobra.Command { return c.addWaiting(cmd, defaultWait) }

// addWaiting is add with another value of --wait.
func (c *change) addWaiting(cmd *cobra.Command, wait time.Duration) *cobra.Command {
	cmd.Flags().DurationVar(&c.wait, "wait", wait, "how long to wait for the end; 0: until accepted")
	cmd.Flags().StringVar(&c.requestID, "request-id", "", "id under which the request can be repeated without being done twice")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if c.wait < 0 || c.wait > rpc.MaxWait {
			return fmt.Errorf("--wait must be 0s to %s", rpc.MaxWait)
		}
		c.named = c.requestID != ""
		if !c.named {
			c.requestID = uuid.NewString()
		}
		return nil
	}
	return cmd
}

// list holds the flags of every verb that lists.
type list struct{ limit int }

func (l *list) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().IntVar(&l.limit, "limit", 0, "at most so many entries; 0: all")
	cmd.Args = cobra.NoArgs
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if l.limit < 0 {
			return fmt.Errorf("--limit must not be negative")
		}
		return nil
	}
	return cmd
}

// page returns the first page to ask for.
func (l *list) page() rpc.Page {
	return rpc.Page{Limit: min(rpc.MaxPage, l.limit)}
}
