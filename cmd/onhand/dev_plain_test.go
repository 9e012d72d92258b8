package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPlainViewSaysWhatIsOfNote(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 2, 11, 0, time.Local)
	b := sampleBoard(now)
	v := &devPlainView{board: b, figures: now}
	want := "14:02:11 SALE −1 SHIRT-M-BLUE @ STORE-NYC → ATO STORE-NYC 41→40, US-EAST 161→160, SHIP-US 168→167 (2 ms)\n" +
		"14:02:11 ▸ RESERVE 900 SHIRT-M-BLUE @ US-EAST refused: InsufficientQuantity\n"
	if got := v.lines(now.Add(time.Second)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := v.lines(now.Add(2 * time.Second)); got != "" {
		t.Errorf("said again: %q", got)
	}
	b.rebuilt(devProgress{done: 1, total: 1500})
	if got, want := v.lines(now.Add(3*time.Second)), "14:02:14 rebuilding Redis from the log: 1 of 1,500\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 100 {
		b.say(fmt.Sprint("line ", i), now)
	}
	got := v.lines(now.Add(20 * time.Second))
	if n := strings.Count(got, "\n"); n != devPlainLinesMax+2 || !strings.Contains(got, "and 90 further events\n") || !strings.Contains(got, "events/s") {
		t.Errorf("%d lines of 100, want %d, how many more, and the figures:\n%s", n, devPlainLinesMax, got)
	}
}
