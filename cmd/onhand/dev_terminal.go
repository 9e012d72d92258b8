package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// devFrameInterval is the time between frames: short enough for a number to flash, long enough to cost nothing.
const devFrameInterval = 100 * time.Millisecond

// devTraffic is how fast the simulator goes. Several goroutines may use it.
type devTraffic struct {
	mu      sync.Mutex
	rate    float64 // events a second
	paused  bool
	changed chan struct{} // closed and replaced at every change
}

func newDevTraffic(rate float64) *devTraffic {
	return &devTraffic{rate: rate, changed: make(chan struct{})}
}

// get returns the rate, 0 while paused, and a channel that is closed when it changes.
func (t *devTraffic) get() (rate float64, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused {
		return 0, t.changed
	}
	return t.rate, t.changed
}

func (t *devTraffic) change(f func(t *devTraffic)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t)
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *devTraffic) pause() { t.change(func(t *devTraffic) { t.paused = !t.paused }) }

// scale makes the traffic faster or slower by a factor, between 1 and simRateMax events a second.
func (t *devTraffic) scale(factor float64) {
	t.change(func(t *devTraffic) { t.rate = math.Round(min(simRateMax, max(1, t.rate*factor))) })
}

func (t *devTraffic) show(v *devView) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.rate, v.paused = t.rate, t.paused
}

// devTerminal shows a view on a terminal and takes its keys.
type devTerminal struct {
	in      io.Reader // nil: no keys
	out     io.Writer
	view    *devView
	traffic *devTraffic
	size    func() (width, height int)
	quit    func()
}

// terminalSize returns the size of a terminal as it is at the moment, 80×24 where it is not known.
func terminalSize(w io.Writer) func() (width, height int) {
	return func() (int, int) {
		if file, ok := w.(*os.File); ok {
			if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
				return width, height
			}
		}
		return 80, 24
	}
}

// run shows the view until the context ends. The size is asked for at every
// frame: that needs no signal, which not every system has.
func (t *devTerminal) run(ctx context.Context) (err error) {
	restore, err := t.raw()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	screen := &devScreen{out: t.out}
	if err := screen.enter(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.leave()) }()

	keys := t.keys(ctx)
	ticker := time.NewTicker(devFrameInterval)
	defer ticker.Stop()
	for {
		t.traffic.show(t.view)
		width, height := t.size()
		if err := screen.draw(t.view.frame(width, height, time.Now()), width, height); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if !ok {
				keys = nil
				continue
			}
			t.press(key)
		case <-ticker.C:
		}
	}
}

// raw makes the terminal hand over each key as it is pressed, Ctrl-C among them.
func (t *devTerminal) raw() (restore func() error, err error) {
	file, ok := t.in.(*os.File)
	if !ok || !isTerminal(file) {
		return func() error { return nil }, nil
	}
	state, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return nil, fmt.Errorf("taking over the terminal: %w", err)
	}
	return func() error { return term.Restore(int(file.Fd()), state) }, nil
}

// keys hands over what is typed, a key at a time. A read from a terminal cannot be interrupted: the goroutine ends with
// the input or, after one more key, with the context; in the command that is the end of the process.
func (t *devTerminal) keys(ctx context.Context) <-chan rune {
	if t.in == nil {
		return nil
	}
	keys := make(chan rune)
	go func() {
		defer close(keys)
		buffer := make([]byte, 64)
		for {
			n, err := t.in.Read(buffer)
			for _, key := range typed(buffer[:n]) {
				select {
				case keys <- key:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return keys
}

// Keys by their code.
const (
	keyCtrlC     = 3
	keyBackspace = 8
	keyEnter     = 13
	keyEscape    = 27
	keyDelete    = 127
)

// typed splits what one read returned into keys. The sequences of arrows and the like, which have no meaning here, are
// dropped; an escape that stands alone is the key.
func typed(text []byte) []rune {
	var keys []rune
	for i := 0; i < len(text); {
		if text[i] == keyEscape && i+1 < len(text) && (text[i+1] == '[' || text[i+1] == 'O') {
			for i += 2; i < len(text) && (text[i] < '@' || text[i] > '~'); i++ {
			}
			i++
			continue
		}
		key, size := utf8.DecodeRune(text[i:])
		keys = append(keys, key)
		i += size
	}
	return keys
}

func (t *devTerminal) press(key rune) {
	if key == keyCtrlC {
		t.quit()
		return
	}
	if t.view.typing {
		t.view.typeFilter(key)
		return
	}
	switch key {
	case 'q', 'Q':
		t.quit()
	case 'p', 'P', ' ':
		t.traffic.pause()
	case '+', '=':
		t.traffic.scale(1.5)
	case '-', '_':
		t.traffic.scale(1 / 1.5)
	case '/':
		t.view.typing = true
	case keyEscape:
		t.view.setFilter("")
	}
}

// filterMax is as long as a filter gets, in characters: as a SKU.
const filterMax = 250

func (v *devView) typeFilter(key rune) {
	switch {
	case key == keyEnter || key == '\n':
		v.typing = false
	case key == keyEscape:
		v.typing = false
		v.setFilter("")
	case key == keyBackspace || key == keyDelete:
		if _, size := utf8.DecodeLastRuneInString(v.filter); size > 0 {
			v.setFilter(v.filter[:len(v.filter)-size])
		}
	case key > ' ' && key != utf8.RuneError && utf8.RuneCountInString(v.filter) < filterMax:
		v.setFilter(v.filter + string(key))
	}
}

func (v *devView) setFilter(filter string) {
	v.filter = filter
	v.board.follow(filter)
}
