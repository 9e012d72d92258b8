package main

import (
	"fmt"
	"io"
	"strings"

	"onhand/processor/availability"
	"onhand/schemas"
)

// addition is a column of numbers that add up, with sums between.
type addition struct {
	rows  []additionRow
	total availability.Quantity
}

type additionRow struct {
	mark     string // "", "+", "-" or "="
	quantity availability.Quantity
	text     string
}

// begin puts the first number down.
func (a *addition) begin(q availability.Quantity, format string, args ...any) {
	a.total = q
	a.rows = append(a.rows, additionRow{"", q, fmt.Sprintf(format, args...)})
}

// add puts a number down with its sign, zero as what is added.
func (a *addition) add(q availability.Quantity, format string, args ...any) {
	a.total += q
	row := additionRow{"+", q, fmt.Sprintf(format, args...)}
	if q < 0 {
		row.mark, row.quantity = "-", -q
	}
	a.rows = append(a.rows, row)
}

// sum puts down what the numbers so far come to.
func (a *addition) sum(format string, args ...any) {
	a.rows = append(a.rows, additionRow{"=", a.total, fmt.Sprintf(format, args...)})
}

// write prints the rows with their points one under the other.
func (a *addition) write(w io.Writer) {
	before, behind := 0, 0
	for _, r := range a.rows {
		whole, fraction, _ := strings.Cut(r.quantity.String(), ".")
		before, behind = max(before, len(whole)), max(behind, len(fraction))
	}
	for _, r := range a.rows {
		text := r.quantity.String()
		whole, fraction, dotted := strings.Cut(text, ".")
		pad := behind - len(fraction)
		if !dotted && behind > 0 {
			pad++
		}
		fmt.Fprintf(w, "  %1s %s%s%s  %s\n", r.mark, strings.Repeat(" ", before-len(whole)), text, strings.Repeat(" ", pad), r.text)
	}
	fmt.Fprintln(w)
}

// printWhy writes the report for a person.
func (a *app) printWhy(r *whyReport) error {
	var b strings.Builder
	switch {
	case r.absent != nil:
	case r.place.Type == availability.NoPlace:
		r.printPlaces(&b)
	default:
		r.printPlace(&b, &r.Places[0])
	}
	r.printChanges(&b)
	if _, err := io.WriteString(a.out, strings.TrimRight(b.String(), "\n")+"\n"); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(a.err, "note: "+note)
	}
	return nil
}

// asOf says which state the numbers are of.
func (r *whyReport) asOf() string {
	return fmt.Sprintf("version %d of task %d, location graph %d", r.Version, r.Task, r.GraphVersion)
}

func (r *whyReport) printPlaces(b *strings.Builder) {
	fmt.Fprintf(b, "%s at %s: %s\n\n", r.SKU, plural(len(r.Places)+r.OtherPlaces, "place"), r.asOf())
	t := newTable("PLACE", "TYPE", ">ON HAND", ">RESERVED", ">SAFETY", ">FUTURE", ">ATF", ">ATO", ">SHORT", "TOPIC")
	for i := range r.Places {
		l := &r.Places[i].Level
		t.add(l.Place, strings.ToLower(l.PlaceType.String()), l.OnHand, l.Reserved, l.SafetyStockCount, l.FutureQuantity, l.ATF, l.ATO, l.Shortfall, r.Places[i].Published.State)
	}
	_ = t.print(b) // a Builder takes everything
	if r.OtherPlaces > 0 {
		fmt.Fprintf(b, "and %s with no more to order; --all lists them\n", plural(r.OtherPlaces, "place"))
	}
	b.WriteString("\n")
}

func (r *whyReport) printPlace(b *strings.Builder, p *whyPlace) {
	l := &p.Level
	fmt.Fprintf(b, "%s at %s, a %s: ATF %s, ATO %s\n%s\n\n", r.SKU, l.Place, strings.ToLower(l.PlaceType.String()), l.ATF, l.ATO, r.asOf())
	if p.Group != nil {
		p.Group.write(b, l)
	} else {
		p.Location.write(b, l)
	}
	fmt.Fprintf(b, "topic: %s\n\n", p.Published.text(r))
}

// addition is the sum that ends in ATF, and goes on to ATO.
func (w *whyLocation) addition(l *schemas.AvailabilityUpdate) *addition {
	a := &addition{}
	switch {
	case w.Deleted:
		a.begin(availability.Quantity(w.Count), "deleted, as of %s", whyTimeText(w.CountedAt))
	case w.CountedAt.Valid:
		a.begin(availability.Quantity(w.Count), "counted, effective %s", whyTimeText(w.CountedAt))
	default:
		a.begin(availability.Quantity(w.Count), "never counted")
	}
	if m := w.EarlierMovements; m != nil {
		a.add(availability.Quantity(m.Quantity), "%s from %s to %s", plural(m.Number, "earlier movement"), microsText(m.From), microsText(m.To))
	}
	for _, m := range w.Movements {
		merged := ""
		if m.Merged {
			merged = ", all of that minute"
		}
		a.add(availability.Quantity(m.Quantity), "moved %s%s", microsText(m.At), merged)
	}
	a.sum("on hand")
	if l.SafetyStockCount != 0 {
		a.add(-availability.Quantity(l.SafetyStockCount), "safety stock, of %s", whyTimeText(w.SafetyStockAt))
	}
	w.Reserved.subtract(a, "")
	a.sum("ATF %s, available to fulfill%s", l.ATF, belowZero(a.total, l.Shortfall))
	for _, x := range w.Futures {
		overdue := ""
		if x.Overdue {
			overdue = ", overdue and counted still"
		}
		a.add(availability.Quantity(x.Quantity), "expected %s%s", microsText(x.ExpectedDate), overdue)
	}
	if m := w.OtherFutures; m != nil {
		a.add(availability.Quantity(m.Quantity), "%s from %s to %s", plural(m.Number, "more future"), microsText(m.From), microsText(m.To))
	}
	a.sum("ATO %s, available to order%s", l.ATO, belowZero(a.total, 0))
	return a
}

