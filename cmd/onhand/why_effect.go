package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// takeDelta fills in what a stock delta asks for.
func (c *whyChange) takeDelta(d *availability.Delta) {
	c.delta, c.ID, c.Place, c.Action = d, d.RecordID, string(d.Location), schemas.Mode(d.Mode).String()
	c.EffectiveDate = timeOrNull(d.EffectiveAt)
	var values []string
	switch {
	case d.Mode == availability.Adjust && d.OnHand >= 0:
		values = append(values, "on hand +"+d.OnHand.String())
	case d.HasOnHand:
		values = append(values, "on hand "+d.OnHand.String())
	}
	if d.HasSafetyStock {
		values = append(values, "safety stock "+d.SafetyStock.String())
	}
	if d.HasFutures {
		var sum availability.Quantity
		for _, x := range d.Futures {
			sum += x.Quantity
		}
		values = append(values, fmt.Sprintf("%s of %s", plural(len(d.Futures), "future"), sum))
	}
	c.Values = strings.Join(values, ", ")
}

// takeInstruction fills in what onhand told the task.
func (c *whyChange) takeInstruction(i *topics.Instruction) {
	c.ID, c.Action, c.Place, c.Effect = "onhand", i.Kind.String(), string(i.Location), effectStands
	if i.Kind == topics.DropOverdue {
		c.Values, c.Text = "futures up to "+instantText(i.Until), "those that were there are dropped"
	} else {
		c.Text = "computed anew from counts and reservations, and published"
	}
}

// takeEvent fills in what a reservation event asks for.
func (c *whyChange) takeEvent(e *availability.ReservationEvent) {
	c.event, c.ID, c.ReservationID, c.Action = e, e.RequestID, e.ReservationID, schemas.Action(e.Action).String()
	c.Place = string(e.Location) + string(e.Group)
	c.ToPlace = string(e.ToLocation) + string(e.ToGroup)
	c.Values = "all that is left"
	if e.HasQuantity {
		c.Values = e.Quantity.String()
	}
	c.Effect, c.Text = effectUndecided, "its result is further back than what was looked at"
}

// decide fills in what became of a reservation event.
func (c *whyChange) decide(result *availability.Result) {
	c.Effect, c.Granted = schemas.Outcome(result.Outcome).String(), schemas.Milli(result.Granted)
	switch result.Outcome {
	case availability.Accepted:
		c.Text = "granted " + result.Granted.String()
	case availability.Partial:
		c.Text = fmt.Sprintf("granted %s of %s: %s", result.Granted, result.Requested, result.Message)
	case availability.Rejected:
		c.Text = result.ErrorCode + ": " + result.Message
	}
}

// settleEffects says of each stock delta listed what of it is in the number still, and of repeats within the window that they are some.
func (r *whyReport) settleEffects(s *whyState, window time.Duration) {
	first := make(map[string]schemas.Micros)
	for i := range r.Changes {
		c := &r.Changes[i]
		if c.delta == nil && c.event == nil || c.Effect == effectDead || c.delta != nil && c.delta.Mode != availability.Adjust {
			continue // an UPDATE and a DELETE may come twice: their dates decide
		}
		key := c.Topic + "/" + c.ID
		if at, met := first[key]; met && c.Timestamp.Time().Sub(at.Time()) <= window {
			c.repeat()
		} else {
			first[key] = c.Timestamp
		}
	}
	// Of several of one date the last one stands, so the newest is asked first.
	stood := make(map[string]bool)
	for i := len(r.Changes) - 1; i >= 0; i-- {
		if c := &r.Changes[i]; c.delta != nil && c.Effect == "" {
			c.settle(s.cell(c.Place), stood)
		}
	}
}

// repeat marks a record whose id came before. A request is answered with the result of the first; an adjustment counts once.
func (c *whyChange) repeat() {
	if c.delta != nil {
		c.Effect, c.Text = effectRepeat, "counted once"
		return
	}
	c.Text = "a repeat, nothing done: " + c.Text
}

