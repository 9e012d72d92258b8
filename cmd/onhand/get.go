package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

func newGetCommand(a *app) *cobra.Command {
	var place string
	var minVersion int64
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "get SKU",
		Short: "Show the levels of a SKU at every place that has it",
		Long: `Show the levels of a SKU at every location and group that has it, computed from what Redis holds. Redis trails the topic
availability-updates by a batch or two; --min-version waits until it is as new as a version that a result or an update
had. version is that of the task's newest commit, so the levels are at least as new.`,
		Example: `  onhand get SHIRT-M-BLUE
  onhand get SHIRT-M-BLUE --place US-EAST --min-version 1099511627783 --json`,
		Args: arguments("SKU"),
	}
	cmd.Flags().StringVar(&place, "place", "", "only this location or group")
	cmd.Flags().Int64Var(&minVersion, "min-version", 0, "wait until the levels are as new as this version")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for --min-version, with unit")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if err := availability.CheckSKU(args[0]); err != nil {
			return usagef("SKU %q: %w", args[0], err)
		}
		levels, err := a.levels(cmd.Context(), c.Config, availability.SKU(args[0]), minVersion, timeout)
		if err != nil {
			return err
		}
		levels = slices.DeleteFunc(levels, func(l schemas.AvailabilityUpdate) bool { return place != "" && l.Place != place })
		if *asJSON {
			return printJSON(a.out, levels)
		}
		if len(levels) == 0 {
			fmt.Fprintf(a.err, "no place has SKU %s\n", strings.Join(notEmpty(args[0], place), " at "))
			return nil
		}
		return a.printLevels(levels)
	}
	return cmd
}

func (a *app) printLevels(levels []schemas.AvailabilityUpdate) error {
	t := newTable("PLACE", "TYPE", ">ON HAND", ">RESERVED", ">SAFETY", ">FUTURE", ">ATF", ">ATO", ">SHORT", "NEXT", "COUNTED")
	day := func(at schemas.Optional[schemas.Micros]) string {
		if !at.Valid {
			return "-"
		}
		return at.Value.Time().Format(time.DateTime)
	}
	for _, l := range levels {
		t.add(l.Place, strings.ToLower(l.PlaceType.String()), l.OnHand, l.Reserved, l.SafetyStockCount, l.FutureQuantity, l.ATF, l.ATO, l.Shortfall, day(l.NextExpectedDate), day(l.EffectiveDate))
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "version %d, location graph %d\n", levels[0].Version, levels[0].GraphVersion)
	return nil
}

// levels computes the levels of a SKU from what Redis holds.
func (a *app) levels(ctx context.Context, c *Config, sku availability.SKU, minVersion int64, timeout time.Duration) ([]schemas.AvailabilityUpdate, error) {
	store, err := openRedis(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	defer closeRead(store)
	reader, err := a.openStocks(ctx, c, store, sku)
	if err != nil {
		return nil, err
	}
	defer reader.registry.Close()
	at, err := awaitVersion(ctx, store, reader.task, minVersion, timeout)
	if err == nil && at.CommitID == (availability.CommitID{}) {
		err = noState(reader.task, sku)
	}
	if err != nil {
		return nil, err
	}
	return reader.levels(ctx, sku, at)
}

// storedPartitions is the partition count that the state in Redis has.
func storedPartitions(ctx context.Context, c *Config, store *cache.Redis) (partitions int32, err error) {
	const tasksTried = 128 // those that nobody has ever claimed have none
	err = askRedis(ctx, store, func(ctx context.Context) error {
		for task := range int32(tasksTried) {
			checkpoint, err := store.Checkpoint(ctx, task)
			if err != nil || checkpoint.CommitID != (availability.CommitID{}) {
				partitions = checkpoint.Partitions
				return err
			}
		}
		return nil
	})
	if err == nil && partitions <= 0 {
		err = hinted(fmt.Errorf("%s holds nothing of namespace %s", store, c.Namespace),
			"check --redis and --namespace; a processor (`onhand run`) fills it once it has a location graph")
	}
	return partitions, err
}

// noState says that nobody has claimed the task of a SKU yet.
func noState(task int32, sku availability.SKU) error {
	return hinted(fmt.Errorf("task %d, which SKU %s belongs to, has no state in Redis", task, sku),
		"see with `onhand status` whether it runs; it fills Redis once it has a location graph")
}

// awaitVersion returns the checkpoint of a task once it is as new as the version.
func awaitVersion(ctx context.Context, store *cache.Redis, task int32, version int64, timeout time.Duration) (at availability.Checkpoint, err error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err = askRedis(ctx, store, func(ctx context.Context) (err error) {
			at, err = store.Checkpoint(ctx, task)
			return err
		})
		if err != nil || at.Version() >= version {
			return at, err
		}
		if sleep(waiting, 5*time.Millisecond) != nil {
			if ctx.Err() != nil {
				return at, ctx.Err()
			}
			return at, hinted(fmt.Errorf("Redis has version %d of task %d, not yet %d after %s", at.Version(), task, version, shortDuration(timeout)),
				"`onhand status` says whether the task runs and how far it is")
		}
	}
}

