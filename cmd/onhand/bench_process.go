package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// benchProcess is a processor that a benchmark runs as a child: `onhand run` of the same binary, or another system.
type benchProcess struct {
	instance string
	foreign  bool // another system: it has no metrics of ours
	cmd      *exec.Cmd
	ended    chan struct{} // closed when it has ended; err is set then
	asked    atomic.Bool   // to end

	mu    sync.Mutex
	admin string   // URL of its metrics; empty until it has said so
	lines []string // the last it wrote to standard error
	cost  processCost
	err   error
}

// processCost is what a process has used since it started.
type processCost struct {
	CPU         time.Duration
	AllocBytes  float64
	Allocations float64
	Resident    int64 // now
}

// processLines is how many lines of a process that ended badly are shown, processWait how long one may take to start or
// to end.
const (
	processLines = 12
	processWait  = time.Minute
)

// startBenchProcess starts a processor. It is not waited for.
func startBenchProcess(ctx context.Context, environ, args []string, instance string) (*benchProcess, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	args = append([]string{"run"}, args...)
	p := newBenchProcess(ctx, binary, append(args, "--instance", instance, "--admin", "127.0.0.1:0")...)
	p.instance, p.cmd.Env = instance, environ
	if err := p.launch(); err != nil {
		return nil, err
	}
	return p, nil
}

// newBenchProcess is a process that is not started yet. It outlives ctx: whoever starts it ends it in order.
func newBenchProcess(ctx context.Context, program string, args ...string) *benchProcess {
	return &benchProcess{ended: make(chan struct{}), cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...)}
}

// launch starts the process.
func (p *benchProcess) launch() error {
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting a processor: %w", err)
	}
	complaints, err := p.cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("starting a processor: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting a processor: %w", err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(out, p.said) })
	reading.Go(func() { p.read(complaints, p.complained) })
	go func() { // ends with the process; stop and kill wait for it
		reading.Wait()
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return nil
}

// read hands on each line until the stream ends.
func (p *benchProcess) read(stream io.Reader, take func(string)) {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		p.mu.Lock()
		take(lines.Text())
		p.mu.Unlock()
	}
	// A line that is too long ends the scanner; the process shall not stand still for want of a reader.
	_, _ = io.Copy(io.Discard, stream)
}

func (p *benchProcess) said(line string) {
	if url, ok := strings.CutPrefix(line, "metrics and health on "); ok {
		p.admin = url
	}
}

func (p *benchProcess) complained(line string) {
	p.lines = append(p.lines[max(0, len(p.lines)-processLines+1):], line)
}

// failed is the error of a process that has ended though nobody asked it to, nil of one that runs.
func (p *benchProcess) failed() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reason := "without an error"
	if p.err != nil {
		reason = p.err.Error()
	}
	return fmt.Errorf("processor %s has ended, %s:\n%s", p.instance, reason, strings.Join(p.lines, "\n"))
}

// ready waits until all tasks of the process run.
func (p *benchProcess) ready(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, processWait)
	defer cancel()
	for {
		if err := p.failed(); err != nil {
			return err
		}
		if text, err := p.ask(waiting, "/readyz"); err == nil {
			return nil
		} else if sleep(waiting, 20*time.Millisecond) != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("processor %s is not ready after %s: %s", p.instance, processWait, strings.TrimSpace(text))
		}
	}
}

// ask gets a page of the process. The text is there with an error too.
func (p *benchProcess) ask(ctx context.Context, page string) (string, error) {
	p.mu.Lock()
	url := p.admin
	p.mu.Unlock()
	if url == "" {
		return "", errors.New("it has not said where it answers")
	}
	return getText(ctx, url+page)
}

// getText gets a page.
func getText(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d from %s", response.StatusCode, url)
	}
	return string(text), err
}

// used is what the process has used so far; of one that was killed, all but memory allocated since it was last asked.
func (p *benchProcess) used(ctx context.Context) processCost {
	text, err := "", error(nil)
	select {
	case <-p.ended:
	default:
		if p.foreign {
			return p.usedForeign()
		}
		text, err = p.ask(ctx, "/metrics")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		if s := p.cmd.ProcessState; s != nil {
			p.cost.CPU, p.cost.Resident = s.UserTime()+s.SystemTime(), 0
		}
	default:
		if err == nil {
			p.cost = parseProcessCost(text)
		}
	}
	return p.cost
}

// usedForeign is what the system says of a process that has no metrics of ours.
func (p *benchProcess) usedForeign() processCost {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cpu := timeOf(p.cmd.Process.Pid); cpu != nil {
		p.cost = processCost{CPU: *cpu, Resident: residentOf(p.cmd.Process.Pid)}
	}
	return p.cost
}

// parseProcessCost reads the metrics that every process of ours has.
func parseProcessCost(text string) processCost {
	var c processCost
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			continue
		}
		switch name {
		case "process_cpu_seconds_total":
			c.CPU = time.Duration(n * float64(time.Second))
		case "go_memstats_alloc_bytes_total":
			c.AllocBytes = n
		case "go_memstats_mallocs_total":
			c.Allocations = n
		case "process_resident_memory_bytes":
			c.Resident = int64(n)
		}
	}
	return c
}

// stop ends the process in order, as Ctrl-C does, and waits for it; one that does not end in time is killed.
func (p *benchProcess) stop(ctx context.Context) error {
	p.asked.Store(true)
	if err := p.failed(); err != nil {
		return err
	}
	p.used(ctx)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return errors.Join(fmt.Errorf("stopping processor %s: %w", p.instance, err), p.kill())
	}
	select {
	case <-p.ended:
		if p.cmd.ProcessState.ExitCode() > 0 && p.cmd.ProcessState.ExitCode() != exitInterrupted {
			return p.failed()
		}
		return nil
	case <-time.After(processWait):
		return errors.Join(fmt.Errorf("processor %s does not end within %s", p.instance, processWait), p.kill())
	}
}

// kill ends the process as kill -9 does, and waits for it.
func (p *benchProcess) kill() error {
	p.asked.Store(true)
	err := p.cmd.Process.Kill()
	<-p.ended
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing processor %s: %w", p.instance, err)
	}
	return nil
}
