package main

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"onhand/topics"
)

// lettersMax bounds --limit, which is how many letters are held in memory.
const lettersMax = 10_000

func newDLQListCommand(a *app) *cobra.Command {
	f := &letterFilter{}
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters, newest last, and count them by code",
		Long: `List the newest dead letters that the flags let through, newest last, and count all of them by code. LETTER is
what show and replay take. STATE is open, or replayed once the record was put back; "again" says that the record had
been replayed before and was refused once more. Times are the timestamps of the records, in UTC.`,
		Example: `  onhand dlq ls --since 1h --code UNKNOWN_LOCATION
  onhand dlq ls --sku SHIRT-M-BLUE --open
  onhand dlq ls --count --json | jq .counts`,
		Args: arguments(),
	}
	addLetterFlags(cmd.Flags(), f)
	cmd.Flags().BoolVar(&f.open, "open", false, "leave out those whose record was replayed")
	limit := cmd.Flags().Int("limit", 50, fmt.Sprintf("list so many of the newest, at most %d", lettersMax))
	count := cmd.Flags().Bool("count", false, "only count")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if *limit < 1 || *limit > lettersMax {
			return usagef("--limit must be from 1 to %d", lettersMax)
		}
		if err := f.complete(c.Namespace, nil, time.Now()); err != nil {
			return err
		}
		list := &letterList{limit: *limit, counts: make(map[topics.Code]*letterCount)}
		if *count {
			list.limit = 0
		}
		if err := a.listLetters(cmd.Context(), c.Config, f, list); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, list.json())
		}
		return a.printLetters(list, *count)
	}
	return cmd
}

func (a *app) listLetters(ctx context.Context, c *Config, f *letterFilter, list *letterList) error {
	w, err := a.connect(ctx, c)
	if err != nil {
		return err
	}
	defer w.close()
	r, err := openLetters(ctx, w, f)
	if err != nil {
		return err
	}
	err = r.each(ctx, func(l *letter) error {
		list.take(l)
		return nil
	})
	list.unread = w.unreadBatches()
	return err
}

// letterCount is how many letters have a code.
type letterCount struct {
	Code     topics.Code `json:"code"`
	Letters  int         `json:"letters"`
	Replayed int         `json:"replayed"`
	Again    int         `json:"again"` // whose record had been replayed before
}

// letterList keeps the newest letters, and counts all.
type letterList struct {
	limit  int
	newest letterHeap
	counts map[topics.Code]*letterCount
	unread []topics.Source // batches that nobody reads, which may hold letters
}

func (t *letterList) take(l *letter) {
	n := t.counts[l.dead.Code]
	if n == nil {
		n = &letterCount{Code: l.dead.Code}
		t.counts[l.dead.Code] = n
	}
	n.Letters++
	if l.replayed {
		n.Replayed++
	}
	if l.replayOf != "" {
		n.Again++
	}
	if t.limit == 0 {
		return
	}
	// The value may have a megabyte, and is not listed.
	slim := *l.record
	slim.Value, slim.Headers = nil, nil
	l.record, l.dead.Headers = &slim, nil
	if heap.Push(&t.newest, l); len(t.newest) > t.limit {
		heap.Pop(&t.newest)
	}
}

// sorted are the letters kept, oldest first.
func (t *letterList) sorted() []*letter {
	list := slices.Clone(t.newest)
	slices.SortFunc(list, compareLetters)
	return list
}

// codes are the counts, the most frequent code first.
func (t *letterList) codes() []*letterCount {
	var counts []*letterCount
	for _, n := range t.counts {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b *letterCount) int {
		return cmp.Or(cmp.Compare(b.Letters, a.Letters), cmp.Compare(a.Code, b.Code))
	})
	return counts
}

// total sums the counts.
func (t *letterList) total() (sum letterCount) {
	for _, n := range t.counts {
		sum.Letters += n.Letters
		sum.Replayed += n.Replayed
		sum.Again += n.Again
	}
	return sum
}

// json is what --json prints.
func (t *letterList) json() any {
	listed := []shownLetter{}
	for _, l := range t.sorted() {
		listed = append(listed, l.shown())
	}
	return struct {
		Letters       []shownLetter   `json:"letters"`
		Total         int             `json:"total"`
		Counts        []*letterCount  `json:"counts"`
		UnreadBatches []topics.Source `json:"unreadBatches"`
	}{listed, t.total().Letters, append([]*letterCount{}, t.codes()...), t.unread}
}

// printLetters prints the letters kept and the counts, or the counts alone.
func (a *app) printLetters(list *letterList, countOnly bool) error {
	if len(list.unread) > 0 {
		fmt.Fprintln(a.err, unreadNote(list.unread, "what they hold is not counted, and the processor wrote none of them"))
	}
	total := list.total()
	if total.Letters == 0 {
		fmt.Fprintln(a.err, "no dead letters")
		return nil
	}
	if !countOnly {
		t := newTable("TIME", "LETTER", "CODE", "STATE", "KEY", "SOURCE", "MESSAGE")
		for _, l := range list.sorted() {
			t.add(l.record.Timestamp.UTC().Format(time.DateTime), fmt.Sprintf("%d/%d", l.record.Partition, l.record.Offset), l.dead.Code, l.state(),
				printableKey(l.record.Key), l.dead.Source, shortened(l.dead.Message, 100))
		}
		if err := t.print(a.out); err != nil {
			return err
		}
		if left := total.Letters - len(list.newest); left > 0 {
			fmt.Fprintf(a.err, "%s not listed; --limit lists more\n", plural(left, "older letter"))
		}
		fmt.Fprintln(a.out)
	}
	t := newTable("CODE", ">LETTERS", ">REPLAYED", ">AGAIN")
	for _, n := range list.codes() {
		t.add(n.Code, n.Letters, n.Replayed, n.Again)
	}
	t.add("all", total.Letters, total.Replayed, total.Again)
	return t.print(a.out)
}

// shortened is the text, cut to so many characters.
func shortened(text string, charactersMax int) string {
	if r := []rune(text); len(r) > charactersMax {
		return string(r[:charactersMax-1]) + "…"
	}
	return text
}

// compareLetters orders by time, then by where the letters stand.
func compareLetters(a, b *letter) int {
	return cmp.Or(a.record.Timestamp.Compare(b.record.Timestamp), cmp.Compare(a.record.Partition, b.record.Partition), cmp.Compare(a.record.Offset, b.record.Offset))
}

// letterHeap has the oldest letter at its root.
type letterHeap []*letter

func (h letterHeap) Len() int           { return len(h) }
func (h letterHeap) Less(i, j int) bool { return compareLetters(h[i], h[j]) < 0 }
func (h letterHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *letterHeap) Push(x any)        { *h = append(*h, x.(*letter)) }
func (h *letterHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	*h = (*h)[:last]
	return l
}
