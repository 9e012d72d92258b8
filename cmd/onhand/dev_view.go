package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"
)

// How the view moves. A level that moved just now is bright, one that moved lately has its arrow, and a SKU keeps its
// place on the screen until it has been still for a while: otherwise nothing could be read.
const (
	devBright = 700 * time.Millisecond
	devRecent = 4 * time.Second
	devHold   = 5 * time.Second
)

// Widths of the view, in columns.
const (
	devWide         = 120 // from here on levels and events stand side by side
	devCellWidth    = 36  // least for a place with its figures; below it versions are left out
	devPlacesShown  = 12  // of one SKU: the most recently moved
	devFullFoot     = 76  // from here on the figures of the foot are named in full
	devArrowWidth   = 2
	devVersionWidth = 8
	devTimeWidth    = 9
)

// devHead is what stands at the top of the view.
type devHead struct {
	exports []string // NAME=value
	note    string   // what is kept, and where
	started time.Time
}

// devView draws a board. It keeps what a screen needs to stay calm: which SKU stands where.
type devView struct {
	board  *devBoard
	head   devHead
	colour bool

	slots  []string // SKUs on the screen, top down
	filter string   // SKUs that contain it are shown
	typing bool     // the filter is being typed
	paused bool
	rate   float64 // of the simulator, events a second
}

// frame returns the lines of the whole screen, height of them.
func (v *devView) frame(width, height int, now time.Time) []string {
	figures := v.board.figures(now)
	lines := v.top(width, figures, now)
	foot := v.foot(width, figures)
	body := max(0, height-len(lines)-len(foot))
	if width >= devWide {
		lines = append(lines, v.sideBySide(width, body, now)...)
	} else {
		lines = append(lines, v.stacked(width, body, now)...)
	}
	for len(lines) < height-len(foot) {
		lines = append(lines, "")
	}
	return append(lines, foot...)[:height]
}

func (v *devView) line(width int) *devText { return newDevText(width, v.colour) }

func (v *devView) top(width int, f devFigures, now time.Time) []string {
	title := v.line(width).put(devTitle, " onhand dev").put(devDim, "  up "+duration(now.Sub(v.head.started)))
	if v.head.note != "" {
		title.put(devDim, "  "+v.head.note)
	}
	if v.paused {
		title.put(devWarn, "  traffic paused")
	}
	lines := []string{title.String()}
	for _, line := range exportLines(v.head.exports, width-1) {
		lines = append(lines, v.line(width).put(devPlain, " "+line).String())
	}
	if p := f.progress; p.done < p.total {
		lines = append(lines, v.rebuilding(width, p))
	}
	return lines
}

// rebuilding is the bar that grows while Redis is rebuilt.
func (v *devView) rebuilding(width int, p devProgress) string {
	const bar = 24
	full := int(bar * p.done / p.total)
	return v.line(width).put(devWarn, " "+rebuildingText(p)+" ").
		put(devGroup, strings.Repeat("█", full)).put(devDim, strings.Repeat("░", bar-full)).String()
}

func rebuildingText(p devProgress) string {
	return fmt.Sprintf("rebuilding Redis from the log: %s of %s", thousands(p.done), thousands(p.total))
}

// exportLines packs the variables into as few lines as fit, each a command of its own.
func exportLines(variables []string, width int) []string {
	var lines []string
	for _, variable := range variables {
		if n := len(lines); n > 0 && uniseg.StringWidth(lines[n-1])+1+uniseg.StringWidth(variable) <= width {
			lines[n-1] += " " + variable
		} else {
			lines = append(lines, "export "+variable)
		}
	}
	return lines
}

func (v *devView) foot(width int, f devFigures) []string {
	figures := v.line(width).put(devPlain, fmt.Sprintf(" events %.1f/s  updates %.1f/s  ", f.events, f.updates))
	if width >= devFullFoot {
		figures.put(devPlain, "delta→update ")
	}
	if f.p50 > 0 {
		figures.put(devBold, fmt.Sprintf("p50 %s  p99 %s", milliseconds(f.p50), milliseconds(f.p99)))
	} else {
		figures.put(devDim, "no update lately")
	}
	figures.put(devPlain, fmt.Sprintf("  refused %s", thousands(f.refusals)))
	if f.letters > 0 {
		figures.put(devWarn, fmt.Sprintf("  dead letters %s", thousands(f.letters)))
	}
	keys := v.line(width)
	if v.typing {
		keys.put(devWarn, " SKU contains: "+v.filter+"▏").put(devDim, "  Enter keeps, Esc clears")
		return []string{figures.String(), keys.String()}
	}
	pause := " pause"
	if v.paused {
		pause = " go on"
	}
	keys.put(devKey, " q").put(devDim, " quit  ").put(devKey, "p").put(devDim, pause+"  ").
		put(devKey, "+/-").put(devDim, fmt.Sprintf(" traffic %g/s  ", v.rate)).put(devKey, "/").put(devDim, " filter")
	if v.filter != "" {
		keys.put(devWarn, " "+v.filter)
	}
	return []string{figures.String(), keys.String()}
}

func (v *devView) stacked(width, height int, now time.Time) []string {
	levels := v.levels(width, max(0, height*3/5), now)
	events := v.events(width, height-len(levels), now)
	return append(levels, events...)
}

func (v *devView) sideBySide(width, height int, now time.Time) []string {
	left := width / 2
	levels := v.levels(left, height, now)
	events := v.events(width-left-1, height, now)
	lines := make([]string, height)
	for i := range lines {
		l := ""
		if i < len(levels) {
			l = levels[i]
		}
		lines[i] = l + fmt.Sprintf("\x1b[K\x1b[%dG", left+1) // what stood there before may have been longer
		if v.colour {
			lines[i] += "\x1b[2m│\x1b[0m"
		} else {
			lines[i] += "│"
		}
		if i < len(events) {
			lines[i] += events[i]
		}
	}
	return lines
}

func (v *devView) rule(width int, title, detail string) string {
	t := v.line(width).put(devDim, "─ ").put(devBold, title)
	if detail != "" {
		t.put(devDim, " "+detail)
	}
	return t.put(devDim, " "+strings.Repeat("─", max(0, width-t.width-1))).String()
}

func duration(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
}

func milliseconds(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// thousands is the number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
