package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// reservationFlags are the flags of the four reservation commands. Not every command has every flag.
type reservationFlags struct {
	request, reservation string
	location, group      string
	toLocation, toGroup  string
	noPartial            bool
	fulfillOnly          bool
	ignoreAvailability   bool
	expiresIn            time.Duration
	expiresAt, eventTime string
	reference            string
	timeout              time.Duration
	waitLevel            bool
	asJSON               *bool
}

const reservationHelp = `
The event is published to reservation-events, and its result awaited in reservation-results. The exit code is 0 if it is
ACCEPTED or PARTIAL, 1 if it is REJECTED. The same --request gets the same result again, so a command that was cut off
may be repeated with it.`

// common adds the flags that all four have.
func (f *reservationFlags) common(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.request, "request", "", "request `id`, 1 to 256 characters (default a new UUID)")
	flags.StringVar(&f.reference, "ref", "", "your reference, kept with the event")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for the result, with unit")
	flags.BoolVar(&f.waitLevel, "wait-level", false, "wait until \"onhand get\" is as new as the result, too")
	f.asJSON = addJSONFlag(cmd)
}

func newReserveCommand(a *app) *cobra.Command {
	f := &reservationFlags{}
	cmd := &cobra.Command{
		Use:   "reserve SKU QUANTITY",
		Short: "Hold stock at a location or a group",
		Long:  "Hold a quantity of a SKU at a location or a group for a basket or an order.\n" + reservationHelp,
		Example: `  onhand reserve SHIRT-M-BLUE 2 --group US-EAST --expires-in 10m
  onhand reserve SHIRT-M-BLUE 1 --location NY-2 --reservation order-9 --no-partial`,
		Args: arguments("SKU", "QUANTITY"),
	}
	cmd.Flags().StringVar(&f.reservation, "reservation", "", "reservation `id`, 1 to 256 characters (default a new UUID)")
	cmd.Flags().StringVar(&f.location, "location", "", "location to hold it at; this or --group")
	cmd.Flags().StringVar(&f.group, "group", "", "group to hold it at")
	cmd.Flags().BoolVar(&f.noPartial, "no-partial", false, "refuse unless the whole quantity is there")
	cmd.Flags().BoolVar(&f.fulfillOnly, "fulfill-only", false, "hold only what can ship now: test ATF instead of ATO")
	cmd.Flags().DurationVar(&f.expiresIn, "expires-in", 0, "release it after this time, with unit; 0: never")
	cmd.Flags().StringVar(&f.expiresAt, "expires-at", "", "release it at this time, as 2026-01-31T08:00:00Z")
	f.common(cmd)
	cmd.RunE = a.reservation(f, availability.Reserve)
	return cmd
}

func newTransferCommand(a *app) *cobra.Command {
	f := &reservationFlags{}
	cmd := &cobra.Command{
		Use:     "transfer SKU QUANTITY",
		Short:   "Move a hold to another place",
		Long:    "Move a quantity that a reservation holds at one place to another: from a group to one of its locations, and the like.\n" + reservationHelp,
		Example: `  onhand transfer SHIRT-M-BLUE 2 --reservation order-9 --group US-EAST --to-location NY-2`,
		Args:    arguments("SKU", "QUANTITY"),
	}
	f.held(cmd, "where it is held")
	cmd.Flags().StringVar(&f.toLocation, "to-location", "", "location to move it to; this or --to-group")
	cmd.Flags().StringVar(&f.toGroup, "to-group", "", "group to move it to")
	cmd.Flags().BoolVar(&f.ignoreAvailability, "ignore-availability", false, "move it though it is not there; from a group to a location")
	f.common(cmd)
	cmd.RunE = a.reservation(f, availability.Transfer)
	return cmd
}

func newFulfillCommand(a *app) *cobra.Command {
	f := &reservationFlags{}
	cmd := &cobra.Command{
		Use:     "fulfill SKU QUANTITY",
		Short:   "Take held stock out of a location",
		Long:    "Take a quantity that a reservation holds at a location out of its stock: it has shipped.\n" + reservationHelp,
		Example: `  onhand fulfill SHIRT-M-BLUE 2 --reservation order-9 --location NY-2`,
		Args:    arguments("SKU", "QUANTITY"),
	}
	cmd.Flags().StringVar(&f.reservation, "reservation", "", "reservation `id`")
	cmd.Flags().StringVar(&f.location, "location", "", "location it ships from")
	cmd.Flags().StringVar(&f.eventTime, "event-time", "", "when it left, as 2026-01-31T08:00:00Z (default now); before the newest count, on hand stays")
	f.common(cmd)
	cmd.RunE = a.reservation(f, availability.Fulfill)
	return cmd
}

