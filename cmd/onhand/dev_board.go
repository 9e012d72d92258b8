package main

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"onhand/processor/availability"
)

// Bounds of a devBoard: what a screen and its history can hold, however long it runs and however many SKUs move.
const (
	devBoardSKUsMax    = 2000
	devBoardEventsMax  = 8192 // remembered as possible causes: minutes of traffic at the default rate
	devBoardStreamMax  = 400  // shown, or just scrolled away
	devBoardSamplesMax = 2048
)

// devStreamPerSecond is how many events of the simulator are shown each second: what an eye can follow.
const devStreamPerSecond = 3

// devLevel is the level of one SKU at one place as a storefront knows it.
type devLevel struct {
	place    string
	group    bool
	onHand   availability.Quantity
	atf, ato availability.Quantity
	reserved availability.Quantity
	version  int64
	movedAt  time.Time // when the newest change was received; zero: before the start
	step     int       // direction of the newest change of ATO: −1, 0, 1
}

// devMove is a change of ATO at a place. Known says that the quantity before was known.
type devMove struct {
	place    string
	from, to availability.Quantity
	known    bool
	gone     bool // the place no longer has the SKU
}

// devEvent is an input event and what it did: a line of the stream.
type devEvent struct {
	at      time.Time // the record's timestamp
	kind    string    // SALE, RECEIPT, RESERVE, …; empty while only its effect is known
	amount  string    // signed quantity, or empty
	sku     string
	place   string
	foreign bool   // not of the simulator
	trouble string // why it was refused or became a dead letter; empty if neither
	note    string // a line that is no event: all else but at is empty
	moves   []devMove
	latency time.Duration // from the record's timestamp to the first update received; zero: no update yet
	shown   bool
}

// devSKU holds the levels of a SKU, by place.
type devSKU struct {
	levels  map[string]*devLevel
	movedAt time.Time
}

// devProgress is how far Redis has been rebuilt, in records of the inputs.
type devProgress struct{ done, total int64 }

// devBoard gathers what the topics say, for the view, for plain lines and for the simulator. Several goroutines may use it.
type devBoard struct {
	mu       sync.Mutex
	skus     map[string]*devSKU
	events   map[string]*devEvent // by source: topic/partition/offset
	sources  []string             // keys of events, oldest first
	stream   []*devEvent          // shown events, oldest first
	shown    int64                // events ever put into the stream
	filter   string               // the person looks at SKUs that contain it, without regard to case
	skipped  int                  // events of the simulator not shown since the start
	credit   float64              // events of the simulator that may be shown at once
	creditAt time.Time
	samples  []devSample // newest latencies, a ring
	next     int         // place in samples of the next
	inputs   devRate
	updates  devRate
	letters  int64
	refusals int64
	progress devProgress
}

func newDevBoard() *devBoard {
	return &devBoard{skus: map[string]*devSKU{}, events: map[string]*devEvent{}, credit: devStreamPerSecond}
}

// input takes an event as it stands in an input topic.
func (b *devBoard) input(source string, e devEvent, received time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inputs.add(received)
	known := b.event(source, e.at)
	known.at, known.kind, known.amount, known.place, known.foreign = e.at, e.kind, e.amount, e.place, e.foreign
	known.sku = e.sku
}

// event returns the event of a source, a new one if it is not known yet: updates may be received before their cause.
func (b *devBoard) event(source string, at time.Time) *devEvent {
	if e, ok := b.events[source]; ok {
		return e
	}
	if len(b.sources) == devBoardEventsMax {
		delete(b.events, b.sources[0])
		b.sources = append(b.sources[:0], b.sources[1:]...)
	}
	e := &devEvent{at: at}
	b.events[source] = e
	b.sources = append(b.sources, source)
	return e
}

// update takes a level from the topic that storefronts follow; present is false for a tombstone. The cause is the source
// of the event that moved it; empty for what stood in the topic before the start, which is no news. An older version than
// the known one is ignored.
func (b *devBoard) update(sku string, l devLevel, present bool, cause string, received time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sku(sku, received)
	before, known := s.levels[l.place]
	if known && l.version < before.version {
		return
	}
	if known {
		l.step = cmp.Compare(l.ato, before.ato)
	}
	if cause != "" {
		b.updates.add(received)
		l.movedAt, s.movedAt = received, received
		b.moved(sku, l, before, present, cause, received)
	}
	if present {
		s.levels[l.place] = &l
	} else {
		delete(s.levels, l.place)
	}
}

