package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// packed is the text as gzip.
func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAWrongFileIsSaidToBeOne gives every command that reads a file, or a directory, all that it does not want.
func TestAWrongFileIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	s, paths := matrixStage(t)
	before := len(s.deltas())
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := packed(t, longFeed(5000))
	files := map[string]string{
		"missing": filepath.Join(dir, "missing"), "directory": t.TempDir(), "empty": write("empty", ""), "blank": write("blank", "\n \n"),
		"garbage": write("garbage", "\x00\xff\x10\n\x80garbage\x00"), "graph": paths["GRAPH"], "graph-json": write("graph.json", `{"locations": [{"externalReference": "NJ-1"}], "groups": []}`),
		"feed": paths["FEED"], "flat": write("flat", `{"recordId":"x1","sku":"SOCK","locationId":"NJ-1","onHand":7,"effectiveDate":"2026-01-01T00:00:00Z"}`),
		"packed-graph": write("graph.gz", packed(t, testGraph)), "cut": write("cut.gz", long[:len(long)/2]), "cut-early": write("early.gz", long[:6]),
		"flipped":  write("flipped.gz", long[:len(long)-6]+"xxxxxx"),
		"manifest": filepath.Join(paths["SNAPSHOT"], manifestName), "task": filepath.Join(paths["SNAPSHOT"], snapshotFile(0)),
	}
	for _, c := range []struct {
		command string
		wants   map[string][]string // file: what is said of it, the way out last
	}{
		{"graph plan", map[string][]string{
			"missing": {"no such file", "name a graph file"}, "directory": {"is a directory", "name a graph file"}, "empty": {"it is empty", "graph plan --help"},
			"blank": {"it is empty", "graph plan --help"}, "garbage": {"it is no text", "name a graph file"}, "feed": {"it is a feed", "onhand import"}, "flat": {"it is a feed", "onhand import"},
			"packed-graph": {"it is compressed", "zcat"}, "manifest": {"part of a snapshot", "onhand restore"}, "task": {"part of a snapshot", "onhand restore"},
		}},
		{"graph publish --no-wait", map[string][]string{"missing": {"no such file"}, "feed": {"it is a feed"}, "garbage": {"it is no text"}}},
		{"import", map[string][]string{
			"missing": {"no such file", "name an NDJSON file"}, "directory": {"it is a directory", "name an NDJSON file"}, "garbage": {"it is no text", "name an NDJSON file"},
			"graph": {"it is a location graph", "onhand graph publish"}, "graph-json": {"it is a location graph", "onhand graph publish"}, "packed-graph": {"it is a location graph"},
			"manifest": {"part of a snapshot", "onhand restore"}, "task": {"part of a snapshot", "onhand restore"}, "cut-early": {"unexpected EOF", "--restart"},
		}},
		{"import --dry-run", map[string][]string{"cut": {"unexpected EOF", "cut or damaged", "--restart"}, "flipped": {"invalid checksum", "--restart"}}},
		{"restore", map[string][]string{"missing": {"has no snapshot", "name the directory"}, "empty": {"not a directory", "name the directory"}, "directory": {"has no snapshot"}}},
		{"snapshot", map[string][]string{"feed": {"not a directory", "name a directory"}}},
		{"dev --quiet --data", map[string][]string{"feed": {"not a directory", "--data"}}},
		{"config check --config", map[string][]string{"missing": {"no such file", "--config"}, "directory": {"is a directory", "config print"}, "garbage": {"control characters", "config print"}}},
	} {
		for name, texts := range c.wants {
			r := s.onhand(append(strings.Fields(c.command), files[name])...)
			if r.code != exitFailure || !oneSentenceOf(r) {
				t.Errorf("onhand %s of %s: exit code %d\n%s%s", c.command, name, r.code, r.out, r.err)
			}
			r.want(t, exitFailure, texts...)
		}
	}
	s.onhand("config", "check", "--config", files["graph"]).want(t, exitUsage, "locations is no setting")
	// One that is missing is told before those in front of it are published, and nothing is left behind.
	s.onhand("import", files["flat"], files["missing"]).want(t, exitFailure, "no such file", "name an NDJSON file")
	if now := len(s.deltas()); now != before {
		t.Errorf("%d records were published", now-before)
	}
	s.must("graph", "show").want(t, 0, "# version 1,")
}

// TestACutFeedIsImportedAsFarAsItGoes and anew when it is whole.
func TestACutFeedIsImportedAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	const lines = 5000
	whole := packed(t, longFeed(lines))
	file := writeFile(t, "feed.gz", whole[:len(whole)/2])
	s.onhand("import", file).want(t, exitFailure, "unexpected EOF", "--restart", "do no harm a second time")
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	s.onhand("import", file).want(t, exitFailure, "the file has changed since line", "--restart")
	if sum := summary(t, s.must("import", "--restart", "--json", file)); sum.Published != lines || sum.Refused != 0 {
		t.Errorf("%+v", sum)
	}
}

// TestDevsRedisStaysQuickWithManyKeys: that it looks at all keys at each command would take minutes here.
func TestDevsRedisStaysQuickWithManyKeys(t *testing.T) {
	t.Parallel()
	services := &devServices{}
	if err := services.startRedis(devServiceOptions{redis: devPort{preferred: true}}); err != nil {
		t.Fatal(err)
	}
	defer services.balances.Close()
	const keys = 50_000
	fill(t, services.balances, keys)
	options, err := redis.ParseURL(services.redis)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	pipe := client.Pipeline()
	const asked = 1000
	for range asked {
		pipe.Exists(t.Context(), "no such key")
	}
	soon(t, func() (r result) {
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Errorf("%d questions to a Redis of %d keys: %v", asked, keys, err)
		}
		return r
	})
}

func fill(t *testing.T, m *miniredis.Miniredis, keys int) {
	t.Helper()
	for n := range keys {
		if err := m.DB(0).Set(fmt.Sprintf("key %d", n), "v"); err != nil {
			t.Fatal(err)
		}
	}
}
