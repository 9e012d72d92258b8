package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// devStyle is how a piece of text stands on the screen: SGR parameters of a terminal.
type devStyle string

// Styles. Colours only repeat what arrows and words say, so that nothing is lost without them.
const (
	devPlain  devStyle = ""
	devDim    devStyle = "2"
	devBold   devStyle = "1"
	devTitle  devStyle = "1;36"
	devUp     devStyle = "32"
	devDown   devStyle = "31"
	devUpNow  devStyle = "1;32"
	devDownNo devStyle = "1;31"
	devWarn   devStyle = "1;33"
	devKey    devStyle = "1"
	devGroup  devStyle = "36"
)

// colourless are the styles of a terminal whose user wants no colours (https://no-color.org): weight alone.
var colourless = map[devStyle]devStyle{
	devPlain: devPlain, devDim: devDim, devBold: devBold, devTitle: devBold, devUp: devPlain, devDown: devPlain,
	devUpNow: devBold, devDownNo: devBold, devWarn: devBold, devGroup: devPlain,
}

// devText is a line of styled text that never gets wider than it may.
type devText struct {
	text   strings.Builder
	width  int // columns written
	limit  int // columns there are
	colour bool
}

func newDevText(limit int, colour bool) *devText { return &devText{limit: limit, colour: colour} }

// put appends text, cut with … where the line ends.
func (t *devText) put(style devStyle, text string) *devText {
	room := t.limit - t.width
	if room <= 0 || text == "" {
		return t
	}
	text = cutTo(text, room)
	if !t.colour {
		style = colourless[style]
	}
	if style == devPlain {
		t.text.WriteString(text)
	} else {
		t.text.WriteString("\x1b[" + string(style) + "m" + text + "\x1b[0m")
	}
	t.width += uniseg.StringWidth(text)
	return t
}

// to fills with spaces up to the column.
func (t *devText) to(column int) *devText {
	return t.put(devPlain, strings.Repeat(" ", max(0, min(column, t.limit)-t.width)))
}

func (t *devText) String() string { return t.text.String() }

// cutTo cuts the text to so many columns, the last of them … where something is missing.
func cutTo(text string, columns int) string {
	if uniseg.StringWidth(text) <= columns {
		return text
	}
	var b strings.Builder
	width := 0
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if width += g.Width(); width > columns-1 {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

// padLeft puts the text at the right end of so many columns.
func padLeft(text string, columns int) string {
	text = cutTo(text, columns)
	return strings.Repeat(" ", columns-uniseg.StringWidth(text)) + text
}

// padRight puts the text at the left end of so many columns.
func padRight(text string, columns int) string {
	text = cutTo(text, columns)
	return text + strings.Repeat(" ", columns-uniseg.StringWidth(text))
}

// devScreen draws frames on a terminal. It sends only the lines that differ from the frame before: a terminal far away
// shows the view as calmly as one at hand.
type devScreen struct {
	out           io.Writer
	lines         []string
	width, height int
}

// Sequences of a terminal: the alternate screen keeps what stood there before, the cursor would only blink about, and
// lines are cut here rather than wrapped there.
const (
	screenEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	screenLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func (s *devScreen) enter() error { return s.send(screenEnter) }
func (s *devScreen) leave() error { return s.send(screenLeave) }

// draw shows the lines, the first at the top, as many as the screen has. Another size than before draws all afresh, line
// by line: some terminals keep what a clearing of the screen takes away, and show it again at the end.
func (s *devScreen) draw(lines []string, width, height int) error {
	var b strings.Builder
	if width != s.width || height != s.height {
		s.lines, s.width, s.height = nil, width, height
	}
	for i, line := range lines {
		if i < len(s.lines) && s.lines[i] == line {
			continue
		}
		fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", i+1, line)
	}
	s.lines = lines
	if b.Len() == 0 {
		return nil
	}
	return s.send(b.String())
}

func (s *devScreen) send(text string) error {
	if _, err := io.WriteString(s.out, text); err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	return nil
}
