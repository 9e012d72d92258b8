package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"onhand/processor/availability"
)

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*[mK]")

// sampleBoard is a board on which a sale at STORE-NYC has moved the store and two groups, and another client has been
// refused a reservation.
func sampleBoard(now time.Time) *devBoard {
	b := newDevBoard()
	level := func(place string, group bool, ato, version int64) devLevel {
		q := availability.Quantity(ato) * availability.Unit
		return devLevel{place: place, group: group, atf: q, ato: q, version: 1<<40 + version}
	}
	for i, l := range []devLevel{
		level("STORE-NYC", false, 41, 1), level("STORE-LA", false, 7, 1), level("DC-NEWARK", false, 120, 1),
		level("US-EAST", true, 161, 1), level("SHIP-US", true, 168, 1),
	} {
		b.update("SHIRT-M-BLUE", l, true, "", now.Add(time.Duration(i)))
	}
	b.input("onhand.stock-deltas/3/17", devEvent{at: now, kind: "SALE", amount: "−1", sku: "SHIRT-M-BLUE", place: "STORE-NYC"}, now)
	received := now.Add(2 * time.Millisecond)
	b.update("SHIRT-M-BLUE", level("STORE-NYC", false, 40, 2), true, "onhand.stock-deltas/3/17", received)
	b.update("SHIRT-M-BLUE", level("US-EAST", true, 160, 2), true, "onhand.stock-deltas/3/17", received)
	b.update("SHIRT-M-BLUE", level("SHIP-US", true, 167, 2), true, "onhand.stock-deltas/3/17", received)
	b.input("onhand.reservation-events/3/4", devEvent{at: now, kind: "RESERVE", amount: "900", sku: "SHIRT-M-BLUE", place: "US-EAST", foreign: true}, now)
	b.refused("onhand.reservation-events/3/4", "refused: InsufficientQuantity", received)
	return b
}

func sampleView(b *devBoard, now time.Time) *devView {
	return &devView{board: b, rate: 20, head: devHead{started: now.Add(-time.Minute), exports: []string{
		"ONHAND_BROKERS=127.0.0.1:19092", "ONHAND_REGISTRY=http://127.0.0.1:18081", "ONHAND_REDIS=redis://127.0.0.1:16379", "ONHAND_NAMESPACE=onhand"}}}
}

func TestViewFitsItsTerminal(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 2, 11, 0, time.UTC)
	for _, size := range [][2]int{{80, 24}, {160, 50}, {120, 30}, {40, 12}, {20, 6}, {5, 3}, {1, 1}} {
		for _, colour := range []bool{true, false} {
			t.Run(fmt.Sprintf("%dx%d,colour=%v", size[0], size[1], colour), func(t *testing.T) {
				v := sampleView(sampleBoard(now), now)
				v.colour = colour
				lines := v.frame(size[0], size[1], now.Add(time.Second))
				if len(lines) != size[1] {
					t.Fatalf("%d lines, want %d", len(lines), size[1])
				}
				for _, line := range lines {
					if !colour && regexp.MustCompile(`\x1b\[[0-9;]*3[0-9]m`).MatchString(line) {
						t.Errorf("a colour where none is wanted: %q", line)
					}
					for part := range strings.SplitSeq(line, "\x1b["+fmt.Sprint(size[0]/2+1)+"G") {
						if w := uniseg.StringWidth(sgr.ReplaceAllString(part, "")); w > size[0] {
							t.Errorf("%d columns: %q", w, line)
						}
					}
				}
			})
		}
	}
}