func newReleaseCommand(a *app) *cobra.Command {
	f := &reservationFlags{}
	cmd := &cobra.Command{
		Use:   "release SKU [QUANTITY]",
		Short: "Give a hold back",
		Long:  "Give back what a reservation holds: a quantity, or all that is left; at a place, or wherever it is.\n" + reservationHelp,
		Example: `  onhand release SHIRT-M-BLUE --reservation order-9
  onhand release SHIRT-M-BLUE 1 --reservation order-9 --group US-EAST`,
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return arguments("SKU", "QUANTITY")(cmd, args)
	}
	f.held(cmd, "where it is held; neither: wherever it is")
	f.common(cmd)
	cmd.RunE = a.reservation(f, availability.Release)
	return cmd
}

// held adds the flags that name what a reservation holds.
func (f *reservationFlags) held(cmd *cobra.Command, where string) {
	cmd.Flags().StringVar(&f.reservation, "reservation", "", "reservation `id`")
	cmd.Flags().StringVar(&f.location, "location", "", "location "+where)
	cmd.Flags().StringVar(&f.group, "group", "", "group "+where)
}

// reservation makes the function that runs one of the commands.
func (a *app) reservation(f *reservationFlags, action availability.Action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		event, err := f.event(action, args, time.Now())
		if err != nil {
			return hinted(&usageError{err}, fmt.Sprintf("`%s --help` shows examples", cmd.CommandPath()))
		}
		decision, err := a.request(cmd.Context(), c.Config, event, f)
		if decision == nil {
			return err
		}
		// What was decided is told, whatever came after.
		if printed := a.printDecision(decision, event, *f.asJSON); err == nil {
			err = printed
		}
		return err
	}
}

// event builds the event from the command line. What the processor would call a dead letter is an error here.
func (f *reservationFlags) event(action availability.Action, args []string, now time.Time) (*availability.ReservationEvent, error) {
	if f.request == "" {
		f.request = uuid.NewString()
	}
	if f.reservation == "" && action == availability.Reserve {
		f.reservation = uuid.NewString()
	}
	e := &availability.ReservationEvent{
		RequestID: f.request, ReservationID: f.reservation, SKU: availability.SKU(args[0]), Action: action,
		Location: availability.LocationID(f.location), Group: availability.GroupID(f.group),
		ToLocation: availability.LocationID(f.toLocation), ToGroup: availability.GroupID(f.toGroup),
		RefusePartial: f.noPartial, FulfillOnly: f.fulfillOnly, IgnoreAvailabilityCheck: f.ignoreAvailability,
		EventAt: availability.None, ExpiresAt: availability.None, ExternalRefID: f.reference, At: availability.Instant(now.UnixMicro()),
	}
	var errs []error
	if len(args) > 1 {
		q, err := availability.ParseQuantity(args[1])
		e.Quantity, e.HasQuantity = q, true
		errs = append(errs, err)
	}
	if err := availability.CheckSKU(args[0]); err != nil {
		errs = append(errs, fmt.Errorf("SKU %q: %w", args[0], err))
	}
	for _, id := range []struct{ flag, text string }{{"request", f.request}, {"reservation", f.reservation}} {
		if err := checkRequestID(id.text); err != nil {
			errs = append(errs, fmt.Errorf("--%s %w", id.flag, err))
		}
	}
	errs = append(errs, f.places(action), f.times(e, now))
	return e, errors.Join(errs...)
}

