package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"onhand/topics"
)

func newTopicsCommand(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "topics",
		Short: "Compare, create and check the topics of the namespace, and print the rights to them",
		Long: `Compare, create and check the topics of the namespace in Kafka: partition counts, cleanup, retention and
record sizes. Nothing is ever deleted, and no partition count is ever changed.`,
	}, newTopicsPlanCommand(a), newTopicsApplyCommand(a), newTopicsVerifyCommand(a), newTopicsACLCommand(a))
}

// topicsFlags are the flags of the three commands.
type topicsFlags struct {
	partitions  int32
	replication int16
	asJSON      *bool
}

func addTopicsFlags(cmd *cobra.Command) *topicsFlags {
	f := &topicsFlags{}
	cmd.Flags().Int32Var(&f.partitions, "partitions", 0,
		fmt.Sprintf("partitions of every input and output, 1 to 10000; 0: as many as those that exist, else %d", topics.DefaultPartitions))
	cmd.Flags().Int16Var(&f.replication, "replication-factor", 0, "replicas of every partition; 0: the broker's default")
	f.asJSON = addJSONFlag(cmd)
	return f
}

// admin calls what with a connection to Kafka.
func (f *topicsFlags) admin(ctx context.Context, a *app, cmd *cobra.Command, what func(context.Context, *kadm.Client, topics.Settings) error) error {
	c, err := a.config(cmd)
	if err != nil {
		return err
	}
	settings := topics.Settings{Namespace: c.Namespace, Partitions: f.partitions, ReplicationFactor: f.replication}
	if err := settings.Validate(); err != nil {
		return &usageError{err}
	}
	client, err := connectKafka(ctx, c.Config, a.quietLogger(c.Config))
	if err != nil {
		return err
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, 4*requestTimeout)
	defer cancel()
	err = what(asking, kadm.NewClient(client), settings)
	if err == nil || errors.Is(err, errReported) {
		return err
	}
	return explainKafka(c.Config, err)
}

// print writes the differences, one a line.
func (f *topicsFlags) print(w io.Writer, differences []topics.Difference, none string) error {
	if *f.asJSON {
		if differences == nil {
			differences = []topics.Difference{}
		}
		return printJSON(w, differences)
	}
	for _, d := range differences {
		fmt.Fprintln(w, d)
	}
	if len(differences) == 0 {
		fmt.Fprintln(w, none)
	}
	return nil
}

func newTopicsPlanCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "plan",
		Short:   "Show how the topics differ from what they should be",
		Long:    "Show how the topics differ from what they should be, and change nothing.",
		Example: "  onhand topics plan --partitions 64\n  onhand topics plan --json",
		Args:    arguments(),
	}
	f := addTopicsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.admin(cmd.Context(), a, cmd, func(ctx context.Context, admin *kadm.Client, s topics.Settings) error {
			differences, err := topics.Plan(ctx, admin, s)
			if err != nil {
				return err
			}
			return f.print(a.out, differences, "all topics are as they should be")
		})
	}
	return cmd
}

func newTopicsApplyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Create what is missing and correct settings",
		Long: `Create the topics that are missing and correct the settings of those that exist. It may be run again. What
cannot be corrected without losing anything is said, with the way out, and the exit code is 1.`,
		Example: "  onhand topics apply --partitions 64 --replication-factor 3",
		Args:    arguments(),
	}
	f := addTopicsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.admin(cmd.Context(), a, cmd, func(ctx context.Context, admin *kadm.Client, s topics.Settings) error {
			done, err := topics.Apply(ctx, admin, s)
			if *f.asJSON || len(done) > 0 || err == nil {
				if printed := f.print(a.out, done, "all topics are as they should be"); printed != nil {
					return printed
				}
			}
			if len(done) > 0 && !*f.asJSON {
				fmt.Fprintf(a.err, "corrected %s\n", plural(len(done), "difference"))
			}
			return err
		})
	}
	return cmd
}

func newTopicsVerifyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Fail unless the topics are as they should be",
		Long:    "Say every problem of the topics with its way out. The exit code is 0 if there is none, 1 if there are some.",
		Example: "  onhand topics verify && onhand run",
		Args:    arguments(),
	}
	f := addTopicsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.admin(cmd.Context(), a, cmd, func(ctx context.Context, admin *kadm.Client, s topics.Settings) error {
			if !*f.asJSON {
				err := topics.Verify(ctx, admin, s)
				if err == nil {
					fmt.Fprintln(a.out, "all topics are as they should be")
				}
				return err
			}
			differences, err := topics.Plan(ctx, admin, s)
			if err != nil {
				return err
			}
			problems := []topics.Difference{}
			for _, d := range differences {
				if d.Problem() {
					problems = append(problems, d)
				}
			}
			if err := printJSON(a.out, problems); err != nil || len(problems) == 0 {
				return err
			}
			return errReported
		})
	}
	return cmd
}
