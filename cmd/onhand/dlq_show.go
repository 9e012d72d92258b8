package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"onhand/schemas"
	"onhand/topics"
)

func newDLQShowCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show LETTER",
		Short: "Show one dead letter whole: why, from where, headers and value",
		Long: `Show one dead letter whole. LETTER is PARTITION/OFFSET as ls prints it, or TOPIC/PARTITION/OFFSET of the record
that it holds; of several that hold the same record, the newest. The value is decoded by its schema; where that does
not go, it is shown as bytes, with the reason.`,
		Example: `  onhand dlq show 3/1244
  onhand dlq show stock-deltas/3/88172 --json`,
		Args: arguments("LETTER"),
	}
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		f := &letterFilter{}
		if err := f.complete(c.Namespace, args, time.Now()); err != nil {
			return err
		}
		whole, err := a.findLetter(cmd.Context(), c.Config, f)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, whole)
		}
		return a.printLetter(whole)
	}
	return cmd
}

// wholeLetter is everything about a dead letter.
type wholeLetter struct {
	shownLetter
	Headers     []shownHeader `json:"headers"`     // of the record itself
	Value       any           `json:"value"`       // null: there is none, or it cannot be decoded
	ValueBytes  []byte        `json:"valueBytes"`  // base64; null: there is no value
	Undecodable string        `json:"undecodable"` // why the value cannot be decoded; empty: it can, or there is none
	state       string
}

// shownHeader is a header of a record. A value that is no text stands as Go would write it.
type shownHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (a *app) findLetter(ctx context.Context, c *Config, f *letterFilter) (*wholeLetter, error) {
	w, err := a.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer w.close()
	r, err := openLetters(ctx, w, f)
	if err != nil {
		return nil, err
	}
	var found *letter
	err = r.each(ctx, func(l *letter) error {
		found = l
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, noSuchLetter(f.only[0].text)
	}
	return w.whole(ctx, found), nil
}

func noSuchLetter(name string) error {
	return hinted(fmt.Errorf("there is no dead letter %s", name), "`onhand dlq ls` lists them; the topic keeps them for 14 days")
}

// whole decodes what the letter holds.
func (w *wire) whole(ctx context.Context, l *letter) *wholeLetter {
	s := &wholeLetter{shownLetter: l.shown(), Headers: []shownHeader{}, ValueBytes: l.record.Value, state: l.state()}
	for _, h := range l.dead.Headers {
		value := string(h.Value)
		if !utf8.ValidString(value) {
			value = fmt.Sprintf("%q", value)
		}
		s.Headers = append(s.Headers, shownHeader{h.Key, value})
	}
	if l.record.Value == nil {
		return s
	}
	var err error
	decoder := newDecoder(w.registry)
	if l.dead.Source.Topic == w.names.StockDeltas {
		var d schemas.StockDelta
		err = decoder.DecodeStockDelta(ctx, l.record.Value, &d)
		s.Value = &d
	} else {
		var e schemas.ReservationEvent
		err = decoder.DecodeReservationEvent(ctx, l.record.Value, &e)
		s.Value = &e
	}
	if err != nil {
		s.Value, s.Undecodable = nil, err.Error()
	}
	return s
}

// valueBytesShown is how much of a value that cannot be decoded is printed; --json has all of it.
const valueBytesShown = 4096

func (a *app) printLetter(s *wholeLetter) error {
	var b strings.Builder
	line := func(name string, value any) { fmt.Fprintf(&b, "%-10s %v\n", name, value) }
	line("letter", topics.Source{Topic: "dead-letters", Partition: s.Partition, Offset: s.Offset})
	line("source", s.Source)
	line("time", s.Timestamp.Format(time.RFC3339Nano))
	line("code", s.Code)
	line("message", s.Message)
	line("state", s.state)
	if s.ReplayOf != "" {
		line("replay of", s.ReplayOf)
	}
	if s.Omitted != "" {
		line("left out", s.Omitted+": it was too large to keep; read it at the source")
	}
	if s.Key == nil {
		line("key", "none")
	} else {
		line("key", *s.Key)
	}
	for _, h := range s.Headers {
		line("header", h.Key+": "+h.Value)
	}
	switch {
	case s.ValueBytes == nil:
		line("value", "none")
	case s.Value != nil:
		text, err := json.MarshalIndent(s.Value, "", "  ")
		if err != nil {
			return fmt.Errorf("printing the value: %w", err)
		}
		fmt.Fprintf(&b, "value\n%s\n", text)
	default:
		shown := s.ValueBytes[:min(len(s.ValueBytes), valueBytesShown)]
		fmt.Fprintf(&b, "value      %d bytes, not decoded: %s\n%s", len(s.ValueBytes), s.Undecodable, hex.Dump(shown))
		if rest := len(s.ValueBytes) - len(shown); rest > 0 {
			fmt.Fprintf(&b, "and %d bytes more, which --json has\n", rest)
		}
	}
	if _, err := fmt.Fprint(a.out, b.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
