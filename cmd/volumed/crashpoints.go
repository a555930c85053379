package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/supervisor/lifeline"
)

func crashPointsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "crash-points", Args: cobra.NoArgs, Hidden: !crashpoint.Enabled,
		Short: "List the points at which VOLUMED_CRASH_AT makes a process kill itself",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !crashpoint.Enabled {
				return &exitError{lifeline.ExitUsage, fault.New(fault.Unsupported,
					"this volumed was built without crash points: make build TAGS=crashpoints")}
			}
			for _, name := range crashpoint.List() {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
}
