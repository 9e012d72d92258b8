package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// publishFlags are the flags of graph publish.
type publishFlags struct {
	noWait, swept, force bool
	expected             int64
	timeout              time.Duration
	single, asJSON       *bool
}

func newGraphPublishCommand(a *app) *cobra.Command {
	f := &publishFlags{}
	cmd := &cobra.Command{
		Use:   "publish FILE",
		Short: "Publish a graph file as the next version",
		Long: `Publish a graph file (- for standard input) as the next version, and wait until every running task has adopted it.
A file that breaks a rule is refused, and so is one when another version is published at the same time.

Removing a location with open reservations, or a group that has promised stock, is refused unless forced; what
is reserved there stays until it is released or fulfilled. This asks Redis.
` + graphHelp,
		Example: `  onhand graph publish graph.yaml
  onhand graph publish graph.yaml --expect-version 7 --no-wait`,
		Args: arguments("FILE"),
	}
	cmd.Flags().BoolVar(&f.noWait, "no-wait", false, "return as soon as the version is published")
	cmd.Flags().BoolVar(&f.swept, "wait-swept", false, "wait until every SKU was recomputed, too")
	cmd.Flags().BoolVar(&f.force, "force", false, "remove places although something is reserved there")
	cmd.Flags().Int64Var(&f.expected, "expect-version", -1, "refuse unless this is the published version, as graph plan showed it; 0: none; -1: any")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long to wait for the tasks, with unit")
	f.single = addSingleFlag(cmd)
	f.asJSON = addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		g, err := a.checkGraphFile(args[0], *f.single)
		if err != nil {
			return err
		}
		return a.publishGraph(cmd.Context(), c.Config, &g, f)
	}
	return cmd
}

// errPublishing says that another graph publish runs at the same time.
var errPublishing = errors.New("another version is being published at the same time")

// publishGraph publishes under a transactional id that all publishers of the namespace share. Each takes it over before it
// reads the topic: one that took it over earlier and has not committed is fenced from then on and cannot put a version
// beside ours, and one that has committed stands in the topic before we read it.
func (a *app) publishGraph(ctx context.Context, c *Config, g *schemas.LocationGraph, f *publishFlags) error {
	w, err := a.connect(ctx, c, kgo.TransactionalID(c.Namespace+".graph-publisher"), kgo.TransactionTimeout(30*time.Second))
	if err != nil {
		return err
	}
	defer w.close()
	claiming, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, _, err := w.client.ProducerID(claiming); err != nil {
		return explainKafka(c, fmt.Errorf("claiming the right to publish: %w", err))
	}
	before, err := w.graph(ctx)
	if err != nil {
		return err
	}
	published := before.spec.Version
	if f.expected >= 0 && f.expected != published {
		return hinted(fmt.Errorf("version %d is published, not %d", published, f.expected), "see what changed with `onhand graph plan`, then publish again")
	}
	d := diffGraphs(&before.record, g)
	if len(d.Changes) > 0 || published == 0 {
		d.To = published + 1
		if err := a.checkRemovals(ctx, c, w, d, f.force); err != nil {
			return err
		}
		g.Version, g.PublishedAt = d.To, schemas.MicrosOf(time.Now())
		setSince(g, &before.record)
		if err := w.publish(ctx, g); err != nil {
			return err
		}
	}
	if !*f.asJSON {
		d.print(a.out)
		fmt.Fprintf(a.out, "version %d is published\n", d.To)
	}
	adoption, err := a.awaitAdoption(ctx, w, d.To, f)
	if *f.asJSON {
		return errors.Join(err, printJSON(a.out, struct {
			*graphDiff
			Adoption string `json:"adoption"`
		}{d, adoption}))
	}
	return err
}

