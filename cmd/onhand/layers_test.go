package main_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// arrows is the import direction: what each package of ours may import of ours. An empty list is a package that stands
// alone; "*" is the one that sees everything. A new package is drawn here, and in README.md, before it is written.
var arrows = map[string][]string{
	"cmd/onhand":             {"*"},
	"processor":              {"topics", "processor/availability"},
	"topics":                 {"schemas", "processor/availability"},
	"cache":                  {"processor/availability"},
	"schemas":                {},
	"processor/availability": {},

	// Modules of their own: other systems, to compare with.
	"deploy/bench/levels": {"schemas", "topics"},
	"deploy/bench/plain":  {"schemas", "deploy/bench/levels"},
	"deploy/bench/goka":   {"schemas", "topics", "deploy/bench/levels"},
	"deploy/bench/bento":  {},
	"deploy/bench/table":  {},
}

// testArrows are further arrows of test files alone: the processor is tested with the cache it runs on and with
// records as they stand in the topics.
var testArrows = map[string][]string{
	"processor": {"cache", "schemas"},
}

// A seat is where a dependency may be imported: packages by directory, or single files by path. The longest prefix of an
// import path decides. Tests are further places for the test files.
type seat struct {
	prefix string
	places []string
	tests  []string
	reason string
}

var seats = []seat{
	{"github.com/redis/go-redis", []string{"cache", "deploy/bench/plain"}, []string{"cmd/onhand"}, "the cache package is all of Redis that others see"},
	{"github.com/alicebob/miniredis", []string{"cmd/onhand"}, []string{"cache", "processor"}, "it is a stand-in, for tests and onhand dev"},
	{"github.com/linkedin/goavro", []string{"schemas"}, nil, "the schemas package turns bytes into values and back"},
	{"github.com/twmb/avro", []string{"schemas"}, nil, "the schemas package judges compatibility"},
	{"github.com/hashicorp/go-retryablehttp", []string{"schemas"}, nil, "only the registry client speaks HTTP"},
	{"github.com/twmb/franz-go/pkg/sr", []string{"schemas", "cmd/onhand"}, []string{"topics", "processor"}, "the schemas package talks to the registry"},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"cmd/onhand"}, []string{"processor", "topics"}, "it is a stand-in, for tests and onhand dev"},
	{"github.com/twmb/franz-go", []string{"processor", "topics", "cmd/onhand", "deploy/bench/plain"}, nil, "schemas, cache and availability know no Kafka"},
	{"go.opentelemetry.io/otel/sdk", []string{"cmd/onhand"}, []string{"processor", "cache"}, "providers are built in cmd/onhand and passed in"},
	{"go.opentelemetry.io/otel/exporters", []string{"cmd/onhand"}, nil, "exporters are built in cmd/onhand"},
	{"go.opentelemetry.io/contrib", []string{"cmd/onhand"}, nil, "exporters and propagators are built in cmd/onhand"},
	{"go.opentelemetry.io/otel", []string{"processor", "cache", "cmd/onhand"}, nil, "telemetry is made in processor/observe.go and cmd/onhand"},
	{"github.com/prometheus", []string{"cmd/onhand"}, nil, "instruments are OpenTelemetry's; cmd/onhand exports them"},
	{"github.com/spf13", []string{"cmd/onhand"}, nil, "packages take values, commands parse flags"},
	{"github.com/knadh/koanf", []string{"cmd/onhand"}, nil, "packages take values, commands read configuration"},
	{"go.yaml.in/yaml", []string{"cmd/onhand"}, nil, "packages take values, commands read files"},
	{"golang.org/x/term", []string{"cmd/onhand"}, nil, "only commands draw"},
	{"github.com/schollz/progressbar", []string{"cmd/onhand"}, nil, "only commands draw"},
}

// telemetrySeats are the files and packages that may create spans and instruments.
var telemetrySeats = []string{"processor/observe.go", "cmd/onhand"}