// settle compares what a delta carries with what its location has, by dates, as the arithmetic does.
func (c *whyChange) settle(cell *availability.Cell, stood map[string]bool) {
	c.Effect = effectOvertaken
	switch {
	case cell == nil:
		c.Text = "the location has no history of the SKU"
		return
	case c.delta.Mode == availability.Adjust && c.delta.EffectiveAt < cell.CountedAt && !inBucket(cell, c.delta.EffectiveAt):
		c.Text = "the count is newer and has it"
		return
	case c.delta.Mode == availability.Adjust:
		c.Effect, c.Text = effectStands, "moves on hand since the count"
		return
	}
	d, all := c.delta, c.delta.Mode == availability.Delete
	var stands, overtaken []string
	for _, value := range []struct {
		name  string
		has   bool
		known availability.Instant
	}{{"on hand", d.HasOnHand, cell.CountedAt}, {"safety stock", d.HasSafetyStock, cell.SafetyAt}, {"futures", d.HasFutures, cell.FuturesAt}} {
		key := c.Place + "/" + value.name
		switch {
		case !value.has && !all:
		case d.EffectiveAt >= value.known && !stood[key]:
			stands, stood[key] = append(stands, value.name), true
		default:
			overtaken = append(overtaken, value.name)
		}
	}
	if c.Text = "it carries no value"; len(stands)+len(overtaken) > 0 {
		c.Text = ""
	}
	if len(stands) > 0 {
		c.Effect, c.Text = effectStands, strings.Join(stands, ", ")
	}
	if len(overtaken) > 0 {
		c.Text = strings.TrimPrefix(c.Text+"; a newer record has "+strings.Join(overtaken, ", "), "; ")
	}
}

// inBucket says whether movements of that minute were merged, and so stay whole with a count in the midst of them.
func inBucket(cell *availability.Cell, at availability.Instant) bool {
	return slices.ContainsFunc(cell.Movements, func(m availability.Movement) bool { return m.Merged && m.At <= at && at < m.At+availability.Minute })
}

// printChanges lists what changed the number, and what will.
func (r *whyReport) printChanges(b *strings.Builder) {
	about := r.SKU
	if r.place.ID != "" {
		about += " at " + r.place.ID
	}
	if len(r.Changes) > 0 {
		fmt.Fprintf(b, "last changes of %s, newest last\n", about)
		r.printTable(b, r.Changes)
	}
	if len(r.Waiting) > 0 {
		fmt.Fprintf(b, "not yet in the number: %s\n", plural(r.WaitingCount, "record"))
		r.printTable(b, r.Waiting)
	}
	r.printLookedAt(b)
}

func (r *whyReport) printTable(b *strings.Builder, list []whyChange) {
	heads := []string{"TIME", "RECORD", "ACTION", "PLACE", "VALUES", "ID", "TRACE", "EFFECT"}
	traced := slices.ContainsFunc(list, func(c whyChange) bool { return c.TraceID != "" })
	if !traced {
		heads = slices.Delete(heads, 6, 7)
	}
	t := newTable(heads...)
	for i := range list {
		c := &list[i]
		place := c.Place
		if c.ToPlace != "" {
			place += " to " + c.ToPlace
		}
		cells := []any{
			c.Timestamp.Time().Format(time.DateTime), fmt.Sprintf("%s/%d/%d", r.short(c.Topic), c.Partition, c.Offset), orDash(c.Action), orDash(place), orDash(c.Values),
			orDash(shortened(c.ID, whyIDShown)), orDash(c.TraceID), shortened(c.effectText(), whyEffectShown),
		}
		if !traced {
			cells = slices.Delete(cells, 6, 7)
		}
		t.add(cells...)
	}
	_ = t.print(b) // a Builder takes everything
	b.WriteString("\n")
}

// What a line shows of an id and of an effect; --json has all of it.
const (
	whyIDShown     = 40
	whyEffectShown = 120
)

// effectText is the effect in words, the text alone where that says it.
func (c *whyChange) effectText() string {
	switch c.Effect {
	case effectDead, effectUndecided, effectWaiting, effectUnread:
		return c.Text
	}
	return strings.TrimSuffix(c.Effect+": "+c.Text, ": ")
}

// printLookedAt says how far the inputs were looked at, and the others where that may have been too short.
func (r *whyReport) printLookedAt(b *strings.Builder) {
	inputs := make(map[string]bool)
	for _, input := range r.Inputs {
		inputs[input.Topic] = true
	}
	for _, l := range r.LookedAt {
		if inputs[l.Topic] || l.Stopped == stoppedLookBack {
			fmt.Fprintf(b, "%s/%d: %s\n", r.short(l.Topic), r.Task, l.text())
		}
	}
}

func (l *whyLookedAt) text() string {
	text := "nothing to look at"
	if l.From < l.To {
		text = fmt.Sprintf("looked at %d to %d, since %s", l.From, l.To-1, whyTimeText(l.Since))
	}
	switch {
	case l.Stopped == stoppedLookBack:
		text += "; --look-back looks further"
	case l.Stopped == stoppedLogStart && l.LogStart > 0:
		text += fmt.Sprintf("; the log begins at %d, what came before is gone", l.LogStart)
	case l.Stopped == stoppedLogStart && l.From < l.To:
		text += ", which is all there was"
	}
	return text
}
