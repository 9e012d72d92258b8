package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	skus, places []string
	fromStart    bool
	count        int
	asJSON       *bool
}

func newWatchCommand(a *app) *cobra.Command {
	f := &watchFlags{}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print levels as they are published",
		Long: `Print the records of availability-updates as they come, read committed, a line each, until Ctrl-C. It joins no consumer
group and disturbs nobody.`,
		Example: `  onhand watch --sku SHIRT-M-BLUE
  onhand watch --from-start --place US-EAST --json | jq .ato`,
		Args: arguments(),
	}
	cmd.Flags().StringSliceVar(&f.skus, "sku", nil, "only these SKUs, several separated by commas")
	cmd.Flags().StringSliceVar(&f.places, "place", nil, "only these locations and groups, several separated by commas")
	cmd.Flags().BoolVar(&f.fromStart, "from-start", false, "begin with what the topic holds, not with what comes")
	cmd.Flags().IntVar(&f.count, "count", 0, "end after so many lines; 0: at Ctrl-C")
	f.asJSON = cmd.Flags().Bool("json", false, "print a JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		return a.watch(cmd.Context(), c.Config, f)
	}
	return cmd
}

// watch prints until ctx ends, which is no error: it is how one stops watching.
func (a *app) watch(ctx context.Context, c *Config, f *watchFlags) error {
	names, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return err
	}
	start := kgo.NewOffset().AtEnd()
	if f.fromStart {
		start = kgo.NewOffset().AtStart()
	}
	w, err := a.connect(ctx, c, kgo.ConsumeTopics(names.AvailabilityUpdates), kgo.ConsumeResetOffset(start), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer w.close()
	printer := &levelPrinter{flags: f, out: a.out}
	for {
		fetches := w.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := readError(w.client, fetches); err != nil {
			return explainKafka(c, fmt.Errorf("reading %s: %w", names.AvailabilityUpdates, err))
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			var level availability.Level
			var from topics.Provenance
			err := w.reader.Update(ctx, r, &level, &from)
			switch {
			case ctx.Err() != nil:
				return nil
			case isRefusal(err):
				fmt.Fprintf(a.err, "%s: %v\n", topics.SourceAt(r), err)
				continue
			case err != nil:
				return explainRegistry(c, err)
			}
			if done, err := printer.print(r, &level, &from); err != nil || done {
				return err
			}
		}
	}
}

// levelPrinter prints levels, a line each.
type levelPrinter struct {
	flags   *watchFlags
	out     io.Writer
	printed int
	record  schemas.AvailabilityUpdate
}

// tombstone is what JSON has for a place that no longer has the SKU.
type tombstone struct {
	Place     string `json:"place"`
	SKU       string `json:"sku"`
	Tombstone bool   `json:"tombstone"`
	Version   int64  `json:"version"`
}

// print prints a level that the flags let through, and says whether it was the last one wanted.
func (p *levelPrinter) print(r *kgo.Record, level *availability.Level, from *topics.Provenance) (done bool, err error) {
	if !allows(p.flags.skus, string(level.SKU)) || !allows(p.flags.places, level.Place.ID) {
		return false, nil
	}
	p.printed++
	done = p.flags.count > 0 && p.printed >= p.flags.count
	topics.UpdateRecord(level, from, &p.record)
	switch {
	case *p.flags.asJSON && level.Present:
		return done, printJSONLine(p.out, &p.record)
	case *p.flags.asJSON:
		return done, printJSONLine(p.out, tombstone{level.Place.ID, string(level.SKU), true, from.Version})
	}
	what := "gone"
	if level.Present {
		what = fmt.Sprintf("atf %-8s ato %-8s on hand %-8s reserved %s", level.ATF, level.ATO, level.OnHand, level.Reserved)
		if level.Shortfall > 0 {
			what += fmt.Sprintf("  short %s", level.Shortfall)
		}
	}
	line := fmt.Sprintf("%s  %-20s %-16s %s", r.Timestamp.Format("15:04:05.000"), level.SKU, level.Place.ID, what)
	if _, err := fmt.Fprintln(p.out, strings.TrimRight(line, " ")); err != nil {
		return done, fmt.Errorf("printing: %w", err)
	}
	return done, nil
}

// allows says whether the list is empty or has the word.
func allows(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return len(list) == 0
}