// pureImports is all that processor/availability may import: nothing in it reads a clock, a file, a random source or
// another goroutine.
var pureImports = []string{
	"bytes", "cmp", "container/heap", "encoding/binary", "encoding/hex", "errors", "fmt", "hash/fnv", "iter", "maps",
	"math", "math/big", "math/bits", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
	"github.com/cespare/xxhash/v2",
}

// clockNames are the members of package time that look at the clock, wait for it, or read the machine's time zones.
var clockNames = []string{
	"After", "AfterFunc", "LoadLocation", "Local", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, s := range readSources(t) {
		for _, finding := range arrowFindings(s) {
			t.Error(finding)
		}
	}
}

func TestDependenciesKeepTheirSeats(t *testing.T) {
	for _, s := range readSources(t) {
		for _, finding := range slices.Concat(seatFindings(s), telemetryFindings(s)) {
			t.Error(finding)
		}
	}
}

func TestAvailabilityIsPure(t *testing.T) {
	var pure []source
	for _, s := range readSources(t) {
		if s.dir() == "processor/availability" && !s.test() {
			pure = append(pure, s)
		}
	}
	for _, finding := range slices.Concat(impurities(pure), unorderedRanges(pure)) {
		t.Error(finding)
	}
}

// arrowFindings says which imports of ours a file must not have.
func arrowFindings(s source) []string {
	allowed, known := arrows[s.dir()]
	if !known {
		return []string{fmt.Sprintf("%s: package %s has no arrow; decide what it may import and draw it in arrows, in "+
			"cmd/onhand/layers_test.go, and in README.md", s.path, s.dir())}
	}
	if s.test() {
		allowed = slices.Concat(allowed, testArrows[s.dir()])
	}
	var findings []string
	for _, imported := range s.imports() {
		ours, ok := strings.CutPrefix(imported, module+"/")
		if !ok || ours == s.dir() || slices.Contains(allowed, "*") || slices.Contains(allowed, ours) {
			continue
		}
		findings = append(findings, fmt.Sprintf("%s imports %s; %s may import %s: pass in what it needs, or move the code "+
			"to where both are known", s.path, imported, s.dir(), orNothing(allowed)))
	}
	return findings
}

func orNothing(packages []string) string {
	if len(packages) == 0 {
		return "nothing of ours"
	}
	return strings.Join(packages, " and ") + " alone"
}

// seatFindings says which dependencies a file imports away from their seats.
func seatFindings(s source) []string {
	var findings []string
	for _, imported := range s.imports() {
		place, ok := seatOf(imported)
		if !ok || slices.Contains(place.places, s.dir()) || s.test() && slices.Contains(place.tests, s.dir()) {
			continue
		}
		findings = append(findings, fmt.Sprintf("%s imports %s, whose place is %s: %s", s.path, imported,
			strings.Join(place.places, " and "), place.reason))
	}
	return findings
}

func seatOf(imported string) (seat, bool) {
	var found seat
	for _, s := range seats {
		if (imported == s.prefix || strings.HasPrefix(imported, s.prefix+"/")) && len(s.prefix) > len(found.prefix) {
			found = s
		}
	}
	return found, found.prefix != ""
}

// telemetryFindings says where a file outside telemetrySeats creates a span or an instrument: it asks a provider for a
// tracer or a meter, or a meter for an instrument.
func telemetryFindings(s source) []string {
	if s.test() || slices.Contains(telemetrySeats, s.path) || slices.Contains(telemetrySeats, s.dir()) ||
		!slices.ContainsFunc(s.imports(), func(p string) bool { return strings.HasPrefix(p, "go.opentelemetry.io/") }) {
		return nil
	}
	var findings []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name := selector.Sel.Name
		instrument := strings.HasPrefix(name, "Int64") || strings.HasPrefix(name, "Float64")
		if name == "Tracer" || name == "Meter" || instrument && len(call.Args) > 0 && name != "Int64" && name != "Float64" {
			findings = append(findings, fmt.Sprintf("%s:%d: %s creates telemetry; create it in %s and pass it in", s.path,
				s.line(call.Pos()), name, strings.Join(telemetrySeats, " or ")))
		}
		return true
	})
	return findings
}

