package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// published is a location graph as its record had it.
type published struct {
	graph *availability.Graph
	bytes []byte
}

// graphs follows the topic of location graphs, which every process reads whole.
type graphs struct {
	client *kgo.Client
	topic  string
	reader *topics.Reader
	log    *slog.Logger
	newest atomic.Pointer[published]
	adopt  func() // called after each new version
	named  func(context.Context, error) error

	mu   sync.Mutex
	deny error        // the right that the topic cannot be read without, nil where it can
	past []*published // the newest versions read, oldest first
	next int64        // offset after the newest record read
	more chan struct{}
}

func newGraphs(client *kgo.Client, topic string, reader *topics.Reader, log *slog.Logger, adopt func()) *graphs {
	return &graphs{client: client, topic: topic, reader: reader, log: log, adopt: adopt, more: make(chan struct{})}
}

// follow reads the topic until ctx ends. Its client consumes partition 0 from the start and keeps control records, so
// that the position is known across them.
func (g *graphs) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		fetches, err := g.poll(ctx)
		if err != nil && ctx.Err() == nil {
			err = g.named(ctx, err)
			g.log.Warn("reading location graphs", "topic", g.topic, "err", err)
		}
		g.refuse(err)
		if err != nil {
			pause(ctx, time.Second)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			if err := g.take(ctx, iter.Next()); err != nil {
				return err
			}
		}
	}
	return nil
}

// deniedPoll is how long a topic that could not be read for want of a right must bring no such answer to be readable.
const deniedPoll = 2 * time.Second

// poll waits for records; while a right is missing, no longer than it takes to see that it is there again.
func (g *graphs) poll(ctx context.Context) (kgo.Fetches, error) {
	if g.refused() != nil {
		waiting, cancel := context.WithTimeout(ctx, deniedPoll)
		defer cancel()
		ctx = waiting
	}
	var err error
	fetches := g.client.PollFetches(ctx)
	fetches.EachError(func(_ string, _ int32, e error) {
		if unread, ok := errors.AsType[*kgo.ErrDecompressTooLarge](e); ok {
			g.log.Error("location graph passed over, for its batch is too large uncompressed; publish it anew", "topic", g.topic, "offset", unread.Offset)
			skip(g.client, unread)
			g.readTo(unread.NextOffset)
		} else if !errors.Is(e, context.DeadlineExceeded) || ctx.Err() == nil {
			err = e
		}
	})
	return fetches, err
}

// refuse notes what the last poll came to.
func (g *graphs) refuse(err error) {
	if !isDenied(err) {
		err = nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deny = err
}

// refused is the right that is missing to read the topic, or nil.
func (g *graphs) refused() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.deny
}

// take reads one record. A graph that cannot be read is passed over: the newest one that can be stays in force.
func (g *graphs) take(ctx context.Context, r *kgo.Record) error {
	if !r.Attrs.IsControl() {
		spec, err := g.decode(ctx, r)
		if err == nil {
			err = g.offer(spec, r.Value)
		}
		if err != nil && ctx.Err() == nil {
			g.log.Error("location graph passed over; publish it anew", "topic", r.Topic, "offset", r.Offset, "err", err)
		}
	}
	g.readTo(r.Offset + 1)
	g.adopt()
	return nil
}

// readTo tells those who wait that the topic has been read up to an offset.
func (g *graphs) readTo(next int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next = next
	close(g.more)
	g.more = make(chan struct{})
}

// decode waits for a registry that cannot be asked: no graph is passed over for that.
func (g *graphs) decode(ctx context.Context, r *kgo.Record) (availability.GraphSpec, error) {
	for {
		spec, _, err := g.reader.Graph(ctx, r)
		var refusal *topics.Refusal
		if err == nil || errors.As(err, &refusal) || ctx.Err() != nil {
			return spec, err
		}
		g.log.Warn("waiting to decode a location graph", "offset", r.Offset, "err", err)
		pause(ctx, time.Second)
	}
}

func (g *graphs) offer(spec availability.GraphSpec, bytes []byte) error {
	if now := g.newest.Load(); now != nil && spec.Version <= now.graph.Version {
		return fmt.Errorf("version %d comes after %d; versions only increase", spec.Version, now.graph.Version)
	}
	compiled, err := spec.Compile()
	if err != nil {
		return err
	}
	p := &published{graph: compiled, bytes: bytes}
	g.mu.Lock()
	if g.past = append(g.past, p); len(g.past) > graphsPast {
		g.past = g.past[1:]
	}
	g.mu.Unlock()
	g.newest.Store(p)
	return nil
}

// graphsPast bounds how many versions are remembered.
const graphsPast = 32

// between returns the versions read that are above one and not above another.
func (g *graphs) between(above, upTo int64) []*published {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*published
	for _, p := range g.past {
		if v := p.graph.Version; above < v && v <= upTo {
			found = append(found, p)
		}
	}
	return found
}

// compile reads a graph that a store has kept.
func (g *graphs) compile(ctx context.Context, bytes []byte) (*availability.Graph, error) {
	spec, err := g.decode(ctx, &kgo.Record{Topic: g.topic, Key: []byte(topics.GraphKey), Value: bytes})
	if err != nil {
		return nil, err
	}
	return spec.Compile()
}

// sync returns when everything that stood in the topic at the call has been read.
func (g *graphs) sync(ctx context.Context) error {
	offsets, err := kadm.NewClient(g.client).ListEndOffsets(ctx, g.topic)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the end of %s: %w", g.topic, err)
	}
	end, _ := offsets.Lookup(g.topic, 0)
	for {
		g.mu.Lock()
		next, more := g.next, g.more
		g.mu.Unlock()
		if next >= end.Offset {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("reading %s to its end: %w", g.topic, ctx.Err())
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
