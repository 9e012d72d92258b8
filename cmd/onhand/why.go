package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onhand/processor/availability"
)

// The bounds of why. What it keeps in memory is bounded by these and by the SKU itself, however far it looks back.
const (
	whyChangesMax = 1000
	whyListed     = 20 // places, members, lines, movements or futures listed without --all
)

// whyFlags are the flags of why.
type whyFlags struct {
	place    string
	changes  int
	lookBack []string
	all      bool

	back lookBack
}

func newWhyCommand(a *app) *cobra.Command {
	f := &whyFlags{}
	cmd := &cobra.Command{
		Use:   "why SKU",
		Short: "Explain a level: what it adds up from, and the last changes",
		Long: `Explain what made a number. With --place it is an addition that ends in ATF and ATO. Of a location: the count, each
movement since, safety stock, what is reserved by whom, futures. Of a group: what its members have, what is reserved
at it by whom, what promises of groups that share its locations take, and the set of groups whose promises limit it.
Without --place: the levels of all places that have the SKU, the most to order first.

It reads Redis as one commit of the task left it, then Kafka. Then come the last changes: the records of the SKU in
both inputs before the offsets of that commit, with decision or dead letter; those behind are listed as not yet in
the number. "stands" is said of a value that is still in the number, "overtaken" of one that a newer date has
replaced. A repeat is told only where its original is listed too. TOPIC says how the newest record of the key in
availability-updates stands to the number.

Each topic is read back from its end in the partition of the SKU alone, until what is asked for is found or
--look-back is reached: so many records, a time, or both, as in 500000,24h. It changes nothing. In memory it holds
the SKU with all its reservations, the changes that it lists and the client's buffers, not what it reads: some
200 MB with 5,000 locations and 100,000 open reservations. Where Kafka does not answer, the number is explained all
the same.

--json prints one object: places, each with its level as of get, published, and location or group with --place;
changes, waiting, lookedAt and notes. Fields are added to it, never renamed. Movements more than 72 h older than the
newest of their location are part of its count.`,
		Example: `  onhand why SHIRT-M-BLUE --place US-EAST
  onhand why SHIRT-M-BLUE --place NJ-1 --changes 50 --look-back 24h
  onhand why SHIRT-M-BLUE --json | jq '.places[] | select(.published.state != "same")'`,
		Args: arguments("SKU"),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.place, "place", "", "explain this location or group")
	flags.IntVar(&f.changes, "changes", 10, fmt.Sprintf("list so many of the last changes, at most %d; 0: none", whyChangesMax))
	flags.StringSliceVar(&f.lookBack, "look-back", []string{"200000"}, "how far to read each topic back: a number of records, a `time` with unit, or both separated by a comma")
	flags.BoolVar(&f.all, "all", false, fmt.Sprintf("list everything, not only the %d largest places, members, lines and movements", whyListed))
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if err := availability.CheckSKU(args[0]); err != nil {
			return usagef("SKU %q: %w", args[0], err)
		}
		if err := f.check(time.Now()); err != nil {
			return err
		}
		r, err := a.why(cmd.Context(), c.Config, availability.SKU(args[0]), f)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(a.out, r)
		} else {
			err = a.printWhy(r)
		}
		if err == nil {
			err = r.absent
		}
		return err
	}
	return cmd
}

// check reads the flags.
func (f *whyFlags) check(now time.Time) error {
	if f.changes < 0 || f.changes > whyChangesMax {
		return usagef("--changes must be from 0 to %d", whyChangesMax)
	}
	for _, text := range f.lookBack {
		records, notNumber := strconv.ParseInt(text, 10, 64)
		ago, notTime := time.ParseDuration(text)
		switch {
		case notNumber == nil && records > 0:
			f.back.records = records
		case notTime == nil && ago > 0:
			f.back.from = now.Add(-ago)
		default:
			return usagef("--look-back %q is neither a number of records nor a time with its unit, such as 24h, above 0", text)
		}
	}
	return nil
}

// listed is how many entries of a list are shown.
func (f *whyFlags) listed(n int) int {
	if f.all {
		return n
	}
	return min(n, whyListed)
}

// why explains a SKU, from Redis first: a task publishes before it writes there, so that what Kafka has is never older.
func (a *app) why(ctx context.Context, c *Config, sku availability.SKU, f *whyFlags) (*whyReport, error) {
	store, err := openRedis(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	defer closeRead(store)
	reader, err := a.openStocks(ctx, c, store, sku)
	if err != nil {
		return nil, err
	}
	defer reader.registry.Close()
	s, err := reader.read(ctx, sku)
	if err != nil {
		return nil, err
	}
	r, err := s.report(f, availability.Instant(time.Now().UnixMicro()))
	if err != nil {
		return nil, err
	}
	if err := a.whyFromKafka(ctx, reader, s, f, r); err != nil {
		return nil, err
	}
	return r, nil
}

// whyFromKafka adds what Kafka knows. What it cannot be asked about becomes a note: the number is explained without it.
func (a *app) whyFromKafka(ctx context.Context, reader *whyReader, s *whyState, f *whyFlags, r *whyReport) error {
	w, err := a.connect(ctx, reader.config)
	if err == nil {
		defer w.close()
		if w.partitions != s.at.Partitions {
			return hinted(fmt.Errorf("Redis has the state of %d partitions, the topics have %d", s.at.Partitions, w.partitions),
				"check --brokers, --redis and --namespace: they are not of one installation")
		}
		w.reader = reader.reader
		err = a.lookBack(ctx, w, s, f, r)
		if batches := w.unreadBatches(); len(batches) > 0 {
			r.note("%s", unreadNote(batches, "what they hold is not listed"))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.note("the topics could not be read: %s", oneSentence(a.nameRightsOf(ctx, reader.config, "why", err)))
	}
	return nil
}

// oneSentence is an error with its way out.
func oneSentence(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var hint *hintError
	if errors.As(err, &hint) {
		text += "; " + hint.hint
	}
	return text
}
