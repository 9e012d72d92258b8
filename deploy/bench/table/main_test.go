package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write puts reports into a directory, by name.
func write(t *testing.T, reports map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range reports {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// measured is the report of a run with so many events a second, so much time of Redis and so many wrong levels.
func measured(perSecond, redis, wrong int) string {
	return fmt.Sprintf(`[{"events": 1000, "eventsPerSecond": %d, "outputs": {"updates": 2500}, "residentBytes": 1048576,
		"cpuSecondsPerMillionEvents": {"processor": 10, "redis": %d, "broker": 2.5}, "system": {"firstOutputSeconds": 0.5}, "check": {"levels": 5, "wrong": %d}}]`,
		perSecond, redis, wrong)
}

func TestTableHasMediansAndTheFastestFirst(t *testing.T) {
	dir := write(t, map[string]string{
		"1-slow-one.json": measured(100, 1, 0), "2-slow-one.json": measured(300, 2, 0), "3-slow-one.json": measured(200, 4, 3),
		"1-fast.json": measured(1000, 1, 0), "2-fast.json": measured(2000, 2, 0), "2-fast.log": "not a report",
	})
	var out strings.Builder
	if err := run(dir, &out); err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Fields(line))
	}
	if len(lines) != 3 {
		t.Fatalf("%d lines\n%s", len(lines), out.String())
	}
	for i, want := range []string{"fast 2 1500 1000 2000 10.0 1.5 2.5 14.0 2.50 0.5 1 right", "slow-one 3 200 100 300 10.0 2.0 2.5 14.5 2.50 0.5 1 3 WRONG"} {
		if have := strings.Join(lines[i+1], " "); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "results.json")); err != nil || strings.Count(string(text), `"firstOutputSeconds": 0.5`) != 5 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestKillsAreShownEach(t *testing.T) {
	const form = `[{"events": 1000, "system": {"killed": {"eventsLeft": %d, "nextOutputAfterMs": 1500}},
		"check": {"levels": 5, "wrong": %d, "differences": {"higher": %d, "lower": 2, "unitsHigher": "7.5", "unitsLower": "3", "missing": 1}}}]`
	dir := write(t, map[string]string{"1-a.json": fmt.Sprintf(form, 400, 4, 9), "2-a.json": fmt.Sprintf(form, 500, 0, 0)})
	var out strings.Builder
	if err := run(dir, &out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"a 400 1.5 WRONG 9 7.5 2 3 1", "a 500 1.5 right 0 7.5 2 3 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
	mixed := write(t, map[string]string{"1-a.json": fmt.Sprintf(form, 400, 4, 9), "2-a.json": measured(1, 1, 0)})
	if err := run(mixed, &out); err == nil || !strings.Contains(err.Error(), "a run of a was not killed") {
		t.Errorf("runs of both kinds: %v", err)
	}
}

func TestNoReportsAreAnError(t *testing.T) {
	if err := run(write(t, map[string]string{"1-a.log": "x"}), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "no report") {
		t.Error(err)
	}
	if err := run(write(t, map[string]string{"1-a.json": "[]"}), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "0 reports") {
		t.Error(err)
	}
}
