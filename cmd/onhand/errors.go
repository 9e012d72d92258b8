package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"onhand/topics"
)

// Exit codes. A command line that cannot be understood is exitUsage, all else that did not come out as asked exitFailure.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell has it for Ctrl-C
)

// errReported ends a command with exitFailure that has said already what is wrong.
var errReported = errors.New("reported")

// hintError is an error with a way out.
type hintError struct {
	err  error
	hint string
}

// hinted adds what to do to an error.
func hinted(err error, hint string) error { return &hintError{err: err, hint: hint} }

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// interruption is a command that was told to end before it was done, and how things stand.
type interruption struct{ text string }

func interruptedf(format string, args ...any) error {
	return &interruption{"interrupted; " + fmt.Sprintf(format, args...)}
}

func (e *interruption) Error() string { return e.text }
func (e *interruption) Unwrap() error { return context.Canceled }

// interruptionText is what is said of a command that was told to end.
func interruptionText(err error) string {
	var i *interruption
	if errors.As(err, &i) {
		return i.text
	}
	return "interrupted"
}

// report prints the error with its way out, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var usage *usageError
	var problem *Problem
	code := exitFailure
	switch {
	case errors.As(err, &usage) || errors.As(err, &problem):
		code = exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(w, "onhand: %s\n", interruptionText(err))
		return exitInterrupted
	}
	if errors.Is(err, errReported) {
		return code
	}
	fmt.Fprintf(w, "onhand: %s\n", indented(err.Error()))
	var hint *hintError
	if errors.As(err, &hint) {
		fmt.Fprintf(w, "  %s\n", indented(hint.hint))
	}
	return code
}

// isRefusal says that a record can never be read, as opposed to not now.
func isRefusal(err error) bool {
	var refusal *topics.Refusal
	return errors.As(err, &refusal)
}

// indented puts the further lines of a text under the first.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
