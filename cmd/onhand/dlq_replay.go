package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

func newDLQReplayCommand(a *app) *cobra.Command {
	f := &letterFilter{}
	cmd := &cobra.Command{
		Use:   "replay [LETTER…]",
		Short: "Put the records of dead letters back on their topics for another try",
		Long: `Put the records of dead letters back on their topics, untouched, for another try: after a location graph was
published that has the location, or a schema was registered. What was wrong by itself is refused again; its source
sends it anew.

Each letter is replayed once. Its record and a mark on the letter are written in one Kafka transaction, so that a
command that was interrupted, or that runs twice at a time, puts nothing back twice: start it again and it goes on.
Nor is a record counted twice that had been counted by another way: an adjustment and a reservation are known by
their ids for the dedupe window (24 hours by default), a count by its effective date.

A record keeps its timestamp, which is its clock, and gets the header onhand.replayed. If it is refused again it is a
new dead letter, which ls shows as "again"; those that come while this command runs are left to the next one.

Exit codes: 0 done; 1 some could not be replayed; 2 the command line.`,
		Example: `  onhand dlq replay --code UNKNOWN_LOCATION --dry-run
  onhand dlq replay --code UNKNOWN_LOCATION
  onhand dlq replay 3/1244 stock-deltas/5/881`,
		Args: cobra.ArbitraryArgs,
	}
	addLetterFlags(cmd.Flags(), f)
	all := cmd.Flags().Bool("all", false, "replay every dead letter that was not replayed yet")
	dryRun := cmd.Flags().Bool("dry-run", false, "only count what would be replayed")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if err := f.complete(c.Namespace, args, time.Now()); err != nil {
			return err
		}
		if f.narrows() == *all {
			return hinted(usagef("onhand dlq replay wants dead letters, or flags that choose some, or --all; one of these"),
				"the main case is `onhand dlq replay --code UNKNOWN_LOCATION`")
		}
		// Letters that are named and were replayed are told apart from those that do not exist.
		f.open = len(f.only) == 0
		r, err := a.replay(cmd.Context(), c.Config, f, *dryRun)
		if err != nil {
			return err
		}
		return a.reportReplay(r, *asJSON)
	}
	return cmd
}

// replay is one call of dlq replay.
type replay struct {
	Replayed int            `json:"replayed"` // with --dry-run: those that would be
	DryRun   bool           `json:"dryRun"`
	Skipped  int            `json:"skipped"`  // named, and replayed before
	Failed   int            `json:"failed"`   // cannot be replayed
	Failures []replayFailed `json:"failures"` // the first of them

	UnreadBatches []topics.Source `json:"unreadBatches"` // of dead-letters, which nobody reads

	app     *app
	wire    *wire
	writer  *topics.Writer
	found   map[letterName]bool
	pending []pendingReplay
	bytes   int
}

// replayFailed is a letter that cannot be replayed.
type replayFailed struct {
	Letter string `json:"letter"`
	Reason string `json:"reason"`
}

// pendingReplay is a letter and the record that goes back.
type pendingReplay struct {
	letter *letter
	record *kgo.Record
}

// Bounds of one transaction. While it is open, the processor reads nothing behind it.
const (
	replayRecordsMax = 500
	replayBytesMax   = 4 << 20
	replayTimeout    = 10 * time.Second
)

// failuresShown is how many failures are told one by one.
const failuresShown = 20

// replay puts back what the filter lets through. It reads the letters after it has fenced every other replay of the
// namespace, so that it sees all their marks:
//
//	A reads: letter 7 is open.   B reads: letter 7 is open.   A puts 7 back.   B puts 7 back.
//
// cannot happen, since B's first request fences A, or A's marks are there when B reads.
func (a *app) replay(ctx context.Context, c *Config, f *letterFilter, dryRun bool) (*replay, error) {
	var opts []kgo.Opt
	if !dryRun {
		// The client counts a record's time from its timestamp, which here is days ago: commit has a deadline instead.
		opts = append(opts, kgo.TransactionalID(c.Namespace+".dlq-replay"), kgo.TransactionTimeout(replayTimeout), kgo.RecordDeliveryTimeout(0))
	}
	w, err := a.connect(ctx, c, opts...)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if !dryRun {
		asking, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		if _, _, err := w.client.ProducerID(asking); err != nil {
			return nil, explainKafka(c, fmt.Errorf("opening the transactional producer: %w", err))
		}
	}
	letters, err := openLetters(ctx, w, f)
	if err != nil {
		return nil, err
	}
	r := &replay{DryRun: dryRun, app: a, wire: w, writer: topics.NewWriter(w.names, topics.IDs{}, w.partitions), found: make(map[letterName]bool)}
	bar := newProgress(a.err, "replaying", 100)
	defer bar.end()
	read, size := int64(0), letters.size()
	err = letters.each(ctx, func(l *letter) error {
		read++
		bar.show(100*read/size, fmt.Sprintf("replaying: %d put back", r.Replayed))
		return r.take(ctx, f, l)
	})
	if err == nil {
		err = r.flush(ctx)
	}
	if err != nil {
		return nil, r.explain(err)
	}
	for _, name := range f.only {
		if !r.found[name] {
			return nil, noSuchLetter(name.text)
		}
	}
	r.UnreadBatches = w.unreadBatches()
	return r, nil
}