// subtract puts down who holds what.
func (w *whyReserved) subtract(a *addition, where string) {
	for _, l := range w.Lines {
		expiry := ""
		switch {
		case l.Expired:
			expiry = fmt.Sprintf(", expired %s, to be released at once", whyTimeText(l.ExpiresAt))
		case l.ExpiresAt.Valid:
			expiry = ", until " + whyTimeText(l.ExpiresAt)
		}
		a.add(-availability.Quantity(l.Quantity), "reserved%s by %s%s", where, l.ReservationID, expiry)
	}
	if w.OtherLines > 0 {
		a.add(-availability.Quantity(w.Others), "reserved%s by %s; --all lists them", where, plural(w.OtherLines, "more line"))
	}
	if w.Unexplained != 0 {
		a.add(-availability.Quantity(w.Unexplained), "reserved%s, and no open reservation says so; `onhand audit` tells more", where)
	}
}

// belowZero says that a published number is not the sum.
func belowZero(sum availability.Quantity, shortfall schemas.Milli) string {
	switch {
	case sum >= 0:
		return ""
	case shortfall > 0:
		return fmt.Sprintf(": none below zero is shown, %s short", shortfall)
	}
	return ": none below zero is shown"
}

func (w *whyLocation) write(b *strings.Builder, l *schemas.AvailabilityUpdate) {
	w.addition(l).write(b)
	fmt.Fprintf(b, "updates are stale before: on hand %s, safety stock %s, futures %s\n", whyTimeText(w.CountedAt), whyTimeText(w.SafetyStockAt), whyTimeText(w.FuturesAt))
	order, fulfill := w.ReservableATO.text(), w.ReservableATF.text()
	if w.ReservableATO.Bound != nil {
		kind := ""
		if order != fulfill {
			kind = " to order"
		}
		fmt.Fprintf(b, "%s can be reserved here%s: %s\n", max(0, w.ReservableATO.Quantity), kind, order)
	}
	if w.ReservableATF.Bound != nil && order != fulfill {
		fmt.Fprintf(b, "%s can be reserved here to fulfill: %s\n", max(0, w.ReservableATF.Quantity), fulfill)
	}
}

// additions are the sums that end in ATO and in ATF.
func (w *whyGroup) additions(l *schemas.AvailabilityUpdate) (ato, atf *addition) {
	ato, atf = &addition{}, &addition{}
	ato.begin(availability.Quantity(w.Total.ATO), "ATO of the members")
	w.Reserved.subtract(ato, " at "+l.Place)
	if l.SharedGroupReserved != 0 {
		ato.add(-availability.Quantity(l.SharedGroupReserved), "taken by promises of groups that share its locations")
	}
	ato.sum("ATO %s, available to order%s", l.ATO, belowZero(ato.total, 0))
	atf.begin(availability.Quantity(w.Total.ATF), "ATF of the members")
	if l.GroupReserved != 0 {
		atf.add(-availability.Quantity(l.GroupReserved), "reserved at %s", l.Place)
	}
	if w.SharedATF != 0 {
		atf.add(-availability.Quantity(w.SharedATF), "taken by promises of groups that share its locations")
	}
	atf.sum("ATF %s, available to fulfill%s", l.ATF, belowZero(atf.total, 0))
	return ato, atf
}

func (w *whyGroup) write(b *strings.Builder, l *schemas.AvailabilityUpdate) {
	t := newTable("MEMBER", ">ON HAND", ">RESERVED", ">SAFETY", ">FUTURE", ">ATF", ">ATO")
	row := func(name string, m *whyMember) {
		t.add(name, m.OnHand, m.Reserved, m.SafetyStock, m.Future, m.ATF, m.ATO)
	}
	for i := range w.Members {
		row(w.Members[i].Place, &w.Members[i])
	}
	if w.OtherMembers > 0 {
		row(fmt.Sprintf("%d more", w.OtherMembers), &w.Others)
	}
	row(fmt.Sprintf("%d of %s", len(w.Members)+w.OtherMembers, plural(w.Locations, "location")), &w.Total)
	_ = t.print(b) // a Builder takes everything
	if w.Excluded > 0 {
		fmt.Fprintf(b, "%s not synced and not counted\n", isOrAre(w.Excluded, "member"))
	}
	b.WriteString("\n")
	ato, atf := w.additions(l)
	ato.write(b)
	atf.write(b)
	fmt.Fprintf(b, "ATO: %s\nATF: %s\n", w.ATO.text(), w.ATF.text())
	if l.Shortfall > 0 {
		fmt.Fprintf(b, "short: %s of what groups that share locations with it have promised cannot be kept\n", l.Shortfall)
	}
}

func isOrAre(n int, word string) string {
	if n == 1 {
		return "1 " + word + " is"
	}
	return plural(n, word) + " are"
}

func (w *whyReservable) text() string {
	if w.Bound == nil {
		return "no promise limits it"
	}
	return w.Bound.Text
}

func whyTimeText(at whyTime) string {
	if !at.Valid {
		return "never set"
	}
	return microsText(at.Value)
}

func microsText(at schemas.Micros) string { return instantText(availability.Instant(at)) }
