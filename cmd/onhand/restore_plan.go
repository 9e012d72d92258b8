package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// restorePlan says which tasks get what.
type restorePlan struct {
	sources     []int32 // tasks of the snapshot that have a file
	targets     []int32 // tasks that are written
	checkpoints map[int32]availability.Checkpoint
	shares      func(source, target int32) bool // whether a SKU of the one can come to the other
	prepare     func(context.Context) error     // what is done in Kafka before anything is written
}

// belongs refuses SKUs that are of another task.
func (r *restoring) belongs(task int32, v *cache.SnapshotVisitor) *cache.SnapshotVisitor {
	v.Stock = func(d *availability.StockData) error {
		if of := topics.PartitionOf(d.SKU, r.manifest.Partitions); of != task {
			return fmt.Errorf("%w: SKU %s is of task %d", cache.ErrSnapshot, d.SKU, of)
		}
		return nil
	}
	return v
}

// planBack checks that the tasks will be able to rewind: that the topics are those of the snapshot, that they reach back to
// it, and that Kafka knows how far was published.
func (r *restoring) planBack(ctx context.Context) (*restorePlan, error) {
	m := r.manifest
	if m.Partitions != r.wire.partitions {
		return nil, hinted(fmt.Errorf("the snapshot is of %d partitions, the topics of namespace %s have %d", m.Partitions, r.config.Namespace, r.wire.partitions),
			"move it into a new namespace: --namespace and --partitions, RUNBOOK.md, \"Change the partition count\"")
	}
	ids, err := r.wire.topicIDs(ctx)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(ids, m.TopicIDs) {
		return nil, hinted(fmt.Errorf("the topics of namespace %s are not those of the snapshot: they were deleted and created again, or are in another Kafka", r.config.Namespace),
			fmt.Sprintf("into topics that are empty it is moved with --partitions %d", m.Partitions))
	}
	group, err := r.wire.group(ctx)
	if err != nil {
		return nil, err
	}
	starts, _, err := r.wire.bounds(ctx, r.wire.inputTopics()...)
	if err != nil {
		return nil, err
	}
	p := &restorePlan{checkpoints: make(map[int32]availability.Checkpoint), shares: func(source, target int32) bool { return source == target },
		prepare: func(context.Context) error { return nil }}
	for _, t := range m.Tasks {
		if t.File == "" {
			continue
		}
		p.sources, p.targets, p.checkpoints[t.Task] = append(p.sources, t.Task), append(p.targets, t.Task), r.heads[t.Task].Checkpoint
		for input, topic := range r.wire.inputs() {
			at, committed := t.Inputs[input].Checkpoint, group.Tasks[t.Task].Inputs[input].Committed
			switch start, _ := starts.Lookup(topic, t.Task); {
			case start.Offset > at:
				return nil, hinted(fmt.Errorf("%s/%d begins at offset %d, but what follows %d is needed", topic, t.Task, start.Offset, at), "take a newer snapshot; longer retention keeps older ones of use")
			case committed < 0 && !r.flags.force:
				return nil, hinted(fmt.Errorf("the consumer group %s has no offset of %s/%d, so that nobody knows how much was published since the snapshot", r.wire.names.ConsumerGroup(), topic, t.Task),
					"put the offsets back, or add --force: records from the snapshot on are then decided and published again")
			case committed >= 0 && committed < at:
				return nil, hinted(fmt.Errorf("the consumer group %s stands at offset %d of %s/%d, before the %d of the snapshot", r.wire.names.ConsumerGroup(), committed, topic, t.Task, at),
					"put the offsets back to where they were, or take an older snapshot")
			}
		}
	}
	return p, nil
}

// planMove checks that nothing is lost on the way to other topics, and makes the checkpoints at their beginning.
func (r *restoring) planMove(ctx context.Context) (*restorePlan, error) {
	m, c := r.manifest, r.config
	if want := r.flags.partitions; want != 0 && want != r.wire.partitions {
		return nil, hinted(fmt.Errorf("the topics of namespace %s have %d partitions, not %d", c.Namespace, r.wire.partitions, want),
			fmt.Sprintf("create those of a new namespace with `onhand topics apply --namespace NEW --partitions %d`", want))
	}
	if err := r.movable(); err != nil {
		return nil, err
	}
	results, dead := r.wire.names.ReservationResults, r.wire.names.DeadLetters
	starts, ends, err := r.wire.bounds(ctx, append(r.wire.inputTopics(), results, dead)...)
	if err != nil {
		return nil, err
	}
	p := &restorePlan{checkpoints: make(map[int32]availability.Checkpoint), shares: func(source, target int32) bool {
		return (source-target)%gcd(m.Partitions, r.wire.partitions) == 0
	}}
	p.sources = slices.Sorted(maps.Keys(r.heads))
	at := availability.Checkpoint{GraphVersion: m.GraphVersion, SweepCursor: processor.SweepWhole, Partitions: r.wire.partitions}
	for _, head := range r.heads {
		at.Epoch = max(at.Epoch, head.Checkpoint.Epoch+1)
	}
	for task := range r.wire.partitions {
		next := at
		for input, topic := range r.wire.inputs() {
			start, _ := starts.Lookup(topic, task)
			end, _ := ends.Lookup(topic, task)
			if start.Offset != end.Offset {
				return nil, hinted(fmt.Errorf("%s/%d is not empty: it has %d offsets", topic, task, end.Offset-start.Offset), "move a snapshot into a namespace whose topics are new: --namespace")
			}
			// No record before the start leads to what the task has: without its state the task cannot begin anew.
			next.Offsets[input], next.Origin[input] = start.Offset, start.Offset-1
		}
		first, _ := starts.Lookup(results, task)
		letters, _ := starts.Lookup(dead, task)
		next.Results, next.DeadLetters = first.Offset, letters.Offset
		for source, head := range r.heads {
			if p.shares(source, task) {
				next.Newest = max(next.Newest, head.Checkpoint.Newest)
			}
		}
		p.targets, p.checkpoints[task] = append(p.targets, task), next
	}
	p.prepare = func(ctx context.Context) error { return r.prepareMove(ctx, p) }
	return p, r.checkGraph(ctx)
}

