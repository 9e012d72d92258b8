package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// plainEvery is how often progress is written where no terminal shows a bar.
const plainEvery = 5 * time.Second

// progress shows how far a command is: a bar on a terminal, a line now and then elsewhere.
type progress struct {
	out   io.Writer
	what  string
	total int64

	mu    sync.Mutex // guards all below
	bar   *progressbar.ProgressBar
	said  time.Time
	ended bool
}

// newProgress shows steps out of total tasks.
func newProgress(w io.Writer, what string, total int32) *progress {
	p := &progress{out: w, what: what, total: int64(total), said: time.Now()}
	if isTerminal(w) {
		p.bar = progressbar.NewOptions64(int64(total), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false))
	}
	return p
}

// newCountProgress shows records out of total.
func newCountProgress(w io.Writer, what string, total int) *progress {
	p := &progress{out: w, what: what, total: int64(total), said: time.Now()}
	if isTerminal(w) {
		p.bar = progressbar.NewOptions64(int64(total), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(false))
	}
	return p
}

// newByteProgress shows bytes out of total; below 0 it is not known.
func newByteProgress(w io.Writer, what string, total int64) *progress {
	p := &progress{out: w, what: what, total: total, said: time.Now()}
	if isTerminal(w) {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(total > 0))
	}
	return p
}

// set shows a number of tasks.
func (p *progress) set(n int) {
	p.show(int64(n), fmt.Sprintf("%s: %d of %d tasks", p.what, n, p.total))
}

// show moves the bar to n with the note beside it, or writes the line if it is time for one.
func (p *progress) show(n int64, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
	case p.bar != nil:
		p.bar.Describe(line)
		// An error of the terminal is no reason to stop the work.
		_ = p.bar.Set64(n)
	case time.Since(p.said) >= plainEvery:
		p.said = time.Now()
		fmt.Fprintln(p.out, line)
	}
}

// note is show where the bar stays where it is.
func (p *progress) note(line string) {
	p.mu.Lock()
	n := int64(0)
	if p.bar != nil {
		n = p.bar.State().CurrentNum
	}
	p.mu.Unlock()
	p.show(n, line)
}

// end takes the bar away. It may be called again.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended && p.bar != nil {
		_ = p.bar.Clear() // as in show
	}
	p.ended = true
}
