package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one call of onhand: its streams, its environment, and what its flags said.
type app struct {
	in      io.Reader
	out     io.Writer // results alone, so that they can be piped
	err     io.Writer // progress, notes and errors
	environ []string

	configPath string
}

// run parses the arguments, without the program's name, runs the command they name and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	err = a.nameRights(ctx, command, err)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = errors.New(oneSentence(err)) // nobody has interrupted it: something within gave up
	}
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") {
		err = hinted(&usageError{err}, "`onhand help` lists the commands")
	}
	return report(a.err, err)
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "onhand",
		Short: "Keep omnichannel availability true while stock moves",
		Long: `onhand applies stock deltas and reservations to location balances, recomputes every location group
they affect, and publishes versioned availability to the topic that storefront caches follow.

Settings come from flags, from ONHAND_… variables, from a YAML file (--config) and from defaults, in this
order. "onhand config print" shows them all and where each comes from.`,
		Example: `  onhand topics apply && onhand schemas register
  onhand graph publish graph.yaml
  onhand run
  onhand import feed.ndjson.gz
  onhand get SHIRT-M-BLUE`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hinted(&usageError{flagError(cmd, err)}, fmt.Sprintf("`%s --help` lists the flags", cmd.CommandPath()))
	})
	root.SetUsageFunc(a.usageOf())
	flags := root.PersistentFlags()
	flags.SortFlags, root.Flags().SortFlags = false, false
	flags.StringVar(&a.configPath, "config", "", "YAML `file` with settings (variable ONHAND_CONFIG)")
	for _, s := range settings {
		if !s.run && !s.secret {
			addSettingFlag(flags, s)
		}
	}
	root.AddGroup(&cobra.Group{ID: groupSetup, Title: "Set up:"}, &cobra.Group{ID: groupWork, Title: "Work:"}, &cobra.Group{ID: groupLook, Title: "Look:"})
	root.SetHelpCommandGroupID(groupLook)
	root.SetCompletionCommandGroupID(groupLook)
	root.AddCommand(commands(a)...)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	// cobra would add them at the call; whoever walks the tree before shall find them.
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// The groups of commands in the help.
const (
	groupSetup = "setup"
	groupWork  = "work"
	groupLook  = "look"
)

// grouped puts commands into a group of the help.
func grouped(group string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = group
	}
	return commands
}

// addSettingFlag makes the flag of a setting. Its value is read by loadConfig, with those of the other sources.
func addSettingFlag(flags *pflag.FlagSet, s setting) {
	usage := fmt.Sprintf("%s: %s (%s)", s.effect, s.bounds, s.variable())
	if _, ok := s.value(&Config{}).(boolValue); ok {
		flags.Bool(s.flag(), s.fallback == "true", usage)
		return
	}
	flags.String(s.flag(), s.fallback, usage)
}

// addRunFlags makes the flags of the settings that only the processor uses.
func addRunFlags(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	for _, s := range settings {
		if s.run && !s.secret {
			addSettingFlag(cmd.Flags(), s)
		}
	}
}

// config reads the settings for a command.
func (a *app) config(cmd *cobra.Command) (*sourced, error) {
	given := make(map[string]string)
	for _, s := range settings {
		if f := cmd.Flags().Lookup(s.flag()); f != nil && f.Changed && !s.secret {
			given[s.key] = f.Value.String()
		}
	}
	return loadConfig(a.configPath, a.environ, given)
}

// logger writes to standard error, as the settings ask.
func (a *app) logger(c *Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.level()}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}

// quietLogger is for commands that print their own errors: it writes only what the operator asked for with a level below
// the default.
func (a *app) quietLogger(c *Config) *slog.Logger {
	if c.level() < slog.LevelInfo {
		return a.logger(c)
	}
	return slog.New(slog.DiscardHandler)
}

// flagError adds the nearest flag to an error about one that is unknown.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("%w%s", err, didYouMean("--"+unknown.GetSpecifiedName(), names))
}

// arguments makes cobra check that there are as many arguments as names; "…" after the last name means one or more.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "…")
		if len(args) == len(names) || many && len(args) >= len(names) {
			return nil
		}
		wants := "no arguments"
		if len(names) > 0 {
			wants = strings.Join(names, " ")
		}
		return hinted(usagef("%s wants %s, not %d arguments", cmd.CommandPath(), wants, len(args)),
			fmt.Sprintf("`%s --help` shows examples", cmd.CommandPath()))
	}
}

// parent is a command that only has commands below it.
func parent(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	names := make([]string, len(below))
	for i, c := range below {
		names[i] = c.Name()
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return hinted(usagef("%s has no command %q%s", cmd.CommandPath(), args[0], didYouMean(args[0], names)),
			fmt.Sprintf("`%s --help` lists its commands", cmd.CommandPath()))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return hinted(usagef("%s wants a command: %s", cmd.CommandPath(), orList(names)),
			fmt.Sprintf("`%s --help` says what each does", cmd.CommandPath()))
	}
	cmd.AddCommand(below...)
	return cmd
}