func gcd(a, b int32) int32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// movable says why the snapshot cannot be moved: to new topics nothing comes along that is in the old ones alone.
func (r *restoring) movable() error {
	m := r.manifest
	if len(m.Tasks) != int(m.Partitions) {
		return hinted(fmt.Errorf("the snapshot has %d of %d tasks, and all are needed to move it", len(m.Tasks), m.Partitions), "take one without --tasks")
	}
	if m.Graph == nil {
		return hinted(errors.New("the snapshot has no location graph"), "publish one where it was made, and take it again")
	}
	var unread [availability.Inputs]int64
	behind := 0
	for i := range m.Tasks {
		t := &m.Tasks[i]
		if !t.drained() {
			behind++
		}
		for input := range t.Inputs {
			unread[input] += t.Inputs[input].Unread
		}
		if t.GraphVersion > m.GraphVersion {
			return hinted(fmt.Errorf("task %d has location graph %d, and %d was the newest published", t.Task, t.GraphVersion, m.GraphVersion), "publish the graph where the snapshot was made, and take it again")
		}
	}
	if behind > 0 && !r.flags.force {
		return hinted(fmt.Errorf("the snapshot is not drained: %s had %d stock deltas and %d reservation events that it does not have, or had published more", plural(behind, "task"), unread[availability.Deltas], unread[availability.Events]),
			"stop the producers, wait until `onhand status` shows no lag and Redis equal, and take it again; with --force those records are lost, and what was decided on them is forgotten")
	}
	return nil
}

// checkGraph refuses a graph in the new namespace that is another than the snapshot's: what a location holds is bound to
// the version in which it joined.
func (r *restoring) checkGraph(ctx context.Context) error {
	there, err := r.wire.graph(ctx)
	if err != nil || there.spec.Version == 0 || sameGraph(&there.record, r.manifest.Graph) {
		return err
	}
	return hinted(fmt.Errorf("namespace %s has location graph %d, which is not that of the snapshot", r.config.Namespace, there.spec.Version),
		"move a snapshot into a namespace that has no graph yet: it is published by the restore, and changed afterwards")
}

func sameGraph(a, b *schemas.LocationGraph) bool {
	x, err := json.Marshal(a)
	y, other := json.Marshal(b)
	return err == nil && other == nil && bytes.Equal(x, y)
}

// prepareMove publishes the graph, and commits the offsets at which the tasks begin, with the witness of their checkpoints.
func (r *restoring) prepareMove(ctx context.Context, p *restorePlan) error {
	there, err := r.wire.graph(ctx)
	if err == nil && there.spec.Version == 0 {
		err = r.app.republishGraph(ctx, r.config, r.manifest.Graph)
	}
	if err != nil {
		return err
	}
	offsets := make(kadm.Offsets)
	for task, c := range p.checkpoints {
		for input, topic := range r.wire.inputs() {
			witness := processor.Metadata{Epoch: c.Epoch, GraphVersion: c.GraphVersion, SweepCursor: c.SweepCursor, Origin: c.Origin[input]}
			offsets.Add(kadm.Offset{Topic: topic, Partition: task, At: c.Offsets[input], LeaderEpoch: -1, Metadata: witness.String()})
		}
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := kadm.NewClient(r.wire.client).CommitAllOffsets(asking, r.wire.names.ConsumerGroup(), offsets); err != nil {
		return explainKafka(r.config, fmt.Errorf("committing the offsets of %s: %w", r.wire.names.ConsumerGroup(), err))
	}
	return nil
}

// republishGraph publishes a graph as it was, version and all.
func (a *app) republishGraph(ctx context.Context, c *Config, g *schemas.LocationGraph) error {
	w, err := a.connect(ctx, c, kgo.TransactionalID(c.Namespace+".graph-publisher"), kgo.TransactionTimeout(30*time.Second))
	if err != nil {
		return err
	}
	defer w.close()
	return w.publish(ctx, g)
}

func (w *wire) inputTopics() []string {
	inputs := w.inputs()
	return inputs[:]
}

// bounds returns the starts and ends of topics.
func (w *wire) bounds(ctx context.Context, names ...string) (starts, ends kadm.ListedOffsets, err error) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	admin := kadm.NewClient(w.client)
	if starts, err = admin.ListStartOffsets(asking, names...); err == nil {
		err = starts.Error()
	}
	if err == nil {
		if ends, err = admin.ListEndOffsets(asking, names...); err == nil {
			err = ends.Error()
		}
	}
	if err != nil {
		return nil, nil, explainKafka(w.config, fmt.Errorf("asking for the ends of the topics: %w", err))
	}
	return starts, ends, nil
}