// places checks which places are named. Whether they exist is for the processor to say.
func (f *reservationFlags) places(action availability.Action) error {
	var errs []error
	for _, id := range []string{f.location, f.group, f.toLocation, f.toGroup} {
		if id != "" {
			if err := availability.CheckPlaceID(id); err != nil {
				errs = append(errs, fmt.Errorf("place %q: %w", id, err))
			}
		}
	}
	switch {
	case f.location != "" && f.group != "":
		errs = append(errs, errors.New("--location and --group exclude each other"))
	case f.location == "" && f.group == "" && action == availability.Fulfill:
		errs = append(errs, errors.New("--location is missing"))
	case f.location == "" && f.group == "" && action != availability.Release:
		errs = append(errs, errors.New("one of --location and --group is missing"))
	}
	if action == availability.Transfer && (f.toLocation == "") == (f.toGroup == "") {
		errs = append(errs, errors.New("one of --to-location and --to-group is needed"))
	}
	return errors.Join(errs...)
}

// times reads the times that flags name.
func (f *reservationFlags) times(e *availability.ReservationEvent, now time.Time) error {
	var errs []error
	parse := func(flag, text string, into *availability.Instant) {
		if text == "" {
			return
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s %q is no time such as 2026-01-31T08:00:00Z", flag, text))
			return
		}
		*into = availability.Instant(at.UnixMicro())
	}
	parse("expires-at", f.expiresAt, &e.ExpiresAt)
	parse("event-time", f.eventTime, &e.EventAt)
	if f.expiresIn != 0 && f.expiresAt != "" {
		errs = append(errs, errors.New("--expires-in and --expires-at exclude each other"))
	}
	if f.expiresIn < 0 {
		errs = append(errs, errors.New("--expires-in must be above 0"))
	} else if f.expiresIn > 0 {
		e.ExpiresAt = availability.Instant(now.Add(f.expiresIn).UnixMicro())
	}
	return errors.Join(errs...)
}

// printDecision prints the result and makes a rejection an exit code.
func (a *app) printDecision(d *topics.Decision, e *availability.ReservationEvent, asJSON bool) error {
	r := &d.Result
	if asJSON {
		if err := printJSON(a.out, resultRecord(d)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "%s: granted %s of %s %s, reservation %s, request %s, version %d\n", schemas.Outcome(r.Outcome), r.Granted,
			r.Requested, e.SKU, d.ReservationID, d.RequestID, r.Version)
		if text := strings.Join(notEmpty(r.ErrorCode, r.Message), ": "); text != "" {
			fmt.Fprintf(a.out, "  %s\n", text)
		}
		if len(r.TightGroups) > 0 {
			fmt.Fprintf(a.out, "  limited by what is promised at %v\n", r.TightGroups)
		}
	}
	if r.Outcome == availability.Rejected {
		return errReported
	}
	return nil
}

func notEmpty(texts ...string) (some []string) {
	for _, text := range texts {
		if text != "" {
			some = append(some, text)
		}
	}
	return some
}

// resultRecord is the record of the decision, for JSON.
func resultRecord(d *topics.Decision) schemas.ReservationResult {
	optional := func(text string) schemas.Optional[string] {
		return schemas.Optional[string]{Value: text, Valid: text != ""}
	}
	r := schemas.ReservationResult{
		RequestID: d.RequestID, ReservationID: d.ReservationID, SKU: string(d.SKU), Action: schemas.Action(d.Action),
		Outcome: schemas.Outcome(d.Result.Outcome), Requested: schemas.Milli(d.Result.Requested), Granted: schemas.Milli(d.Result.Granted),
		ErrorCode: optional(d.Result.ErrorCode), Message: optional(d.Result.Message), Version: d.Result.Version,
	}
	for _, g := range d.Result.TightGroups {
		r.TightGroups = append(r.TightGroups, string(g))
	}
	return r
}

// errNoAnswer says that no result came in time.
var errNoAnswer = errors.New("no result")

// noAnswer says what can be said when no result came in time.
func (w *wire) noAnswer(ctx context.Context, e *availability.ReservationEvent, task int32, timeout time.Duration) error {
	err := fmt.Errorf("%w for request %s within %s", errNoAnswer, e.RequestID, shortDuration(timeout))
	state, asked := w.group(ctx)
	switch {
	case asked != nil:
		return err
	case state.Members == 0:
		return hinted(err, "no processor runs; start one with `onhand run`")
	}
	lag := state.Tasks[task].Inputs[availability.Events].Lag
	return hinted(err, fmt.Sprintf("%s of task %d, which %s runs, are not folded yet; `onhand status` says how it is", plural(int(lag), "event"), task, orNobody(state.Tasks[task].Member)))
}
