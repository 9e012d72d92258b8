package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// How often the plain view writes, and how much at a time.
const (
	devPlainInterval = 500 * time.Millisecond
	devPlainFigures  = 10 * time.Second
	devPlainLinesMax = 10 // events in one interval; the rest are counted
)

// devPlainView writes a board as lines, for a reader that is no terminal.
type devPlainView struct {
	board *devBoard
	out   io.Writer

	seen     int64 // events written or counted, since the start
	progress devProgress
	figures  time.Time // when the figures were written last
}

// run writes until the context ends.
func (v *devPlainView) run(ctx context.Context) error {
	ticker := time.NewTicker(devPlainInterval)
	defer ticker.Stop()
	v.figures = time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if _, err := io.WriteString(v.out, v.lines(now)); err != nil {
				return fmt.Errorf("writing lines: %w", err)
			}
		}
	}
}

// lines is what has happened since the last call, each line with its end.
func (v *devPlainView) lines(now time.Time) string {
	var b strings.Builder
	f := v.board.figures(now)
	if f.progress != v.progress {
		v.progress = f.progress
		fmt.Fprintln(&b, now.Local().Format(time.TimeOnly), rebuildingText(f.progress))
	}
	events, seen := v.board.since(v.seen)
	v.seen = seen
	for i, line := range events {
		if i == devPlainLinesMax {
			fmt.Fprintln(&b, now.Local().Format(time.TimeOnly), "and", plural(len(events)-i, "further event"))
			break
		}
		fmt.Fprintln(&b, line)
	}
	if now.Sub(v.figures) >= devPlainFigures {
		v.figures = now
		fmt.Fprintf(&b, "%s %.1f events/s, %.1f updates/s, delta→update p50 %s p99 %s, refused %s, dead letters %s\n", now.Local().Format(time.TimeOnly),
			f.events, f.updates, milliseconds(f.p50), milliseconds(f.p99), thousands(f.refusals), thousands(f.letters))
	}
	return b.String()
}