// publish writes one version in one transaction.
func (w *wire) publish(ctx context.Context, g *schemas.LocationGraph) error {
	writer, err := w.writer(ctx, "location-graph")
	if err != nil {
		return err
	}
	record := writer.Graph(g)
	if len(record.Value) > schemas.ValueBytesMax {
		return hinted(fmt.Errorf("the graph takes %s and a record has at most %s", formatBytes(int64(len(record.Value))), formatBytes(schemas.ValueBytesMax)), "shorten names and types")
	}
	if err := w.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning to publish: %w", err)
	}
	if err := w.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		return errors.Join(publishError(w.config, err), w.client.EndTransaction(ending, kgo.TryAbort))
	}
	// An end that is cut short leaves open whether the version stands.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if err := w.client.EndTransaction(ending, kgo.TryCommit); err != nil {
		return publishError(w.config, err)
	}
	return nil
}

func publishError(c *Config, err error) error {
	if errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidTxnState) {
		return hinted(fmt.Errorf("%w: %w", errPublishing, err), "see what it changed with `onhand graph plan`, then publish again")
	}
	return explainKafka(c, fmt.Errorf("publishing the graph: %w", err))
}

// What became of waiting, for --json.
const (
	adoptionAdopted = "adopted"
	adoptionSwept   = "swept"
	adoptionNoWait  = "not awaited"
	adoptionNobody  = "nobody runs"
	adoptionTimeout = "timed out"
)

// awaitAdoption waits until every running task computes with the version.
func (a *app) awaitAdoption(ctx context.Context, w *wire, version int64, f *publishFlags) (string, error) {
	if f.noWait {
		return adoptionNoWait, nil
	}
	waiting, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	p := newProgress(a.err, "adopted", w.partitions)
	defer p.end()
	late := "it is not known who" // has not
	for {
		state, err := w.group(waiting)
		if err == nil {
			running := state.count(func(t *taskState) bool { return t.Member != "" })
			if state.Members == 0 {
				p.end()
				fmt.Fprintf(a.err, "no processor has joined its group; tasks adopt version %d as they start\n", version)
				return adoptionNobody, nil
			}
			adopted := state.count(func(t *taskState) bool { return t.Member != "" && t.adopted(version) })
			swept := state.count(func(t *taskState) bool { return t.Member != "" && t.swept(version) })
			p.set(adopted)
			late = state.whose(func(t *taskState) bool { return t.Member == "" || !t.adopted(version) || f.swept && !t.swept(version) })
			switch {
			case running < len(state.Tasks):
				// A rebalance is under way: some task has no member yet.
			case adopted == running && !f.swept:
				return adoptionAdopted, nil
			case swept == running:
				return adoptionSwept, nil
			}
		}
		if topics.IsDenied(err) {
			return adoptionNoWait, fmt.Errorf("version %d is published; waiting for the tasks: %w", version, err)
		}
		if err != nil && waiting.Err() == nil {
			late = oneSentence(err)
		}
		if err = sleep(waiting, 100*time.Millisecond); err == nil {
			continue
		}
		p.end()
		if ctx.Err() != nil {
			return adoptionNoWait, interruptedf("version %d is published; tasks adopt it all the same", version)
		}
		return adoptionTimeout, f.late(version, late)
	}
}

// late says that the tasks took too long.
func (f *publishFlags) late(version int64, who string) error {
	did := "adopted it"
	if f.swept {
		did = "swept"
	}
	return hinted(fmt.Errorf("version %d is published, but after %s not every task has %s: %s", version, shortDuration(f.timeout), did, who),
		"`onhand status` says how they are; once they run they adopt it, see `onhand graph status`")
}

// sweepText says how far a task's sweep is.
func sweepText(t *taskState, version int64) string {
	switch {
	case t.GraphVersion < version || t.Epoch == 0:
		return "-"
	case t.swept(version):
		return "done"
	}
	// The cursor holds the next part, and above it whether every level is published again.
	return fmt.Sprintf("%d %%", 100*(t.SweepCursor%availability.SKUShards)/availability.SKUShards)
}