func (b *devBoard) moved(sku string, l devLevel, before *devLevel, present bool, cause string, received time.Time) {
	e := b.event(cause, received)
	e.sku = sku
	if e.latency == 0 && e.kind != "" {
		e.latency = max(received.Sub(e.at), time.Millisecond) // a record's timestamp has no finer unit
		b.sample(devSample{received, e.latency})
	}
	move := devMove{place: l.place, to: l.ato, gone: !present}
	if before != nil {
		move.from, move.known = before.ato, true
	}
	if !move.known || move.from != move.to || move.gone {
		e.moves = append(e.moves, move)
	}
	b.show(e, received)
}

func (b *devBoard) sku(sku string, received time.Time) *devSKU {
	s, ok := b.skus[sku]
	if !ok {
		if len(b.skus) >= devBoardSKUsMax {
			b.forget()
		}
		s = &devSKU{levels: map[string]*devLevel{}, movedAt: received}
		b.skus[sku] = s
	}
	return s
}

// forget drops the tenth of the SKUs that has not moved for longest.
func (b *devBoard) forget() {
	names := b.skusByMove()
	for _, name := range names[len(names)*9/10:] {
		delete(b.skus, name)
	}
}

// skusByMove are all SKUs, the most recently moved first.
func (b *devBoard) skusByMove() []string {
	names := make([]string, 0, len(b.skus))
	for name := range b.skus {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(b.skus[y].movedAt.Compare(b.skus[x].movedAt), strings.Compare(x, y))
	})
	return names
}

// follow makes the board show every event of the SKUs that contain the text.
func (b *devBoard) follow(filter string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filter = filter
}

func (b *devBoard) wanted(sku string) bool {
	return b.filter == "" || strings.Contains(strings.ToLower(sku), strings.ToLower(b.filter))
}

// show puts an event into the stream unless it is there, or is one of too many of the simulator.
func (b *devBoard) show(e *devEvent, now time.Time) {
	if e.shown || e.kind == "" && e.note == "" {
		return
	}
	if !b.creditAt.IsZero() {
		b.credit = min(devStreamPerSecond, b.credit+now.Sub(b.creditAt).Seconds()*devStreamPerSecond)
	}
	b.creditAt = now
	if !e.foreign && e.trouble == "" && e.note == "" && (b.filter == "" || !b.wanted(e.sku)) {
		if b.credit < 1 {
			e.shown = true
			b.skipped++
			return
		}
		b.credit--
	}
	e.shown = true
	if len(b.stream) == devBoardStreamMax {
		b.stream = append(b.stream[:0], b.stream[1:]...)
	}
	b.stream = append(b.stream, e)
	b.shown++
}

// since returns the events of the stream after so many, as lines, and how many there are now.
func (b *devBoard) since(seen int64) (lines []string, shown int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := max(0, int64(len(b.stream))-(b.shown-seen))
	for _, e := range b.stream[first:] {
		lines = append(lines, plainEvent(e))
	}
	return lines, b.shown
}

// refused says that a reservation event was rejected, or granted in part.
func (b *devBoard) refused(source, why string, received time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals++
	b.troubled(source, why, received)
}

// deadLetter says that an event could not be applied.
func (b *devBoard) deadLetter(source, why string, received time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters++
	b.troubled(source, why, received)
}

func (b *devBoard) troubled(source, why string, received time.Time) {
	e := b.event(source, received)
	if e.kind == "" {
		e.kind = "RECORD"
		e.place = source
	}
	e.trouble = why
	e.shown = e.shown && slices.Contains(b.stream, e)
	b.show(e, received)
}

// say puts a line of text into the stream.
func (b *devBoard) say(text string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.show(&devEvent{at: now, note: text}, now)
}

// rebuilt says how far Redis reflects what was published before the start.
func (b *devBoard) rebuilt(p devProgress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress = p
}

// stock returns what a storefront knows of a SKU at a place, false where the place has none.
func (b *devBoard) stock(sku availability.SKU, place string) (simStock, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.skus[string(sku)]; ok {
		if l, ok := s.levels[place]; ok {
			return simStock{onHand: l.onHand, atf: l.atf, ato: l.ato}, true
		}
	}
	return simStock{}, false
}
