package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// needs are the services that a call of a command cannot do without.
type needs int

const (
	needsKafka needs = 1 << iota
	needsRegistry
	needsRedis
	needsNothing needs = 0
	needsAll           = needsKafka | needsRegistry | needsRedis
)

// matrixCall is one call of a command against a namespace that has stock, a graph and no dead letters.
type matrixCall struct {
	args  string // split at blanks; GRAPH, FEED, DIR and SNAPSHOT stand for paths
	needs needs
	acts  bool // or never ends by itself: only called where it must fail
}

// matrixCalls has at least one call of every command; TestTheMatrixHasEveryCommand looks that it does.
var matrixCalls = []matrixCall{
	{"topics plan", needsKafka, false},
	{"topics apply", needsKafka, false},
	{"topics verify", needsKafka, false},
	{"topics acl", needsNothing, false},
	{"schemas register", needsRegistry, false},
	{"schemas check", needsRegistry, false},
	{"schemas show", needsNothing, false},
	{"graph plan GRAPH", needsKafka | needsRegistry, false},
	{"graph plan --levels GRAPH", needsAll, false},
	{"graph publish OTHER --no-wait", needsAll, true},
	{"graph show", needsKafka | needsRegistry, false},
	{"graph status", needsKafka | needsRegistry, false},
	{"import FEED", needsKafka | needsRegistry, true},
	{"import --dry-run FEED", needsKafka | needsRegistry, false},
	{"reserve SHIRT 1 --group EAST", needsKafka | needsRegistry, true},
	{"transfer SHIRT 1 --reservation r --group EAST --to-location NJ-1", needsKafka | needsRegistry, true},
	{"fulfill SHIRT 1 --reservation r --location NJ-1", needsKafka | needsRegistry, true},
	{"release SHIRT --reservation r", needsKafka | needsRegistry, true},
	{"get SHIRT", needsRedis, false}, // the schemas are kept in Redis
	{"watch --from-start --count 1", needsKafka | needsRegistry, false},
	{"status", needsKafka, false},
	{"why SHIRT", needsRedis, false},
	{"audit", needsAll, false},
	{"audit --repair", needsAll, false},
	{"dlq ls", needsKafka, false},
	{"dlq show 0/0", needsKafka, true},
	{"dlq replay --all", needsKafka, false},
	{"snapshot DIR", needsAll, true},
	{"restore SNAPSHOT", needsKafka | needsRedis, true},
	{"restore --verify SNAPSHOT", needsNothing, false},
	{"config check", needsNothing, false},
	{"config print", needsNothing, false},
	{"run --admin 127.0.0.1:0", needsKafka | needsRedis, true},
	{"bench --events 10 --skus 10", needsAll, true},
	{"version", needsNothing, false},
	{"completion bash", needsNothing, false},
}

// notInMatrix are commands that need no service and no file, or bring their own.
var notInMatrix = []string{"onhand dev", "onhand completion zsh", "onhand completion fish", "onhand completion powershell"}

func TestTheMatrixHasEveryCommand(t *testing.T) {
	t.Parallel()
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			visit(below)
		}
		if c.HasSubCommands() || c.Name() == "help" || slices.Contains(notInMatrix, c.CommandPath()) {
			return
		}
		words := strings.TrimPrefix(c.CommandPath(), "onhand ") + " "
		if !slices.ContainsFunc(matrixCalls, func(call matrixCall) bool { return strings.HasPrefix(call.args+" ", words) }) {
			t.Errorf("no call of onhand %s: add one to matrixCalls, and say what it needs", words)
		}
	}
	visit(newRootCommand(&app{}))
}

// words are the arguments of the call, with the paths of the stage.
func (c *matrixCall) words(paths map[string]string) []string {
	words := strings.Fields(c.args)
	for i, word := range words {
		if path, ok := paths[word]; ok {
			words[i] = path
		}
	}
	return words
}

// matrixStage has stock, schemas kept in Redis and a snapshot; its processor has ended.
func matrixStage(t *testing.T) (*stage, map[string]string) {
	t.Helper()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	processor, _ := s.startProcessor()
	w := s.wire()
	s.must("import", writeFile(t, "feed.ndjson", storyFeed))
	eventually(t, "the stock is in", func() bool { return s.levels("SHIRT")["NJ-1"].OnHand > 0 })
	s.status(0)
	s.endProcessor(w, processor)
	paths := map[string]string{
		"GRAPH": writeFile(t, "graph.yaml", testGraph), "OTHER": writeFile(t, "other.yaml", "locations: [{externalReference: NJ-1}]"),
		"FEED": writeFile(t, "feed.ndjson", storyFeed), "DIR": t.TempDir(), "SNAPSHOT": t.TempDir(),
	}
	s.snapshot(paths["SNAPSHOT"])
	return s, paths
}

