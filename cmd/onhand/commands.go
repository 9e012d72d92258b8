package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// commands are all commands of onhand, in the order of the help.
func commands(a *app) []*cobra.Command {
	return slices.Concat(
		grouped(groupSetup, newConfigCommand(a)),
		grouped(groupLook, newVersionCommand(a)),
	)
}
