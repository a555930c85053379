package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
)

// version is set by the build.
var version = "0.0.0-dev"

// busFile is where the embedded bus of the default state_path tells its address.
const busFile = "/var/lib/volumed/bus.url"

// patience is how long an answer may take beyond the wait that was asked for.
const patience = 15 * time.Second

// app is one run of the program.
type app struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	busFile        string

	nats, format, project, user string

	started bool // a verb runs: errors from here on are no usage errors
	conn    *rpc.Conn
	client  *rpc.Client
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{stdout: stdout, stderr: stderr, getenv: getenv, busFile: busFile}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if a.conn != nil {
		a.conn.Close()
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "volumectl", Short: "Manage volumes of volumed",
		Long: `Manage volumes of volumed.

The service is reached over NATS, at the address of --nats, else of NATS_URL, else
of ` + a.busFile + `, which the embedded bus writes. NATS_CREDS, NATS_NKEY,
NATS_CA, NATS_CERT and NATS_KEY name files with credentials where they are needed.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nobody answers, 4 still running at
the end of the wait.`,
		Version: version, SilenceErrors: true, SilenceUsage: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.nats, "nats", "", "address of the NATS server")
	flags.VarP(newChoice(&a.format, "table", "json"), "output", "o", "output: table or json")
	flags.StringVar(&a.project, "project", "", "project that the request is made for")
	flags.StringVar(&a.user, "user", "", "user that the request is made for")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(a.serviceNoun(), a.backendNoun(), a.typeNoun(), a.volumeNoun(), a.snapshotNoun(), a.attachmentNoun(), a.imageNoun(), a.operationNoun(), a.auditNoun())
	root.AddCommand(manualCommand())
	return root
}

// noun is a command that only holds verbs.
func noun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("which verb? see volumectl " + name + " --help")
		}
		var names []string
		for _, v := range cmd.Commands() {
			names = append(names, v.Name())
		}
		return fmt.Errorf("%s has no verb %q; there are: %s", name, args[0], strings.Join(names, ", "))
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// verb returns the body of a command: it connects, then runs fn.
func (a *app) verb(fn func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		if err := a.connect(cmd.Context()); err != nil {
			return err
		}
		return fn(cmd.Context(), args)
	}
}

// read is verb for what only reads, which is over soon or never.
func (a *app) read(fn func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return a.verb(func(ctx context.Context, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return fn(ctx, args)
	})
}

func (a *app) connect(ctx context.Context) error {
	address, err := a.address()
	if err != nil {
		return err
	}
	a.conn, err = rpc.Connect(ctx, rpc.ConnConfig{
		URL: address, Name: "volumectl", FailFast: true,
		Creds: a.getenv("NATS_CREDS"), NKey: a.getenv("NATS_NKEY"),
		TLSCA: a.getenv("NATS_CA"), TLSCert: a.getenv("NATS_CERT"), TLSKey: a.getenv("NATS_KEY"),
	}, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	a.client = rpc.NewClient(a.conn, rpc.Options{Project: a.project, User: a.user, Timeout: 3 * time.Second})
	return nil
}

// address finds the address of the NATS server.
func (a *app) address() (string, error) {
	if a.nats != "" {
		return a.nats, nil
	}
	if url := a.getenv("NATS_URL"); url != "" {
		return url, nil
	}
	text, err := os.ReadFile(a.busFile)
	switch {
	case err == nil:
		return strings.TrimSpace(string(text)), nil
	case errors.Is(err, fs.ErrPermission):
		return "", &exitError{exitNobody, fault.New(fault.Unavailable, "%s is for the user of the service only", a.busFile).
			WithHint("run volumectl as that user, or give an address with --nats or NATS_URL")}
	default:
		return "", &exitError{exitNobody, fault.New(fault.Unavailable, "no address of a NATS server: %w", err).
			WithHint("start volumed, or give an address with --nats or NATS_URL")}
	}
}
