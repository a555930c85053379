package main

import (
	"github.com/spf13/cobra"

	"github.com/volumed/volumed/internal/manual"
)

func manualCommand() *cobra.Command {
	return manual.Command(manual.Program{Section: 1, Version: version, SeeAlso: []string{"`volumed`(8)"}})
}