// stockReader reads SKUs of one task as another process writes them.
type stockReader struct {
	config *Config
	store  *cache.Redis
	reader *topics.Reader
	task   int32
	graphs map[int64]*availability.Graph // decoded
}

// errGraphGone says that the task dropped a graph between two reads.
var errGraphGone = errors.New("the location graph that the SKU was computed with is gone")

// levels returns the levels of a SKU, at least as new as the checkpoint at.
func (s *stockReader) levels(ctx context.Context, sku availability.SKU, at availability.Checkpoint) ([]schemas.AvailabilityUpdate, error) {
	for attempt := 0; ; attempt++ {
		levels, err := s.levelsOnce(ctx, sku, at)
		if !errors.Is(err, errGraphGone) || attempt == 5 {
			return levels, err
		}
		s.graphs = nil
	}
}

func (s *stockReader) levelsOnce(ctx context.Context, sku availability.SKU, at availability.Checkpoint) ([]schemas.AvailabilityUpdate, error) {
	var stocks []availability.StockData
	err := askRedis(ctx, s.store, func(ctx context.Context) (err error) {
		stocks, _, err = s.store.Load(ctx, s.task, nil, []availability.Want{{SKU: sku, All: true}})
		return err
	})
	levels := []schemas.AvailabilityUpdate{}
	if err != nil || !stocks[0].Exists {
		return levels, err
	}
	graph, err := s.graph(ctx, stocks[0].GraphVersion)
	if err != nil {
		return nil, err
	}
	folder := availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(0))
	from := topics.Provenance{Version: at.Version(), GraphVersion: graph.Version, ComputedAt: max(at.Newest, 0)}
	for _, level := range folder.Levels(availability.NewStock(graph, &stocks[0])) {
		var record schemas.AvailabilityUpdate
		topics.UpdateRecord(&level, &from, &record)
		levels = append(levels, record)
	}
	return levels, nil
}

// graph returns a version of the graph as the task keeps it.
func (s *stockReader) graph(ctx context.Context, version int64) (*availability.Graph, error) {
	if g := s.graphs[version]; g != nil {
		return g, nil
	}
	var kept []availability.GraphData
	err := askRedis(ctx, s.store, func(ctx context.Context) (err error) {
		kept, err = s.store.Graphs(ctx, s.task)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, data := range kept {
		if data.Version != version {
			continue
		}
		spec, _, err := s.reader.Graph(ctx, &kgo.Record{Key: []byte(topics.GraphKey), Value: data.Bytes})
		if err != nil {
			return nil, explainRegistry(s.config, fmt.Errorf("reading location graph %d in Redis: %w", version, err))
		}
		graph, err := spec.Compile()
		if err != nil {
			return nil, err
		}
		if s.graphs == nil {
			s.graphs = make(map[int64]*availability.Graph)
		}
		s.graphs[version] = graph
		return graph, nil
	}
	return nil, fmt.Errorf("%w: version %d", errGraphGone, version)
}