func TestViewTellsWhoMovedWhat(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 2, 11, 0, time.UTC)
	b := sampleBoard(now)
	v := sampleView(b, now)
	words := func(lines []string) string {
		return strings.Join(strings.Fields(sgr.ReplaceAllString(strings.Join(lines, "\n"), "")), " ")
	}
	later := now.Add(2 * time.Second)
	text := words(v.frame(80, 24, later))
	for _, want := range []string{
		"export ONHAND_REDIS=redis://127.0.0.1:16379 ONHAND_NAMESPACE=onhand",
		"SALE −1 SHIRT-M-BLUE @ STORE-NYC → ATO STORE-NYC 41→40, US-EAST 161→160, SHIP-US 168→167 (2 ms)",
		"▸ RESERVE 900 SHIRT-M-BLUE @ US-EAST refused: InsufficientQuantity",
		"STORE-NYC 40 40 ↓ 0 1.2",
		"p50 2 ms p99 2 ms refused 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	v.setFilter("jeans")
	if text := words(v.frame(80, 24, later)); strings.Contains(text, "SHIRT") {
		t.Errorf("a SKU that the filter leaves out is shown:\n%s", text)
	}
	b.rebuilt(devProgress{done: 12400, total: 31000})
	if text, want := words(v.frame(80, 24, later)), "rebuilding Redis from the log: 12,400 of 31,000 █████████░"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

func TestBoardKeepsTheNewestVersion(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 2, 11, 0, time.UTC)
	b := sampleBoard(now)
	old := devLevel{place: "STORE-NYC", ato: 99 * availability.Unit, version: 1<<40 + 1}
	b.update("SHIRT-M-BLUE", old, true, "onhand.stock-deltas/3/18", now)
	if stock, ok := b.stock("SHIRT-M-BLUE", "STORE-NYC"); !ok || stock.ato != 40*availability.Unit {
		t.Errorf("ATO is %s after an older version, want 40", stock.ato)
	}
	b.update("SHIRT-M-BLUE", devLevel{place: "STORE-NYC", version: 1<<40 + 3}, false, "onhand.stock-deltas/3/19", now)
	if stock, ok := b.stock("SHIRT-M-BLUE", "STORE-NYC"); ok {
		t.Errorf("%v after a tombstone, want nothing", stock)
	}
}

func TestBoardIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 2, 11, 0, time.UTC)
	b := newDevBoard()
	for i := range 3 * devBoardEventsMax {
		at := now.Add(time.Duration(i) * time.Millisecond)
		source, sku := fmt.Sprintf("t/0/%d", i), fmt.Sprintf("SKU-%d", i)
		b.input(source, devEvent{at: at, kind: "SALE", sku: sku, place: "S", foreign: true}, at)
		b.update(sku, devLevel{place: "S", version: int64(i)}, true, source, at)
	}
	if len(b.events) > devBoardEventsMax || len(b.sources) > devBoardEventsMax || len(b.stream) > devBoardStreamMax ||
		len(b.skus) > devBoardSKUsMax || len(b.samples) > devBoardSamplesMax {
		t.Errorf("%d events, %d sources, %d in the stream, %d SKUs, %d samples", len(b.events), len(b.sources), len(b.stream), len(b.skus), len(b.samples))
	}
	if last := fmt.Sprintf("SKU-%d", 3*devBoardEventsMax-1); b.skus[last] == nil {
		t.Errorf("the newest SKU is forgotten")
	}
}

func TestKeysOfATerminal(t *testing.T) {
	for text, want := range map[string]string{"q": "q", "\x1b[A": "", "\x1b[1;5Cp": "p", "\x1bOP+": "+", "\x1b": "\x1b", "ä/": "ä/"} {
		if got := string(typed([]byte(text))); got != want {
			t.Errorf("typed(%q) is %q, want %q", text, got, want)
		}
	}
}

func TestFilterIsTyped(t *testing.T) {
	quits := 0
	terminal := &devTerminal{view: sampleView(newDevBoard(), time.Now()), traffic: newDevTraffic(20), quit: func() { quits++ }}
	press := func(keys string) {
		for _, key := range keys {
			terminal.press(key)
		}
	}
	press("/qpä\x7f\r")
	if got := terminal.view.filter; got != "qp" || quits != 0 {
		t.Errorf("filter %q, %d quits, want \"qp\" and none", got, quits)
	}
	press("p")
	if rate, _ := terminal.traffic.get(); rate != 0 {
		t.Errorf("rate %g while paused, want 0", rate)
	}
	press("p+")
	if rate, _ := terminal.traffic.get(); rate != 30 {
		t.Errorf("rate %g after one +, want 30", rate)
	}
	press("\x1bq\x03")
	if terminal.view.filter != "" || quits != 2 {
		t.Errorf("filter %q, %d quits, want none and 2", terminal.view.filter, quits)
	}
}
