package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/supervisor/lifeline"
)

func (a *app) checkConfigCommand() *cobra.Command {
	var strict bool
	var format string
	cmd := &cobra.Command{
		Use: "check-config", Args: cobra.NoArgs,
		Short: "Report every problem of the configuration, with file and line",
		Long: `check-config reads the configuration as the service would, starts nothing, and
prints every problem with its file and line to stderr. The exit code is 78 when
anything is wrong, be it with one backend only, which would fail alone; warnings
count with --strict only.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--output must be text or json")
			}
			c := a.checkConfig()
			if err := c.print(cmd, format); err != nil {
				return exit(err)
			}
			if c.bad(strict) {
				return &exitError{code: lifeline.ExitConfig}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings make it fail as well")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text, or json: one document on stdout")
	return cmd
}

// configCheck is what check-config found out, in the form of -o json.
type configCheck struct {
	Problems []config.Problem `json:"problems"`
	Backends int              `json:"backends"`  // that are enabled
	CanStart int              `json:"can_start"` // of those
}

// checkConfig reads the configuration. What fails the whole load lets no backend
// start, however good its section is.
func (a *app) checkConfig() configCheck {
	src, err := a.sources()
	if err != nil {
		return configCheck{Problems: []config.Problem{{Reason: err.Error()}}}
	}
	cfg, err := config.Parse(src)
	c := configCheck{Problems: cfg.Problems(), Backends: len(cfg.Backends)}
	for i := range cfg.Backends {
		if err == nil && cfg.Backends[i].Err == nil {
			c.CanStart++
		}
	}
	return c
}

// bad reports whether anything is wrong, warnings being wrong when strict.
func (c configCheck) bad(strict bool) bool {
	return slices.ContainsFunc(c.Problems, func(p config.Problem) bool { return strict || !p.Warning })
}

func (c configCheck) print(cmd *cobra.Command, format string) error {
	if format == "json" {
		c.Problems = append([]config.Problem{}, c.Problems...) // [] rather than null
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	}
	for _, p := range c.Problems {
		text := p.Error()
		if p.Warning {
			text += " (warning)"
		}
		fmt.Fprintln(cmd.ErrOrStderr(), text)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d of %d backends can start\n", c.CanStart, c.Backends)
	return err
}
