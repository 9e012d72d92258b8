package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// levels are blocks of one SKU each, at most so many lines of them.
func (v *devView) levels(width, height int, now time.Time) []string {
	if height < 3 {
		return nil
	}
	b := v.board
	b.mu.Lock()
	defer b.mu.Unlock()
	columns := max(1, (width-1)/devCellWidth)
	cell := (width - 1) / columns
	perSKU := 1 + (v.placesMax()+columns-1)/columns
	v.settle(max(1, (height-2)/perSKU), now)
	grid := v.grid(cell)
	head := v.line(width)
	for c := range columns {
		head.to(c*cell).put(devDim, " "+padRight("place", grid.place)+padLeft("ATF", grid.figure)+padLeft("ATO", grid.figure)+
			strings.Repeat(" ", devArrowWidth)+padLeft("res", grid.figure)+padLeft("version", grid.version))
	}
	lines := []string{v.rule(width, "LEVELS", v.found()), head.String()}
	spare := height - 2 - len(v.slots)*perSKU
	for i, name := range v.slots {
		if i > 0 && spare >= len(v.slots)-1 {
			lines = append(lines, "")
		}
		lines = append(lines, v.block(name, b.skus[name], width, columns, grid, now)...)
	}
	return lines[:min(len(lines), height)]
}

// devGrid is how wide the columns of a cell are.
type devGrid struct{ place, figure, version int }

// grid gives the figures what the widest of those shown needs, and the places what is left.
func (v *devView) grid(cell int) devGrid {
	g := devGrid{figure: 4}
	for _, name := range v.slots {
		for _, l := range v.board.skus[name].levels {
			g.figure = max(g.figure, len(l.atf.String()), len(l.ato.String()), len(l.reserved.String()))
		}
	}
	g.figure++
	if cell >= devCellWidth {
		g.version = devVersionWidth
	}
	g.place = max(4, cell-1-3*g.figure-devArrowWidth-g.version)
	return g
}

func (v *devView) found() string {
	if v.filter == "" {
		return "the SKUs that moved last"
	}
	return fmt.Sprintf("SKUs that contain %q", v.filter)
}

// placesMax is how many places the SKU on the board with the most of them shows.
func (v *devView) placesMax() int {
	most := 1
	for _, s := range v.board.skus {
		most = max(most, len(s.levels))
	}
	return min(most, devPlacesShown)
}

// settle decides which SKUs stand in so many slots. One that is there stays while it moves, and a little longer.
func (v *devView) settle(slots int, now time.Time) {
	b := v.board
	keep := func(name string) bool {
		s, ok := b.skus[name]
		return ok && b.wanted(name) && now.Sub(s.movedAt) < devHold
	}
	var coming []string
	for _, name := range b.skusByMove() {
		if b.wanted(name) && !slices.Contains(v.slots, name) {
			coming = append(coming, name)
		}
	}
	v.slots = v.slots[:min(len(v.slots), slots)]
	for i, name := range v.slots {
		if !keep(name) && len(coming) > 0 && (!b.wanted(name) || b.skus[name] == nil || b.skus[coming[0]].movedAt.After(b.skus[name].movedAt)) {
			v.slots[i], coming = coming[0], coming[1:]
		}
	}
	for len(v.slots) < slots && len(coming) > 0 {
		v.slots, coming = append(v.slots, coming[0]), coming[1:]
	}
	v.slots = slices.DeleteFunc(v.slots, func(name string) bool { return !b.wanted(name) || b.skus[name] == nil })
}

func (v *devView) block(name string, s *devSKU, width, columns int, grid devGrid, now time.Time) []string {
	title := v.line(width).put(devBold, " "+name)
	lines := []string{title.String()}
	levels := shownLevels(s)
	rows := (len(levels) + columns - 1) / columns
	cell := (width - 1) / columns
	for r := range rows {
		line := v.line(width)
		for c := range columns {
			if i := c*rows + r; i < len(levels) {
				levelCell(line.to(c*cell), levels[i], grid, now)
			}
		}
		lines = append(lines, line.String())
	}
	return lines
}

// shownLevels are the most recently moved places of a SKU: groups first, then locations, each by name.
func shownLevels(s *devSKU) []*devLevel {
	levels := make([]*devLevel, 0, len(s.levels))
	for _, l := range s.levels {
		levels = append(levels, l)
	}
	byName := func(x, y *devLevel) int {
		if x.group != y.group {
			return cmp.Compare(b2i(y.group), b2i(x.group))
		}
		return strings.Compare(x.place, y.place)
	}
	slices.SortFunc(levels, func(x, y *devLevel) int { return cmp.Or(y.movedAt.Compare(x.movedAt), byName(x, y)) })
	levels = levels[:min(len(levels), devPlacesShown)]
	slices.SortFunc(levels, byName)
	return levels
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func levelCell(t *devText, l *devLevel, g devGrid, now time.Time) {
	name, figures, arrow := devPlain, devPlain, "  "
	if l.group {
		name = devGroup
	}
	if age := now.Sub(l.movedAt); !l.movedAt.IsZero() && age < devRecent {
		figures, arrow = stepStyle(l.step, age < devBright), stepArrow(l.step)
	}
	t.put(name, " "+padRight(l.place, g.place)).put(devPlain, padLeft(l.atf.String(), g.figure)).
		put(figures, padLeft(l.ato.String(), g.figure)+arrow).put(devPlain, padLeft(l.reserved.String(), g.figure))
	if g.version > 0 {
		t.put(devDim, padLeft(versionText(l.version), g.version))
	}
}

func stepStyle(step int, bright bool) devStyle {
	switch {
	case step > 0 && bright:
		return devUpNow
	case step > 0:
		return devUp
	case step < 0 && bright:
		return devDownNo
	case step < 0:
		return devDown
	case bright:
		return devBold
	default:
		return devPlain
	}
}

func stepArrow(step int) string {
	switch {
	case step > 0:
		return " ↑"
	case step < 0:
		return " ↓"
	default:
		return " ·"
	}
}

// versionText is a version as its two parts: the epoch, which grows with every claim of the task, and the commit in it.
func versionText(version int64) string {
	const sequenceBits = 40
	return fmt.Sprintf("%d.%d", version>>sequenceBits, version&(1<<sequenceBits-1))
}