// impurities says what in the files reaches outside the arithmetic: imports, clocks, goroutines, channels, floats.
func impurities(files []source) []string {
	var findings []string
	for _, s := range files {
		add := func(pos token.Pos, format string, args ...any) {
			findings = append(findings, fmt.Sprintf("%s:%d: ", s.path, s.line(pos))+fmt.Sprintf(format, args...))
		}
		for i, imported := range s.imports() {
			if !slices.Contains(pureImports, imported) && !strings.HasPrefix(imported, module+"/") {
				add(s.file.Imports[i].Pos(), "imports %s; the core has no I/O, clock, lock or randomness: pass the value in", imported)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				add(n.Pos(), "starts a goroutine; the core is synchronous, its caller decides what runs beside it")
			case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
				add(n.Pos(), "uses a channel; the core returns values")
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clockNames, n.Sel.Name) {
					add(n.Pos(), "time.%s; time comes with the record, pass it in", n.Sel.Name)
				}
			case *ast.Ident:
				if n.Name == "float32" || n.Name == "float64" {
					add(n.Pos(), "%s; quantities are whole thousandths, ratios are two of them", n.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.FLOAT && constant.ToInt(constant.MakeFromLiteral(n.Value, n.Kind, 0)).Kind() != constant.Int {
					add(n.Pos(), "%s is no whole number; quantities are whole thousandths", n.Value)
				}
			}
			return true
		})
	}
	return findings
}

// orderFree is the comment, in the line of the loop or above it, that allows a range over a map: what follows it says why
// the order does not matter.
const orderFree = "// order-free: "

// unorderedRanges says where the files of one package range over a map without sorting and without orderFree. Types are
// found without compiling what the package imports; of the standard library only the iterators of package maps matter, and
// these are known by name.
func unorderedRanges(files []source) []string {
	if len(files) == 0 {
		return nil
	}
	shared, parsed := sharedFiles(files)
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	// It finds fault with the unknown imports; what can be told without them is in info.
	_, _ = config.Check(files[0].dir(), shared, parsed, info)
	var findings []string
	for i, s := range files {
		s.fset, s.file = shared, parsed[i]
		ast.Inspect(s.file, func(n ast.Node) bool {
			loop, ok := n.(*ast.RangeStmt)
			if !ok || !isMap(info.TypeOf(loop.X)) && !isMapIterator(loop.X) {
				return true
			}
			if !slices.ContainsFunc(s.commentsAt(loop.Pos()), func(c string) bool { return strings.HasPrefix(c, orderFree) }) {
				findings = append(findings, fmt.Sprintf("%s:%d: ranges over a map, whose order differs from run to run; range over "+
					"slices.Sorted(maps.Keys(m)), keep a slice, or say why no order shows in a comment: %q", s.path,
					s.line(loop.Pos()), orderFree+"…"))
			}
			return true
		})
	}
	return findings
}

// noImports is an importer that knows no package.
type noImports struct{}

var errNotImported = errors.New("imports are not read")

