// Package manual makes the manual pages of a program from its tree of commands,
// so that they say what --help says.
package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Program is what the pages of a program have in common.
type Program struct {
	// Section is 1, or 8 for what only an administrator runs.
	Section int
	Version string
	// SeeAlso names further pages, such as volumed.conf(5).
	SeeAlso []string
}

// Command returns a hidden command that writes the pages of the program that it
// is part of, one for each command, and the pages given, below a directory.
func Command(p Program, pages ...func() *Page) *cobra.Command {
	return &cobra.Command{
		Use: "manual DIR", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Write the manual pages below a directory, as the packages have them",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, page := range pages {
				if err := page().Write(args[0]); err != nil {
					return err
				}
			}
			return p.write(cmd.Root(), args[0])
		},
	}
}

// write writes the pages of a command and of those below it.
func (p Program) write(cmd *cobra.Command, dir string) error {
	if err := p.page(cmd).Write(dir); err != nil {
		return err
	}
	for _, sub := range shown(cmd) {
		if err := p.write(sub, dir); err != nil {
			return err
		}
	}
	return nil
}

// shown are the commands below cmd that have pages: those of its --help, but for
// completion, whose output comes with the packages.
func shown(cmd *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" {
			list = append(list, sub)
		}
	}
	return list
}

func (p Program) page(cmd *cobra.Command) *Page {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	page := NewPage(pageName(cmd), p.Section, cmd.Short, strings.TrimSpace(cmd.Root().Name()+" "+p.Version))
	page.Heading("SYNOPSIS")
	page.Text("`" + cmd.UseLine() + "`")
	if len(shown(cmd)) > 0 {
		page.Text("`" + cmd.CommandPath() + "` COMMAND …")
	}
	page.Heading("DESCRIPTION")
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	page.Text(text)
	p.commands(page, cmd)
	flags(page, "OPTIONS", cmd.NonInheritedFlags())
	flags(page, "OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	page.Heading("SEE ALSO")
	page.Text(strings.Join(p.seeAlso(cmd), ", "))
	return page
}

// pageName is the name of a command's page, such as volumectl-volume-create.
func pageName(cmd *cobra.Command) string {
	return strings.ReplaceAll(cmd.CommandPath(), " ", "-")
}

func (p Program) reference(cmd *cobra.Command) string {
	return fmt.Sprintf("`%s`(%d)", pageName(cmd), p.Section)
}

func (p Program) commands(page *Page, cmd *cobra.Command) {
	for i, sub := range shown(cmd) {
		if i == 0 {
			page.Heading("COMMANDS")
		}
		page.Item(p.reference(sub), sub.Short)
	}
}

func (p Program) seeAlso(cmd *cobra.Command) []string {
	var list []string
	if cmd.HasParent() {
		list = append(list, p.reference(cmd.Parent()))
	}
	for _, sub := range shown(cmd) {
		list = append(list, p.reference(sub))
	}
	return append(list, p.SeeAlso...)
}

func flags(page *Page, title string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	page.Heading(title)
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			page.Item(flagTerm(f), flagText(f))
		}
	})
}

func flagTerm(f *pflag.Flag) string {
	term := "`--" + f.Name + "`"
	if f.Shorthand != "" {
		term = "`-" + f.Shorthand + "`, " + term
	}
	if value, _ := pflag.UnquoteUsage(f); value != "" {
		term += " " + value
	}
	return term
}

func flagText(f *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(f)
	switch f.DefValue {
	case "", "0", "false", "[]":
		return usage
	}
	return fmt.Sprintf("%s (default: %s)", usage, f.DefValue)
}