// explain says how far the replay came.
func (r *replay) explain(err error) error {
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		return hinted(fmt.Errorf("another replay of this namespace has begun; this one put %s back before: %w", plural(r.Replayed, "record"), err), "let that one end")
	}
	if errors.Is(err, context.Canceled) {
		return interruptedf("%s put back before; the same command goes on", plural(r.Replayed, "record"))
	}
	if r.Replayed > 0 {
		err = fmt.Errorf("%w; %s put back before", err, plural(r.Replayed, "record"))
	}
	return explainKafka(r.wire.config, err)
}

func (r *replay) take(ctx context.Context, f *letterFilter, l *letter) error {
	for _, name := range f.only {
		if name.names(l) {
			r.found[name] = true
		}
	}
	if l.replayed {
		r.Skipped++
		return nil
	}
	record, err := r.writer.Replay(l.record)
	if err != nil {
		r.fail(l, err)
		return nil
	}
	bytes := len(record.Key) + len(record.Value)
	for _, h := range record.Headers {
		bytes += len(h.Key) + len(h.Value)
	}
	if r.bytes+bytes > replayBytesMax || len(r.pending) == replayRecordsMax {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.pending, r.bytes = append(r.pending, pendingReplay{l, record}), r.bytes+bytes
	return nil
}

func (r *replay) fail(l *letter, err error) {
	r.Failed++
	if len(r.Failures) < failuresShown {
		r.Failures = append(r.Failures, replayFailed{fmt.Sprintf("%d/%d", l.record.Partition, l.record.Offset), err.Error()})
	}
}

// flush puts back what is pending. A record that its topic does not take makes the others go one by one.
func (r *replay) flush(ctx context.Context) error {
	pending := r.pending
	r.pending, r.bytes = nil, 0
	if r.DryRun || len(pending) == 0 {
		r.Replayed += len(pending)
		return nil
	}
	err := r.commit(ctx, pending)
	if !errors.Is(err, kerr.MessageTooLarge) {
		return err
	}
	for _, one := range pending {
		again := *one.record // the client has filled in the other
		again.Context = nil
		err := r.commit(ctx, []pendingReplay{{one.letter, &again}})
		if errors.Is(err, kerr.MessageTooLarge) {
			r.fail(one.letter, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// commit writes records and the marks on their letters in one transaction.
func (r *replay) commit(ctx context.Context, pending []pendingReplay) error {
	if err := r.wire.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	records := make([]*kgo.Record, 0, 2*len(pending))
	now := time.Now()
	for _, p := range pending {
		records = append(records, p.record, replayMark(p.letter, now))
	}
	producing, stop := context.WithTimeout(ctx, replayTimeout)
	defer stop()
	err := produceAll(producing, r.wire.client, records)
	// The transaction ends also where ctx has: an open one would hold up the processor until it times out.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), replayTimeout)
	defer cancel()
	if err != nil {
		return errors.Join(fmt.Errorf("putting records back: %w", err), r.wire.client.EndTransaction(ending, kgo.TryAbort))
	}
	if err := r.wire.client.EndTransaction(ending, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing what was put back: %w", err)
	}
	r.Replayed += len(pending)
	return nil
}

// produceAll produces records and returns the first error in time, without waiting for the others: where one record of a
// transaction is refused, the client keeps the rest until they time out, and that is not what is wrong.
func produceAll(ctx context.Context, client *kgo.Client, records []*kgo.Record) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var pending sync.WaitGroup
	for _, r := range records {
		pending.Add(1)
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
			pending.Done()
		})
	}
	pending.Wait()
	return context.Cause(ctx)
}

// reportReplay prints what was done, and makes letters that cannot be replayed an exit code.
func (a *app) reportReplay(r *replay, asJSON bool) error {
	if asJSON {
		r.Failures = slices.Concat([]replayFailed{}, r.Failures)
		if err := printJSON(a.out, r); err != nil {
			return err
		}
	} else {
		if len(r.UnreadBatches) > 0 {
			fmt.Fprintln(a.err, unreadNote(r.UnreadBatches, "nothing of what they hold is put back, and the processor wrote none of them"))
		}
		what := "put back"
		if r.DryRun {
			what = "would be put back"
		}
		text := fmt.Sprintf("%s %s", plural(r.Replayed, "record"), what)
		if r.Skipped > 0 {
			text += fmt.Sprintf(", %d replayed before", r.Skipped)
		}
		if r.Failed > 0 {
			text += fmt.Sprintf(", %d cannot be replayed", r.Failed)
		}
		fmt.Fprintln(a.out, text)
		for _, failure := range r.Failures {
			fmt.Fprintf(a.err, "%s: %s\n", failure.Letter, indented(failure.Reason))
		}
		if rest := r.Failed - len(r.Failures); rest > 0 {
			fmt.Fprintf(a.err, "and %d more\n", rest)
		}
	}
	if r.Failed > 0 {
		return errReported
	}
	return nil
}
