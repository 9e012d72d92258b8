package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"onhand/processor/availability"
)

func TestTableAlignsAndEndsLinesWithoutSpaces(t *testing.T) {
	table := newTable("PLACE", ">ATF", "NOTE")
	table.add("NEW-YORK", 5, "")
	table.add("É", 1000, "größer")
	var out strings.Builder
	if err := table.print(&out); err != nil {
		t.Fatal(err)
	}
	want := "PLACE      ATF  NOTE\nNEW-YORK     5\nÉ         1000  größer\n"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
}

// full takes no byte.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	table := newTable("A")
	for name, err := range map[string]error{
		"table": table.print(full{}), "json": printJSON(full{}, 1), "line": printJSONLine(full{}, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProgressWithoutATerminalIsALineNowAndThen(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out, "adopted", 4)
	p.set(1)
	if out.String() != "" {
		t.Errorf("said at once: %q", out.String())
	}
	p.said = time.Now().Add(-plainEvery)
	p.set(2)
	p.set(3)
	p.end()
	p.said = time.Now().Add(-plainEvery)
	p.set(4)
	p.end()
	if out.String() != "adopted: 2 of 4 tasks\n" {
		t.Errorf("%q", out.String())
	}
	if isTerminal(&out) || terminalWidth(&out) != 80 {
		t.Error("a buffer is no terminal")
	}
}

func TestAdminServerSaysWhy(t *testing.T) {
	admin, err := listenAdmin(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total"})
	registry.MustRegister(counter)
	var notReady error
	log := (&app{err: &strings.Builder{}}).logger(defaultConfig())
	admin.serve(registry, log, func() error { return nil }, func() error { return notReady })
	for _, test := range []struct {
		path string
		err  error
		code int
		want string
	}{
		{"/healthz", nil, http.StatusOK, "ok\n"},
		{"/readyz", nil, http.StatusOK, "ok\n"},
		{"/readyz", errors.New("task 3 is recovering"), http.StatusServiceUnavailable, "task 3 is recovering\n"},
		{"/metrics", nil, http.StatusOK, "# HELP test_total \n# TYPE test_total counter\ntest_total 0\n"},
		{"/", nil, http.StatusNotFound, "404 page not found\n"},
	} {
		notReady = test.err
		if code, body := httpGet(t, admin.url()+test.path); code != test.code || body != test.want {
			t.Errorf("%s: %d %q, want %d %q", test.path, code, body, test.code, test.want)
		}
	}
	if err := admin.close(t.Context()); err != nil {
		t.Error(err)
	}
	if code, _ := httpGet(t, admin.url()+"/healthz"); code != 0 {
		t.Error("it answers after its end")
	}
}

func TestTelemetryLeavesTheProcessOnlyWhenAskedTo(t *testing.T) {
	for _, test := range []struct {
		environ string
		want    bool
	}{
		{"OTEL_SERVICE_NAME=x", false},
		{"OTEL_TRACES_EXPORTER=none", false},
		{"OTEL_TRACES_EXPORTER=prometheus", false},
		{"OTEL_TRACES_EXPORTER=console", true},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", true},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318", true},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_SDK_DISABLED=true", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_TRACES_EXPORTER=none", false},
	} {
		t.Run(test.environ, func(t *testing.T) {
			for pair := range strings.FieldsSeq(test.environ) {
				name, text, _ := strings.Cut(pair, "=")
				t.Setenv(name, text)
			}
			if got := exports("TRACES"); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "nonsense")
	log := (&app{err: &strings.Builder{}}).logger(defaultConfig())
	if _, err := newTelemetry(t.Context(), "one", log); err == nil || !strings.Contains(err.Error(), "making the span exporter") {
		t.Error(err)
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	telemetry, err := newTelemetry(t.Context(), "one", log)
	if err != nil {
		t.Fatal(err)
	}
	if err := telemetry.shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStatusSaysHowRedisStandsToKafka(t *testing.T) {
	for _, test := range []struct {
		task storedTask
		err  error
		want string
	}{
		{storedTask{}, nil, "none"},
		{storedTask{}, errors.New("refused"), "?"},
		{storedTask{Redis: &storedCheckpoint{}}, nil, "equal"},
		{storedTask{Redis: &storedCheckpoint{Behind: 7}}, nil, "behind 7"},
		{storedTask{Redis: &storedCheckpoint{Behind: -7}}, nil, "ahead 7"},
	} {
		if got := test.task.redisText(test.err); got != test.want {
			t.Errorf("%+v: %q, want %q", test.task, got, test.want)
		}
	}
	for _, test := range []struct {
		task    taskState
		version int64
		want    string
	}{
		{taskState{}, 0, "-"},
		{taskState{Epoch: 1, GraphVersion: 1}, 2, "-"},
		{taskState{Epoch: 1, GraphVersion: 2, SweepCursor: 512}, 2, "50 %"},
		{taskState{Epoch: 1, GraphVersion: 2, SweepCursor: 1<<20 + 512}, 2, "50 %"},
		{taskState{Epoch: 1, GraphVersion: 2, SweepCursor: availability.SweepDone}, 2, "done"},
		{taskState{Epoch: 1, GraphVersion: 3}, 2, "done"},
	} {
		if got := sweepText(&test.task, test.version); got != test.want {
			t.Errorf("%+v: %q, want %q", test.task, got, test.want)
		}
	}
	var task taskState
	task.take("v1 epoch=2 seq=7 graph=3 sweep=-1 origin=0")
	task.take("v1 epoch=2 seq=5 graph=2 sweep=4 origin=0") // the other input, committed before
	task.take("set by hand")
	if task.Epoch != 2 || task.CommitSeq != 7 || task.GraphVersion != 3 || task.SweepCursor != -1 {
		t.Errorf("%+v", task)
	}
}

func TestKafkasClientIsSilentBelowWarnings(t *testing.T) {
	for _, test := range []struct {
		level string
		want  string
	}{{"info", "WARN"}, {"warn", "WARN"}, {"error", ""}, {"debug", "INFO WARN"}} {
		var out strings.Builder
		c := defaultConfig()
		c.LogLevel, c.LogFormat = test.level, "json"
		log := clientLogger(c, (&app{err: &out}).logger(c)).With("client", "kafka").WithGroup("g")
		log.Info("joining")
		log.Warn("leaving", "err", "x")
		var got []string
		for line := range strings.Lines(out.String()) {
			var entry struct{ Level, Client string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Client != "kafka" {
				t.Errorf("%s: %v", line, err)
			}
			got = append(got, entry.Level)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("at level %s: %v, want %s", test.level, got, test.want)
		}
	}
}

// TestEveryCommandHelps walks all commands: each says what it does, and each that can be run shows an example that begins
// with it and names no flag that it does not have.
func TestEveryCommandHelps(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, below := range cmd.Commands() {
			if below.Name() == "help" || below.Name() == "completion" {
				continue
			}
			walk(below)
		}
		if cmd.Short == "" || cmd.Long == "" {
			t.Errorf("%s says not what it does", cmd.CommandPath())
		}
		r := onhand(t, nil, append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		r.want(t, 0, "Usage:\n  "+cmd.CommandPath(), "Flags:")
		for line := range strings.Lines(r.out) {
			if columns := len([]rune(strings.TrimRight(line, "\n"))); columns > 125 {
				t.Errorf("%s: a line of the help has %d columns: %s", cmd.CommandPath(), columns, line)
			}
		}
		if cmd.HasSubCommands() {
			return
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			for word := range strings.FieldsSeq(line) {
				name, isFlag := strings.CutPrefix(word, "--")
				if isFlag && !strings.Contains(line, "&&") && cmd.Flag(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s shows the flag --%s, which it does not have", cmd.CommandPath(), name)
				}
			}
		}
	}
	walk(newRootCommand(&app{out: &strings.Builder{}}))
}
