package availability

import (
	"fmt"
	"strings"
	"time"
)

func showResult(a answer) string {
	r, text := a.result, ""
	if a.again {
		text = "again: "
	}
	switch r.Outcome {
	case Accepted:
		text += fmt.Sprintf("accepted %s", r.Granted)
	case Partial:
		text += fmt.Sprintf("partial %s of %s", r.Granted, r.Requested)
	case Rejected:
		text += fmt.Sprintf("rejected %s", r.ErrorCode)
	}
	if len(r.TightGroups) > 0 {
		text += fmt.Sprintf(" tight %s", r.TightGroups)
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}

func showCell(c *Cell) string {
	text := fmt.Sprintf("%s %s @%s", c.Location, c.Count, showInstant(c.CountedAt))
	if c.Deleted {
		text += " deleted"
	}
	for _, m := range c.Movements {
		text += fmt.Sprintf(" %s@%s", m.Quantity, showInstant(m.At))
		if m.Merged {
			text += "+1m"
		}
	}
	return text + fmt.Sprintf(" safety %s @%s futures %s @%s reserved %s known %v\n", c.SafetyStock, showInstant(c.SafetyAt), showFutures(c.Futures),
		showInstant(c.FuturesAt), c.Reserved, c.Known)
}

func showReservation(k *kept, id string) string {
	if k == nil || k.reservations[id] == nil {
		return id + " unknown\n"
	}
	text := id
	for _, l := range k.reservations[id].Lines {
		text += fmt.Sprintf(" %s at %s", l.Quantity, l.Place.ID)
		if l.ExpiresAt != None {
			text += " until " + showInstant(l.ExpiresAt)
		}
	}
	text += fmt.Sprintf(", %d requests", len(k.reservations[id].Requests))
	for i, at := range k.dueOf(id) {
		text += []string{", due ", " "}[min(i, 1)] + showInstant(at)
	}
	return text + "\n"
}

// args are a command's words and fields.
type args struct {
	name   string
	words  []string
	fields []field
}

type field struct{ key, value string }

func parseArgs(line string) args {
	words := strings.Fields(line)
	a := args{name: words[0]}
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			a.fields = append(a.fields, field{key, value})
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a args) at(i int) string {
	if i < len(a.words) {
		return a.words[i]
	}
	panic(fmt.Sprintf("%s %v lacks a word", a.name, a.words))
}

func (a args) get(key, otherwise string) string {
	for _, f := range a.fields {
		if f.key == key {
			return f.value
		}
	}
	return otherwise
}

func (a args) instant(key string, otherwise Instant) Instant {
	if text := a.get(key, ""); text != "" {
		return mustInstant(text)
	}
	return otherwise
}

func mustQuantity(text string) Quantity {
	q, err := ParseQuantity(text)
	if err != nil {
		panic(err)
	}
	return q
}

func quantityOrCleared(text string) Quantity {
	if text == "cleared" {
		return 0
	}
	return mustQuantity(text)
}

func mustFutures(text string) (futures []Future) {
	if text == "cleared" {
		return nil
	}
	for _, f := range strings.Split(text, ",") {
		q, at, _ := strings.Cut(f, "@")
		futures = append(futures, Future{mustQuantity(q), mustInstant(at)})
	}
	return SortFutures(futures)
}

func showFutures(futures []Future) string {
	texts := make([]string, len(futures))
	for i, f := range futures {
		texts[i] = fmt.Sprintf("%s@%s", f.Quantity, showInstant(f.Expected))
	}
	return "[" + strings.Join(texts, " ") + "]"
}

// dateLayouts are tried in this order to read an instant, and the shortest that fits prints it.
var dateLayouts = []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.000000"}

func mustInstant(text string) Instant {
	for _, layout := range dateLayouts {
		if at, err := time.Parse(layout, "2026-"+text); err == nil {
			return Instant(at.UnixMicro())
		}
	}
	panic("no date: " + text)
}

func showInstant(at Instant) string {
	if at == None {
		return "none"
	}
	u := time.UnixMicro(int64(at)).UTC()
	for _, layout := range dateLayouts {
		if text := u.Format(layout); mustInstant(text[5:]) == at {
			return text[5:]
		}
	}
	return u.Format(time.RFC3339Nano)
}
