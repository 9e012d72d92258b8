package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"onhand/schemas"
	"onhand/topics"
)

const graphHelp = `
A graph file is YAML or JSON:

  locations:
    - {externalReference: NJ-1, name: New Jersey, locationType: WAREHOUSE}
    - {externalReference: NY-2}
    - {externalReference: SHOWROOM, inventoryLocation: false}
  groups:
    - {externalReference: US-EAST, locations: [NJ-1, NY-2]}

name is the reference by default; inventoryLocation, enabled and sync are true. References have 2 to 128
letters, digits, _ and -, and are unique over locations and groups.`

func newGraphCommand(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "graph",
		Short: "Plan, publish and show the location graph",
		Long: `Plan, publish and show the location graph: which locations there are, and which groups add them up. A published
graph is a version; tasks adopt a new one while traffic flows.
` + graphHelp,
	}, newGraphPlanCommand(a), newGraphPublishCommand(a), newGraphShowCommand(a), newGraphStatusCommand(a))
}

// checkGraphFile reads a file and refuses a graph that breaks a rule, each with a sentence.
func (a *app) checkGraphFile(path string, single bool) (schemas.LocationGraph, error) {
	g, err := a.readGraphFile(path)
	if err != nil {
		return g, err
	}
	spec := topics.GraphSpec(&g)
	err = spec.Validate()
	if single && (len(g.Locations) > 1 || len(g.Groups) > 1) {
		err = errors.Join(err, fmt.Errorf("the graph has %s and %s; --single allows one of each", plural(len(g.Locations), "location"), plural(len(g.Groups), "group")))
	}
	if err != nil {
		return g, hinted(fmt.Errorf("the graph in %s breaks these rules:\n%w", path, err), "correct the file; nothing was published")
	}
	return g, nil
}

func addSingleFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("single", false, "refuse more than one location and one group, as tiers of Omnichannel Inventory do")
}

func newGraphPlanCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what publishing a graph file would change",
		Long: `Show how a graph file (- for standard input) differs from the published version: places, their fields, memberships. With
--levels, also how many SKUs would be recomputed, which levels move, and which promises to groups would break.
` + graphHelp,
		Example: `  onhand graph plan graph.yaml --levels
  onhand graph plan --json - < graph.json`,
		Args: arguments("FILE"),
	}
	levels := cmd.Flags().Bool("levels", false, "compute the levels of every SKU with the file; this reads all of Redis")
	single := addSingleFlag(cmd)
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		g, err := a.checkGraphFile(args[0], *single)
		if err != nil {
			return err
		}
		w, err := a.connect(cmd.Context(), c.Config)
		if err != nil {
			return err
		}
		defer w.close()
		before, err := w.graph(cmd.Context())
		if err != nil {
			return err
		}
		d := diffGraphs(&before.record, &g)
		var moved *levelsDiff
		if *levels {
			if moved, err = a.diffLevels(cmd.Context(), w, before, g); err != nil {
				return err
			}
		}
		if *asJSON {
			return printJSON(a.out, struct {
				*graphDiff
				Levels *levelsDiff `json:"levels,omitempty"`
			}{d, moved})
		}
		d.print(a.out)
		if moved != nil {
			return moved.print(a.out)
		}
		return nil
	}
	return cmd
}

func newGraphShowCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the published graph as a file",
		Long: `Print the published location graph as a YAML file that can be edited and published again. With --json, print the
record of location-graph as it is, with version, publishedAt and the version in which each location joined.`,
		Example: "  onhand graph show > graph.yaml",
		Args:    arguments(),
	}
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		w, err := a.connect(cmd.Context(), c.Config)
		if err != nil {
			return err
		}
		defer w.close()
		if _, err := w.requireGraph(cmd.Context()); err != nil {
			return err
		}
		newest, err := w.graph(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, newest.record)
		}
		text, err := yaml.Marshal(fileOf(&newest.record))
		if err != nil {
			return fmt.Errorf("printing the graph: %w", err)
		}
		fmt.Fprintf(a.out, "# version %d, published %s\n%s", newest.record.Version, newest.record.PublishedAt, text)
		return nil
	}
	return cmd
}

func newGraphStatusCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which version each task has adopted",
		Long: `Show which version of the location graph each task has adopted, and how far the sweep is that recomputes the SKUs
no event has touched since. Levels of touched SKUs are right from the adoption on.`,
		Example: "  onhand graph status --watch",
		Args:    arguments(),
	}
	watch := cmd.Flags().Bool("watch", false, "repeat every second until every task has swept")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		w, err := a.connect(cmd.Context(), c.Config)
		if err != nil {
			return err
		}
		defer w.close()
		for {
			done, err := a.graphStatus(cmd.Context(), w, *asJSON)
			if err != nil || done || !*watch {
				return err
			}
			if err := sleep(cmd.Context(), time.Second); err != nil {
				return err
			}
		}
	}
	return cmd
}

// graphStatus prints once, and says whether every task has swept.
func (a *app) graphStatus(ctx context.Context, w *wire, asJSON bool) (done bool, err error) {
	newest, err := w.graph(ctx)
	if err != nil {
		return false, err
	}
	state, err := w.group(ctx)
	if err != nil {
		return false, err
	}
	version := newest.spec.Version
	adopted := state.count(func(t *taskState) bool { return t.adopted(version) })
	swept := state.count(func(t *taskState) bool { return t.swept(version) })
	done = swept == len(state.Tasks)
	if asJSON {
		return done, printJSON(a.out, struct {
			Version int64 `json:"version"`
			Adopted int   `json:"adopted"` // tasks
			Swept   int   `json:"swept"`
			*groupState
		}{version, adopted, swept, state})
	}
	t := newTable(">TASK", "MEMBER", ">VERSION", "SWEEP")
	for _, task := range state.Tasks {
		t.add(task.Task, orDash(task.Member), task.GraphVersion, sweepText(&task, version))
	}
	if err := t.print(a.out); err != nil {
		return false, err
	}
	fmt.Fprintf(a.out, "version %d: adopted by %d of %d tasks, swept by %d\n", version, adopted, len(state.Tasks), swept)
	if state.Members == 0 {
		fmt.Fprintln(a.err, "no processor runs; start one with `onhand run`")
	} else if late := state.whose(func(t *taskState) bool { return !t.adopted(version) }); late != "" {
		fmt.Fprintf(a.err, "not adopted by %s; `onhand status` says how they are\n", late)
	}
	return done, nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
