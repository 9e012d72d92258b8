// Command testlog reads the output of go test -json on its standard input and prints it as go test prints it without
// -json: one line per package, the whole output of what failed. It ends with code 1 when a test failed, and also when a
// test was skipped, for a test that skips where it was given all it needs proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// skipAllowed names the tests that may skip though every service is there, as "package.Test", with the reason.
var skipAllowed = map[string]string{}

func main() {
	if err := report(os.Stdin, os.Stdout, skipAllowed); err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		os.Exit(1)
	}
}

// event is one line of go test -json, as far as it matters here. Test is empty for what concerns a whole package, and
// ImportPath stands instead of Package in the output of a build.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

func (e event) name() string { return e.Package + "." + e.Test }

// log is what was read: the output of each test that has not ended yet, by name, and the names of those that ended badly.
type log struct {
	out     io.Writer
	pending map[string][]string
	failed  []string
	skipped []string
	passed  int
}

// report copies the test log in r to out and returns what is wrong with it: failures, skipped tests that are not
// allowed to skip, or no test at all.
func report(r io.Reader, out io.Writer, allowed map[string]string) error {
	l := &log{out: out, pending: map[string][]string{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			l.read(line)
		}
		if errors.Is(err, io.EOF) {
			return l.verdict(allowed)
		}
		if err != nil {
			return fmt.Errorf("reading the test log: %w", err)
		}
	}
}

// read takes one line. Lines that are not JSON come from go itself, before the first test; they are shown as they are.
func (l *log) read(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(l.out, line)
		return
	}
	switch e.Action {
	case "output":
		l.output(e)
	case "build-output":
		fmt.Fprint(l.out, e.Output)
	case "build-fail":
		l.failed = append(l.failed, e.ImportPath+" (build)")
	case "fail":
		l.end(e, &l.failed, true)
	case "skip":
		l.end(e, &l.skipped, true)
	case "pass":
		l.end(e, nil, false)
		if e.Test != "" {
			l.passed++
		}
	}
}

// output shows a package's closing line at once and keeps the rest until it is known how the test ends.
func (l *log) output(e event) {
	if e.Test == "" {
		if e.Output != "PASS\n" {
			fmt.Fprint(l.out, e.Output)
		}
		return
	}
	l.pending[e.name()] = append(l.pending[e.name()], e.Output)
}

// end closes a test, or a package where Test is empty: its output is shown if it matters, and its name goes to the list.
// A package without test files "skips"; that is no test.
func (l *log) end(e event, list *[]string, show bool) {
	if e.Test == "" {
		if e.Action == "fail" {
			l.flush(e.Package)
			l.failed = append(l.failed, e.Package)
		}
		return
	}
	if show {
		fmt.Fprint(l.out, strings.Join(l.pending[e.name()], ""))
	}
	delete(l.pending, e.name())
	if list != nil {
		*list = append(*list, e.name())
	}
}

// flush shows what the tests of a package said that never ended, because the test binary panicked or ran out of time.
func (l *log) flush(pkg string) {
	var names []string
	for name := range l.pending {
		if strings.HasPrefix(name, pkg+".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprint(l.out, strings.Join(l.pending[name], ""))
		delete(l.pending, name)
	}
}

func (l *log) verdict(allowed map[string]string) error {
	skipped := slices.DeleteFunc(l.skipped, func(name string) bool { return allowed[name] != "" })
	fmt.Fprintf(l.out, "%d tests passed, %d failed, %d skipped\n", l.passed, len(l.failed), len(l.skipped))
	var problems []error
	if len(l.failed) > 0 {
		problems = append(problems, fmt.Errorf("failed: %s", strings.Join(l.failed, ", ")))
	}
	if len(skipped) > 0 {
		problems = append(problems, fmt.Errorf("skipped although every service was there: %s", strings.Join(skipped, ", ")))
	}
	if l.passed == 0 && len(problems) == 0 {
		problems = append(problems, errors.New("no test ran"))
	}
	return errors.Join(problems...)
}
