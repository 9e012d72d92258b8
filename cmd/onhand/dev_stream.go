package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/rivo/uniseg"
)

// devWord is a piece of an event's line that is not broken.
type devWord struct {
	style devStyle
	text  string
}

// eventWords tell an event and what it did.
func eventWords(e *devEvent) []devWord {
	if e.note != "" {
		var words []devWord
		for text := range strings.FieldsSeq(e.note) {
			words = append(words, devWord{devWarn, text})
		}
		return words
	}
	words := []devWord{{kindStyle(e), strings.TrimSpace(e.kind + " " + e.amount)}}
	if e.foreign {
		words[0].text = "▸ " + words[0].text
	}
	if e.sku != "" {
		words = append(words, devWord{devBold, e.sku})
	}
	if e.place != "" {
		words = append(words, devWord{devPlain, "@ " + e.place})
	}
	if e.trouble != "" {
		for text := range strings.FieldsSeq(e.trouble) {
			words = append(words, devWord{devWarn, text})
		}
	}
	for i, m := range e.moves {
		words = append(words, moveWord(m, i == 0, i == len(e.moves)-1))
	}
	if e.latency > 0 && len(e.moves) == 0 && e.trouble == "" {
		words = append(words, devWord{devDim, "ATO unchanged"})
	}
	if e.latency > 0 {
		words = append(words, devWord{devDim, "(" + milliseconds(e.latency) + ")"})
	}
	return words
}

func kindStyle(e *devEvent) devStyle {
	switch {
	case e.trouble != "":
		return devWarn
	case strings.HasPrefix(e.amount, "−"):
		return devDown
	case strings.HasPrefix(e.amount, "+"):
		return devUp
	default:
		return devGroup
	}
}

func moveWord(m devMove, first, last bool) devWord {
	text, style := m.place+" "+m.to.String(), devPlain
	if m.known {
		text = fmt.Sprintf("%s %s→%s", m.place, m.from, m.to)
		if m.to < m.from {
			style = devDown
		} else if m.to > m.from {
			style = devUp
		}
	}
	if m.gone {
		text = m.place + " gone"
	}
	if first {
		text = "→ ATO " + text
	}
	if !last {
		text += ","
	}
	return devWord{style, text}
}

// plainEvent is the event as one line without styles, for a reader that is no terminal.
func plainEvent(e *devEvent) string {
	words := eventWords(e)
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	return e.at.Local().Format(time.TimeOnly) + " " + strings.Join(texts, " ")
}

// events are the newest lines of the stream that fit, the newest at the bottom.
func (v *devView) events(width, height int, now time.Time) []string {
	if height < 1 {
		return nil
	}
	b := v.board
	b.mu.Lock()
	defer b.mu.Unlock()
	detail := "who moved what"
	if b.skipped > 0 {
		detail = fmt.Sprintf("who moved what; %d a second of the sample traffic, all of yours ▸", devStreamPerSecond)
	}
	lines := []string{v.rule(width, "EVENTS", detail)}
	var blocks [][]string
	room := height - 1
	for i := len(b.stream) - 1; i >= 0 && room > 0; i-- {
		if e := b.stream[i]; e.note != "" || b.wanted(e.sku) {
			block := v.wrapped(e, width)
			blocks = append(blocks, block[:min(len(block), room)])
			room -= len(block)
		}
	}
	for i := len(blocks) - 1; i >= 0; i-- {
		lines = append(lines, blocks[i]...)
	}
	return lines
}

// wrapped breaks an event into lines; the second and later ones are indented by the width of the time.
func (v *devView) wrapped(e *devEvent, width int) []string {
	line := v.line(width).put(devDim, " "+e.at.Local().Format(time.TimeOnly))
	var lines []string
	for _, w := range eventWords(e) {
		if line.width > devTimeWidth && line.width+1+uniseg.StringWidth(w.text) > width {
			lines = append(lines, line.String())
			line = v.line(width).to(devTimeWidth)
		}
		line.put(devPlain, " ").put(w.style, w.text)
	}
	return append(lines, line.String())
}
