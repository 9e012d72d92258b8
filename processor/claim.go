package processor

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/processor/availability"
	"onhand/topics"
)

// claimed is what a claim found: how far Kafka says the inputs are folded, and how far what is published reaches.
type claimed struct {
	committed [availability.Inputs]int64 // k: the offsets committed in Kafka; where there are none, those of the checkpoint
	witness   *Metadata                  // beside them; nil: nothing committed
	joins     []joined                   // what both witnesses tell
	unsure    bool                       // of an input that has been folded nothing is committed
	results   int64                      // high watermark of reservation-results, asked for after k
	dead      int64                      // the same of dead-letters
}

// begin starts a claim of the task in the background. Again: the session has held the task before and asks the group
// first whether it still does.
func (s *session) begin(t *task, again bool) {
	t.setState(claiming)
	s.mu.Lock()
	parked := s.parked[t.number]
	delete(s.parked, t.number)
	s.mu.Unlock()
	s.background.Go(func() {
		for wait := 50 * time.Millisecond; t.ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
			err := s.claimAndRecover(t, parked, again)
			if err == nil || t.ctx.Err() != nil {
				break
			}
			if reactionTo(err) == stop {
				t.halt(stoppedBy(err))
				break
			}
			s.shared.obs.noteDenied(err)
			err = s.shared.named(t.ctx, err)
			t.waitFor(err)
			t.log.Warn("claim tried again", "err", err)
			parked = nil
			pause(t.ctx, wait)
		}
		s.wake()
	})
}

// reclaim drops what a running task holds and claims it again.
func (s *session) reclaim(t *task) {
	s.rest(t.number)
	t.committer.abandon()
	s.begin(t, true)
}

func (s *session) claimAndRecover(t *task, parked *task, again bool) error {
	ctx, end := s.shared.obs.span(t.ctx, "claim", t.number)
	err := s.claim(ctx, t, parked, again)
	end(err)
	if err != nil {
		return err
	}
	if t.claim.unsure {
		if err := t.checkUnsure(ctx); err != nil {
			return err
		}
	}
	if t.behind() {
		t.setState(recovering)
		ctx, end := s.shared.obs.span(t.ctx, "recover", t.number)
		err = t.recover(ctx)
		end(err)
		if err != nil {
			t.setState(claiming)
			t.committer.abandon()
			return fmt.Errorf("recovering task %d: %w", t.number, err)
		}
	}
	t.waitFor(nil)
	t.setState(claimDone)
	return nil
}

// takeOver sets the consumer's positions to those of the tasks whose claim is done, and lets them run. What was polled of
// their partitions before is dropped; it comes again.
func (s *session) takeOver() {
	positions := make(map[string]map[int32]kgo.EpochOffset)
	var ready []*task
	for _, t := range s.list() {
		if !t.is(claimDone) {
			continue
		}
		ready = append(ready, t)
		for input, topic := range s.shared.inputs() {
			if positions[topic] == nil {
				positions[topic] = make(map[int32]kgo.EpochOffset)
			}
			positions[topic][t.number] = kgo.EpochOffset{Epoch: -1, Offset: t.folded.Offsets[input]}
			t.buffer[input], t.bufferBytes = nil, 0
		}
	}
	if len(ready) == 0 {
		return
	}
	s.client.SetOffsets(positions)
	for _, t := range ready {
		t.setState(running)
		s.resume(t.number)
	}
}

// claim makes this process the owner of the task: it reads both witnesses, writes the next epoch by compare-and-set on the
// checkpoint just read, and then asks how far the results reach.
func (s *session) claim(ctx context.Context, t *task, parked *task, again bool) error {
	if again {
		if err := s.heartbeat(ctx); err != nil {
			return fmt.Errorf("asking the group before a claim: %w", err)
		}
	}
	t.shared.Store.Forget(t.number)
	committed, err := t.committedOffsets(ctx)
	if err != nil {
		return err
	}
	checkpoint, err := t.shared.Store.Checkpoint(ctx, t.number)
	if err != nil {
		return fmt.Errorf("reading the checkpoint of task %d: %w", t.number, err)
	}
	before := checkpoint.CommitID
	if t.claim, err = t.compare(ctx, &checkpoint, committed); err != nil {
		return err
	}
	checkpoint.Epoch++
	if w := t.claim.witness; w != nil {
		if !without.WitnessEpoch {
			checkpoint.Epoch = max(checkpoint.Epoch, w.Epoch+1)
		}
		if !without.WholeSweep && (w.GraphVersion != checkpoint.GraphVersion || w.SweepCursor != checkpoint.SweepCursor) {
			checkpoint.SweepCursor = wholeSweep
		}
	}
	checkpoint.CommitSeq, checkpoint.CommitID = 0, newCommitID()
	if err := t.shared.Store.Commit(ctx, t.number, &availability.Commit{Expect: before, Checkpoint: checkpoint}); err != nil {
		return fmt.Errorf("claiming task %d: %w", t.number, err)
	}
	if t.claim.results, t.claim.dead, err = t.watermarks(ctx); err != nil {
		return err
	}
	return t.build(ctx, checkpoint, before, parked)
}

