package main

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func (o *operator) reportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "report [BACKEND]", Args: cobra.MaximumNArgs(1),
		Short: "Tell everything about the running processes",
		Long: `report prints what the supervisor and its workers are doing: their stacks, the
operations in flight and what each waits for, calls into Ceph, connections, options
with their origin, the last lines of the log. With BACKEND it is that of one worker.
Of a worker that hangs it is what the kernel tells. Secrets are masked.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) > 0 {
				query.Set("backend", args[0])
			}
			if o.format == "json" {
				query.Set("format", "json")
			}
			return o.follow(cmd.Context(), func(ctx context.Context) error {
				text, err := o.open(ctx, http.MethodGet, pathReport+"?"+query.Encode())
				if err != nil {
					return err
				}
				defer text.Close()
				_, err = io.Copy(o.out, text)
				return err
			})
		},
	}
}
