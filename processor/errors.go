package processor

import (
	"errors"
	"fmt"

	"onhand/processor/availability"
)

// errStopped is what a task stops with that no waiting and no new claim can heal: an operator must act. The error's text
// says how. Other tasks go on.
var errStopped = errors.New("task stopped")

// stopped wraps a reason to stop with what an operator can do about it and where the runbook says more.
func stopped(heading, hint, format string, args ...any) error {
	return fmt.Errorf("%w: %s; %s (runbook: %s)", errStopped, fmt.Sprintf(format, args...), hint, heading)
}

// stoppedBy is the error that a task stops with: what the store cannot read has a way out, too.
func stoppedBy(err error) error {
	if errors.Is(err, availability.ErrCorrupt) && !errors.Is(err, errStopped) {
		return stopped("CorruptState", "restore a backup of the store, which the task then catches up with", "what the store holds cannot be read: %v", err)
	}
	return err
}

// reaction is what is done about an error of a task. Records that can never be applied are no errors here: they are
// dead letters.
type reaction uint8

const (
	retry   reaction = iota // wait and do the same again
	reclaim                 // drop what is in memory, claim again, recover
	stop                    // an operator must act
)

func reactionTo(err error) reaction {
	switch {
	case errors.Is(err, errStopped):
		return stop
	case errors.Is(err, availability.ErrFenced), errors.Is(err, errForgotten):
		return reclaim
	case errors.Is(err, availability.ErrCorrupt):
		return stop
	}
	return retry
}

// errForgotten says that a checkpoint is not the one last acknowledged: the store has forgotten writes, or another owner
// has claimed the task.
var errForgotten = errors.New("the store's checkpoint is not the last one acknowledged")