func (noImports) Import(string) (*types.Package, error) { return nil, errNotImported }

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	if parameter, ok := types.Unalias(t).(*types.TypeParam); ok {
		return strings.Contains(parameter.Constraint().Underlying().String(), "map[")
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

func isMapIterator(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := selector.X.(*ast.Ident)
	return ok && pkg.Name == "maps" && slices.Contains([]string{"All", "Keys", "Values"}, selector.Sel.Name)
}

func TestArrowsAreSeen(t *testing.T) {
	find := func(name, imports string) []string {
		return arrowFindings(parseSource(t, name, "package p\n\nimport (\n"+imports+"\n)\n"))
	}
	wantFindings(t, find("processor/task.go", `"onhand/topics"; "onhand/processor/availability"; "fmt"`))
	wantFindings(t, find("processor/task.go", `"onhand/cache"; "onhand/schemas"`), "imports onhand/cache", "imports onhand/schemas")
	wantFindings(t, find("processor/task_test.go", `"onhand/cache"`))
	wantFindings(t, find("cache/cache.go", `"onhand/processor"`), "imports onhand/processor")
	wantFindings(t, find("schemas/codec_test.go", `"onhand/topics"`), "nothing of ours")
	wantFindings(t, find("schemas/codec_test.go", `"onhand/schemas"`))
	wantFindings(t, find("cmd/onhand/run.go", `"onhand/cache"; "onhand/processor"`))
	wantFindings(t, find("api/api.go", `"fmt"`), "no arrow")
}

func TestSeatsAreSeen(t *testing.T) {
	find := func(name, imports string) []string {
		return seatFindings(parseSource(t, name, "package p\n\nimport (\n"+imports+"\n)\n"))
	}
	wantFindings(t, find("cache/load.go", `"github.com/redis/go-redis/v9"`))
	wantFindings(t, find("processor/task.go", `"github.com/redis/go-redis/v9"`), "whose place is cache and deploy/bench/plain")
	wantFindings(t, find("topics/delta.go", `"github.com/linkedin/goavro/v2"`), "whose place is schemas")
	wantFindings(t, find("topics/delta.go", `"github.com/twmb/franz-go/pkg/kgo"`))
	wantFindings(t, find("topics/delta.go", `"github.com/twmb/franz-go/pkg/kfake"`), "stand-in")
	wantFindings(t, find("topics/delta_test.go", `"github.com/twmb/franz-go/pkg/kfake"`))
	wantFindings(t, find("schemas/registry.go", `"github.com/twmb/franz-go/pkg/sr"`))
	wantFindings(t, find("cache/load.go", `"github.com/twmb/franz-go/pkg/kgo"`), "know no Kafka")
	wantFindings(t, find("processor/observe.go", `"go.opentelemetry.io/otel/sdk/metric"`), "providers are built")
	wantFindings(t, find("topics/plan.go", `"github.com/spf13/cobra"`), "commands parse flags")
}

func TestTelemetryIsSeen(t *testing.T) {
	const text = `package p

import "go.opentelemetry.io/otel/metric"

func f(m metric.Meter) { m.Int64Counter("onhand.records") }

func g(p metric.MeterProvider) { p.Meter("onhand") }
`
	wantFindings(t, telemetryFindings(parseSource(t, "cache/load.go", text)), "Int64Counter", "Meter")
	wantFindings(t, telemetryFindings(parseSource(t, "processor/observe.go", text)))
	wantFindings(t, telemetryFindings(parseSource(t, "cmd/onhand/telemetry.go", text)))
}

func TestImpuritiesAreSeen(t *testing.T) {
	const text = `package availability

import (
	"context"
	"math/rand"
	"time"
)

type cell struct{ counted time.Time }

func f(ctx context.Context, out chan<- int) {
	go rand.Int()
	out <- 1
	_ = time.Now()
	_ = time.Unix(0, 0)
	_ = float64(1) * 0.5
	_ = 1e6
}
`
	wantFindings(t, impurities([]source{parseSource(t, "processor/availability/x.go", text)}),
		"imports context", "imports math/rand", "a channel", "a goroutine", "a channel", "time.Now", "float64", "0.5 is no whole number")
}

func TestUnorderedRangesAreSeen(t *testing.T) {
	one := parseSource(t, "processor/availability/one.go", `package availability

import "maps"
import "slices"

type demand map[string]int

type state struct{ demand demand }

func f(s *state, list []int, more ...demand) {
	for range s.demand {
	}
	for range list {
	}
	for range more {
	}
	for range maps.Values(s.demand) {
	}
	for range slices.Sorted(maps.Keys(s.demand)) {
	}
	// order-free: a sum,
	// whatever comes first
	for range s.demand {
	}
	for range s.demand { // order-free: a sum
	}
	// a sum
	for range other() {
	}
}

func g[M ~map[string]int](m M) {
	for range m {
	}
}
`)
	two := parseSource(t, "processor/availability/two.go", "package availability\n\nimport \"time\"\n\n"+
		"func other() map[int]time.Time { return nil }\n")
	wantFindings(t, unorderedRanges([]source{one, two}), "one.go:11:", "one.go:17:", "one.go:28:", "one.go:33:")
}