// heartbeat succeeds only for a current member of the group.
func (s *session) heartbeat(ctx context.Context) error {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.InstanceID = s.shared.names.ConsumerGroup(), &s.id
	r.MemberID, r.Generation = s.client.GroupMetadata()
	resp, err := r.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// compare holds the checkpoint against the committed offsets and returns k. A task without checkpoint gets one at its
// origin. It stops the task where no recovery is possible.
func (t *task) compare(ctx context.Context, c *availability.Checkpoint, committed [availability.Inputs]offsets) (claimed, error) {
	starts, err := t.starts(ctx)
	if err != nil {
		return claimed{}, err
	}
	found := claimed{joins: joinedOf(committed, [availability.Inputs]int64{starts[t.shared.names.StockDeltas], starts[t.shared.names.ReservationEvents]})}
	for input := range committed {
		if m := committed[input].metadata; m != nil && (found.witness == nil || m.Epoch > found.witness.Epoch) {
			found.witness = m
		}
	}
	kind := "equal"
	if c.CommitID == (availability.CommitID{}) {
		kind = t.origin(c, starts, committed)
	}
	if c.Partitions != t.shared.partitions {
		return found, stopped("PartitionCountChanged", fmt.Sprintf("go back to %d partitions, or restore a snapshot into a new namespace with the new count", c.Partitions),
			"the state was written with %d partitions, the topics have %d", c.Partitions, t.shared.partitions)
	}
	for input, topic := range t.shared.inputs() {
		r, k := c.Offsets[input], committed[input].offset
		if k < 0 {
			if kind != "new" {
				if w := found.witness; w != nil && w.after(c) {
					return found, offsetsDeleted(topics.Source{Topic: topic, Partition: t.number, Offset: r}, "the offsets of the other input were committed by a later batch")
				}
				found.unsure = true
				t.log.Warn("no offset is committed; going on from the checkpoint", "topic", topic, "offset", r)
				kind = "no commit"
			}
			k = r
		}
		switch found.committed[input] = k; {
		case r > k:
			return found, stopped("CheckpointAhead", "the offsets of the consumer group were set back, or the state is of another cluster; put the offsets back, or restore a snapshot that is not newer than they are",
				"the checkpoint stands at offset %d of %s/%d, the consumer group at %d", r, topic, t.number, k)
		case r < k && kind == "equal":
			kind = "behind"
		}
		if start := starts[topic]; start > r {
			return found, stopped("LogTooShort", "restore a snapshot of the state that is newer than that; longer retention prevents it",
				"%s/%d begins at offset %d, but what follows %d is needed", topic, t.number, start, r)
		}
	}
	t.shared.obs.claimed(kind)
	if kind != "equal" && kind != "new" {
		t.log.Info("task claimed", "case", kind, "checkpoint", c.Offsets, "committed", found.committed)
	}
	return found, nil
}

// offsetsDeleted is what a task stops with that would go on from a checkpoint, for want of committed offsets, though the
// checkpoint is not the newest: it would decide again what was decided.
func offsetsDeleted(at topics.Source, how string) error {
	return stopped("OffsetsDeleted", "restore a snapshot that is newer than the deletion, or set the offsets to what they were",
		"the consumer group has no offset for %s/%d, and the checkpoint, at offset %d, is not the newest: %s", at.Topic, at.Partition, at.Offset, how)
}

// origin makes a checkpoint for a task that has none: at the origin that the committed offsets tell, else at the start of
// the logs.
func (t *task) origin(c *availability.Checkpoint, starts map[string]int64, committed [availability.Inputs]offsets) string {
	kind := "new"
	for input, topic := range t.shared.inputs() {
		c.Origin[input] = starts[topic]
		if m := committed[input].metadata; m != nil {
			c.Origin[input] = m.Origin
		} else if committed[input].offset >= 0 {
			c.Origin[input] = min(c.Origin[input], committed[input].offset)
		}
		if committed[input].offset >= 0 {
			kind = "empty"
		}
	}
	c.Offsets = c.Origin
	c.Results, c.DeadLetters = starts[t.shared.names.ReservationResults], starts[t.shared.names.DeadLetters]
	c.Partitions = t.shared.partitions
	return kind
}

// build makes what the task holds in memory anew. What a parked task holds is taken over if nobody has written since.
func (t *task) build(ctx context.Context, c availability.Checkpoint, before availability.CommitID, parked *task) error {
	t.folded, t.corrupt = c, nil
	t.shared.obs.setAside(t.number, 0)
	writes := newCommitter(t.shared.Store, t.number, c.CommitID, t.shared.obs, t.wake)
	writes.start(t.ctx)
	t.mu.Lock()
	t.committer = writes
	t.mu.Unlock()
	newest := t.shared.graphs.newest.Load()
	t.joins, t.witnessed = t.claim.joins, math.MaxInt64
	if t.claim.witness != nil {
		t.witnessed = t.claim.witness.GraphVersion
	}
	if parked != nil && parked.committer.tail() == before && len(parked.owed) == 0 {
		t.folder, t.window, t.stocks, t.graphs, t.graphIn, t.owed = parked.folder, parked.window, parked.stocks, parked.graphs, parked.graphIn, nil
		t.stocks.forgetCommits()
		t.sweep, t.expiries = sweep{counted: time.Now()}, expiries{published: make(map[availability.Due]bool)}
		return nil
	}
	t.stocks = newStocks(t.shared.CacheBytes / int64(t.shared.partitions))
	t.window = availability.NewWindow(t.shared.Rules.Window)
	ids, err := t.shared.Store.IDs(ctx, t.number)
	if err != nil {
		return fmt.Errorf("reading the ids of task %d: %w", t.number, err)
	}
	for _, batch := range ids {
		if without.RestoredIDs {
			break
		}
		t.window.Restore(batch)
	}
	if t.owed, err = t.shared.Store.Owed(ctx, t.number); err != nil {
		return fmt.Errorf("reading what task %d owes: %w", t.number, err)
	}
	slices.Sort(t.owed)
	if err := t.restoreGraphs(ctx, newest); err != nil {
		return err
	}
	t.folder = availability.NewFolder(t.newestGraph(newest), t.shared.Rules, t.window)
	t.sweep, t.expiries = sweep{counted: time.Now()}, expiries{published: make(map[availability.Due]bool)}
	return nil
}

// restoreGraphs reads the versions that SKUs may have been computed with.
func (t *task) restoreGraphs(ctx context.Context, newest *published) error {
	t.graphs, t.graphIn = map[int64]*availability.Graph{newest.graph.Version: newest.graph}, false
	kept, err := t.shared.Store.Graphs(ctx, t.number)
	if err != nil {
		return fmt.Errorf("reading the graphs of task %d: %w", t.number, err)
	}
	for _, k := range kept {
		if k.Version == newest.graph.Version {
			t.graphIn = true
			continue
		}
		g, err := t.shared.graphs.compile(ctx, k.Bytes)
		if err != nil {
			t.log.Warn("kept graph cannot be read; SKUs computed with it will be published whole", "version", k.Version, "err", err)
			continue
		}
		t.graphs[k.Version] = g
	}
	t.recallGraphs()
	return nil
}

// recallGraphs adds the graphs that levels were published with and that the store has forgotten: a whole sweep takes back
// what was published at places of theirs.
func (t *task) recallGraphs() {
	t.recalled = nil
	if t.claim.witness == nil {
		return
	}
	for _, p := range t.shared.graphs.between(t.folded.GraphVersion, t.claim.witness.GraphVersion) {
		if v := p.graph.Version; t.graphs[v] == nil {
			t.graphs[v] = p.graph
			t.recalled = append(t.recalled, availability.GraphData{Version: v, Bytes: p.bytes})
		}
	}
}

// newestGraph is the newest version known: where the topic has lost one that SKUs were computed with, that one.
func (t *task) newestGraph(published *published) *availability.Graph {
	g := published.graph
	for _, kept := range t.graphs { // order-free: the highest version
		if kept.Version > g.Version {
			g = kept
		}
	}
	return g
}

// behind says whether the checkpoint reflects less than what is committed.
func (t *task) behind() bool {
	for input := range t.claim.committed {
		if t.folded.Offsets[input] < t.claim.committed[input] {
			return true
		}
	}
	return false
}

// startOffsets gives a partition for which nothing is committed any position at all: it rests until its claim has set the
// right one. The client lets only those positions be set that it knows one of.
func (s *session) startOffsets(_ context.Context, found map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for _, partitions := range found {
		for n, o := range partitions {
			if o.EpochOffset().Offset < 0 {
				partitions[n] = kgo.NewOffset().At(0)
			}
		}
	}
	return found, nil
}
