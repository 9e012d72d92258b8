// Package levels is what the systems beside onhand share that are written in Go: how they are told where everything is,
// and the sums that make levels of what locations hold. They know counts and adjustments, and nothing else.
//
// A quantity is in thousandths, as everywhere in onhand.
package levels

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"onhand/schemas"
	"onhand/topics"
)

// Setting is what onhand bench tells a system in its environment.
type Setting struct {
	Brokers    []string
	Registry   string // URL
	Redis      string // URL
	Instance   string
	State      string // directory for what is kept on disk
	Places     string // file
	SchemaID   int    // of AvailabilityUpdate
	Partitions int32
	Names      topics.Names
}

// Read reads the environment. It fails where a variable is missing.
func Read() (Setting, error) {
	var problems []error
	text := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is not set: let `onhand bench --system` start this", name))
		}
		return value
	}
	number := func(name string) int {
		n, err := strconv.Atoi(text(name))
		if err != nil {
			problems = append(problems, fmt.Errorf("reading %s: %w", name, err))
		}
		return n
	}
	s := Setting{
		Brokers: strings.Split(text("ONHAND_BROKERS"), ","), Registry: text("ONHAND_REGISTRY"), Redis: text("ONHAND_REDIS"),
		Instance: text("ONHAND_INSTANCE"), State: text("BENCH_STATE"), Places: text("BENCH_PLACES"),
		SchemaID: number("BENCH_UPDATE_SCHEMA"), Partitions: int32(number("BENCH_PARTITIONS")),
	}
	var err error
	if s.Names, err = topics.NamesOf(text("ONHAND_NAMESPACE")); err != nil {
		problems = append(problems, err)
	}
	return s, errors.Join(problems...)
}

// Absent is what a location holds that never had the SKU.
const Absent = math.MinInt64

// Graph is the locations and groups. Places are numbered: locations first, then groups.
type Graph struct {
	Places    []string
	Locations int            // how many of the places are locations
	Index     map[string]int // locations alone
	Touched   [][]int        // by location: itself and its groups, the places whose levels change with it
	members   [][]int        // by place: the locations whose sum it is
}

// ReadGraph reads a file with a line for each location: its name and those of its groups, with a space between.
func ReadGraph(name string) (*Graph, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the places: %w", err)
	}
	g := &Graph{Index: map[string]int{}}
	var groupsOf [][]string
	for line := range strings.Lines(string(text)) {
		names := strings.Fields(line)
		g.Index[names[0]] = len(g.Places)
		g.Places, groupsOf = append(g.Places, names[0]), append(groupsOf, names[1:])
	}
	g.Locations = len(g.Places)
	g.Touched, g.members = make([][]int, g.Locations), make([][]int, g.Locations)
	for l, groups := range groupsOf {
		g.Touched[l], g.members[l] = []int{l}, []int{l}
		for _, group := range groups {
			n := slices.Index(g.Places, group)
			if n < 0 {
				n = len(g.Places)
				g.Places, g.members = append(g.Places, group), append(g.members, nil)
			}
			g.Touched[l], g.members[n] = append(g.Touched[l], n), append(g.members[n], l)
		}
	}
	return g, nil
}

// Stock is what no location holds of a SKU yet.
func (g *Graph) Stock() []int64 {
	stock := make([]int64, g.Locations)
	for i := range stock {
		stock[i] = Absent
	}
	return stock
}

// Level fills in the level of a place: on hand is the sum of its locations, and available what each of them has above zero.
func (g *Graph) Level(sku string, stock []int64, place int, now time.Time, into *schemas.AvailabilityUpdate) {
	var onHand, available int64
	for _, l := range g.members[place] {
		if stock[l] != Absent {
			onHand, available = onHand+stock[l], available+max(0, stock[l])
		}
	}
	*into = schemas.AvailabilityUpdate{
		Place: g.Places[place], PlaceType: schemas.PlaceGroup, SKU: sku, OnHand: schemas.Milli(onHand),
		ATF: schemas.Milli(available), ATO: schemas.Milli(available), GraphVersion: 1, ComputedAt: schemas.MicrosOf(now),
	}
	if place < g.Locations {
		into.PlaceType, into.Shortfall = schemas.PlaceLocation, schemas.Milli(max(0, -onHand))
	}
}

// Apply changes what a location holds: a count sets it, an adjustment adds to it. It returns the location's number.
func (g *Graph) Apply(stock []int64, d *schemas.StockDelta) (location int, err error) {
	location, known := g.Index[d.Location]
	if !known {
		return 0, fmt.Errorf("location %q is in no line of the places", d.Location)
	}
	if d.Mode == schemas.ModeUpdate || stock[location] == Absent {
		stock[location] = int64(d.OnHand.Value)
	} else {
		stock[location] += int64(d.OnHand.Value)
	}
	return location, nil
}

// Decoder reads stock deltas.
type Decoder struct{ decoder *schemas.Decoder }

// NewDecoder asks the registry at a URL for the schemas.
func NewDecoder(url string) (*Decoder, error) {
	registry, err := schemas.NewRegistry(url, schemas.RegistryOptions{})
	if err != nil {
		return nil, err
	}
	return &Decoder{schemas.NewDecoder(registry, schemas.DecoderOptions{})}, nil
}

// Decode reads one.
func (d *Decoder) Decode(ctx context.Context, value []byte) (delta schemas.StockDelta, err error) {
	if err = d.decoder.DecodeStockDelta(ctx, value, &delta); err != nil {
		err = fmt.Errorf("reading a stock delta: %w", err)
	}
	return delta, err
}