// failureOf is the exit code of a call that cannot do its work.
func (c *matrixCall) failureOf() int {
	if strings.HasPrefix(c.args, "audit") {
		return exitUsage
	}
	return exitFailure
}

// TestEveryCommandSaysWhichServiceIsAway calls every command with each of the services away alone, and with all of them: it
// does its work where it can, and else says in one sentence what is away and which setting names it.
func TestEveryCommandSaysWhichServiceIsAway(t *testing.T) {
	t.Parallel()
	s, paths := matrixStage(t)
	address := unusedAddress(t)
	kafka, registry, redis := "ONHAND_BROKERS="+address, "ONHAND_REGISTRY=http://"+address, "ONHAND_REDIS=redis://"+address
	for _, away := range []struct {
		what    string
		which   needs
		environ []string
	}{
		{"Kafka", needsKafka, []string{kafka}}, {"the registry", needsRegistry, []string{registry}}, {"Redis", needsRedis, []string{redis}},
		{"everything", needsAll, []string{kafka, registry, redis}},
	} {
		environ := slices.Concat(s.environ, away.environ)
		for _, c := range matrixCalls {
			switch {
			case c.needs&away.which != 0:
				r := soon(t, func() result { return onhand(t, environ, c.words(paths)...) })
				if !c.says(r, away.which) {
					t.Errorf("%s is away: onhand %s\nexit code %d\n%s%s", away.what, c.args, r.code, r.out, r.err)
				}
			case !c.acts:
				if r := soon(t, func() result { return onhand(t, environ, c.words(paths)...) }); r.code != 0 {
					t.Errorf("%s is away, which onhand %s does not need\nexit code %d\n%s%s", away.what, c.args, r.code, r.out, r.err)
				}
			}
		}
	}
	s.audit(0)
}

// says looks that a call has failed with one sentence and the setting of a service that it needs and that is away.
func (c *matrixCall) says(r result, away needs) bool {
	named := false
	for service, setting := range map[needs]string{needsKafka: "--brokers (ONHAND_BROKERS)", needsRegistry: "--registry (ONHAND_REGISTRY)", needsRedis: "--redis (ONHAND_REDIS)"} {
		named = named || c.needs&away&service != 0 && strings.Contains(r.err, setting)
	}
	return r.code == c.failureOf() && named && oneSentenceOf(r)
}

// oneSentenceOf says whether a call has told of one error, and not of one after the other.
func oneSentenceOf(r result) bool { return strings.Count("\n"+r.err, "\nonhand: ") == 1 }

// silence is an address that takes connections and never says anything.
func silence(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// TestCtrlCEndsEveryCommandThatWaits interrupts every command while a service that it needs says nothing.
func TestCtrlCEndsEveryCommandThatWaits(t *testing.T) {
	t.Parallel()
	s, paths := matrixStage(t)
	address := silence(t)
	var all sync.WaitGroup
	for service, setting := range map[needs]string{
		needsKafka: "ONHAND_BROKERS=" + address, needsRegistry: "ONHAND_REGISTRY=http://" + address, needsRedis: "ONHAND_REDIS=redis://" + address,
	} {
		environ := slices.Concat(s.environ, []string{setting})
		for _, c := range matrixCalls {
			if c.needs&service == 0 {
				continue
			}
			call := c
			if strings.HasPrefix(c.args, "snapshot") {
				call.args = fmt.Sprintf("snapshot DIR%d", service) // one at a time writes into a directory
			}
			all.Go(func() {
				ctx, stop := context.WithCancel(t.Context())
				defer time.AfterFunc(300*time.Millisecond, stop).Stop()
				defer stop()
				words := call.words(paths)
				if after, ok := strings.CutPrefix(words[len(words)-1], "DIR"); ok {
					words[len(words)-1] = paths["DIR"] + "/" + after
				}
				began := time.Now()
				r := onhandIn(ctx, "", environ, words...)
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("onhand %s: %s", call.args, took)
				}
				if strings.HasPrefix(call.args, "watch") && r.code == 0 {
					return // it is how one stops watching
				}
				if r.code != exitInterrupted || strings.Count(r.err, "onhand: interrupted") != 1 {
					t.Errorf("onhand %s with %s, interrupted: exit code %d\n%s%s", call.args, setting, r.code, r.out, r.err)
				}
			})
		}
	}
	all.Wait()
	s.audit(0)
}
