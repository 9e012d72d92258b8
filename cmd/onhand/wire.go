package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// wire is what a command needs to read and write the topics of a namespace.
type wire struct {
	config     *Config
	log        *slog.Logger
	names      topics.Names
	partitions int32 // of the inputs and outputs
	client     *kgo.Client
	registry   *schemas.Registry
	reader     *topics.Reader
	unread     map[topics.Source]bool // batches that were passed over, by their first offset
}

// connect reaches Kafka and checks that the namespace has its topics. The registry is asked when a schema is needed. The
// caller closes the wire.
func (a *app) connect(ctx context.Context, c *Config, opts ...kgo.Opt) (*wire, error) {
	names, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return nil, err
	}
	w := &wire{config: c, log: a.quietLogger(c), names: names, unread: make(map[topics.Source]bool)}
	if w.client, err = connectKafka(ctx, c, w.log, append(names.ProducerOpts(), opts...)...); err != nil {
		return nil, err
	}
	counts, err := partitionCounts(ctx, c, w.client, names.All()...)
	if err != nil {
		w.client.Close()
		return nil, err
	}
	for _, t := range names.Table() {
		if count, ok := counts[t.Name]; ok && t.CoPartitioned() {
			w.partitions = count
		}
	}
	if w.partitions == 0 {
		w.client.Close()
		return nil, explainKafka(c, fmt.Errorf("asking for the partitions of namespace %s: %w", c.Namespace, kerr.TopicAuthorizationFailed))
	}
	if w.registry, err = openRegistry(c, w.log); err != nil {
		w.client.Close()
		return nil, err
	}
	w.reader = topics.NewReader(newDecoder(w.registry), topics.Options{})
	return w, nil
}

func (w *wire) close() {
	w.client.Close()
	w.registry.Close()
}

// writer makes records of one topic, named without its namespace.
func (w *wire) writer(ctx context.Context, topic string) (*topics.Writer, error) {
	id, err := schemaID(ctx, w.config, w.registry, topic)
	if err != nil {
		return nil, err
	}
	// A writer is used for the one topic; the ids of the others are not needed.
	return topics.NewWriter(w.names, topics.IDs{StockDelta: id, ReservationEvent: id, ReservationResult: id, AvailabilityUpdate: id, LocationGraph: id}, w.partitions), nil
}

// publishedGraph is the newest location graph of a namespace. The zero value: none was published.
type publishedGraph struct {
	spec   availability.GraphSpec
	record schemas.LocationGraph
}

// graph reads location-graph to its end. Graphs that cannot be read are passed over, as the processor does.
func (w *wire) graph(ctx context.Context) (publishedGraph, error) {
	var newest publishedGraph
	err := readToEnd(ctx, w.config, w.log, w.names.LocationGraph, 0, func(r *kgo.Record) error {
		spec, record, err := w.reader.Graph(ctx, r)
		if isRefusal(err) {
			return nil
		}
		if err != nil {
			return explainRegistry(w.config, err)
		}
		if spec.Version > newest.spec.Version {
			newest = publishedGraph{spec, record}
		}
		return nil
	})
	return newest, err
}

// requireGraph is graph, for commands that can do nothing without one.
func (w *wire) requireGraph(ctx context.Context) (*availability.Graph, error) {
	newest, err := w.graph(ctx)
	if err != nil {
		return nil, err
	}
	if newest.spec.Version == 0 {
		return nil, hinted(fmt.Errorf("namespace %s has no location graph", w.config.Namespace), "publish one with `onhand graph publish FILE`")
	}
	return newest.spec.Compile()
}
