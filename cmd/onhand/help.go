package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// helpColumnsMax is how wide the help gets on a wide terminal.
const helpColumnsMax = 110

// usageOf makes the function that prints how a command is called: its example, the commands below it and its flags,
// wrapped at the terminal's width. The flags of all commands stand with the root alone.
func (a *app) usageOf() func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		var b strings.Builder
		if cmd.Runnable() && !cmd.HasSubCommands() {
			fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
		} else {
			fmt.Fprintf(&b, "Usage:\n  %s COMMAND [flags]\n", cmd.CommandPath())
		}
		if cmd.HasExample() {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
		}
		listCommands(&b, cmd)
		columns := min(helpColumnsMax, terminalWidth(a.out))
		if !isTerminal(a.out) {
			columns = helpColumnsMax
		}
		if flags := cmd.LocalFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(&b, "\nFlags:\n%s", flags.FlagUsagesWrapped(columns))
		}
		switch {
		case cmd.HasSubCommands():
			fmt.Fprintf(&b, "\n\"%s COMMAND --help\" says more about a command.\n", cmd.CommandPath())
		case cmd.HasParent():
			fmt.Fprintf(&b, "\nWhere Kafka, the registry and Redis are, and how to log in, say the flags and variables of \"%s help\".\n", cmd.Root().Name())
		}
		if _, err := io.WriteString(cmd.OutOrStderr(), b.String()); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	}
}

// listCommands lists the commands below cmd, by group where there are groups.
func listCommands(b *strings.Builder, cmd *cobra.Command) {
	list := func(title, group string) {
		for _, below := range cmd.Commands() {
			if below.GroupID != group || !below.IsAvailableCommand() && below.Name() != "help" {
				continue
			}
			if title != "" {
				fmt.Fprintf(b, "\n%s\n", title)
				title = ""
			}
			fmt.Fprintf(b, "  %-*s %s\n", cmd.NamePadding(), below.Name(), below.Short)
		}
	}
	for _, g := range cmd.Groups() {
		list(g.Title, g.ID)
	}
	list("Commands:", "")
}
