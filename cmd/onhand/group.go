package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"onhand/processor"
	"onhand/processor/availability"
)

// groupState is what Kafka knows of the processor: who runs which task, and how far each is.
type groupState struct {
	State   string      `json:"state"` // of the consumer group: Stable, Empty, PreparingRebalance, …
	Members int         `json:"members"`
	Tasks   []taskState `json:"tasks"`
}

// taskState is what Kafka knows of one task.
type taskState struct {
	Task         int32                        `json:"task"`
	Member       string                       `json:"member"` // empty: nobody runs it
	Epoch        int64                        `json:"epoch"`  // 0: the task has never committed
	CommitSeq    int64                        `json:"commitSequence"`
	GraphVersion int64                        `json:"graphVersion"`
	SweepCursor  int64                        `json:"sweepCursor"` // parts visited with that version; -1: all
	Inputs       [availability.Inputs]taskLag `json:"inputs"`
}

// taskLag is how far a task is with one input.
type taskLag struct {
	Topic     string `json:"topic"`
	Committed int64  `json:"committed"` // -1: nothing is committed
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"` // records not folded yet, transaction markers included
}

// adopted says whether the task computes with that version of the graph, or a later one.
func (t *taskState) adopted(version int64) bool { return t.GraphVersion >= version }

// swept says whether every SKU of the task was computed with that version.
func (t *taskState) swept(version int64) bool {
	return t.GraphVersion > version || t.GraphVersion == version && t.SweepCursor == availability.SweepDone
}

// group asks Kafka about every task.
func (w *wire) group(ctx context.Context) (*groupState, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	admin := kadm.NewClient(w.client)
	inputs := [availability.Inputs]string{availability.Deltas: w.names.StockDeltas, availability.Events: w.names.ReservationEvents}
	state, members, err := w.members(ctx, admin)
	if err != nil {
		return nil, explainKafka(w.config, fmt.Errorf("asking for the consumer group %s: %w", w.names.ConsumerGroup(), err))
	}
	committed, err := admin.FetchOffsets(ctx, w.names.ConsumerGroup())
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, explainKafka(w.config, fmt.Errorf("asking for the offsets of %s: %w", w.names.ConsumerGroup(), err))
	}
	ends, err := admin.ListEndOffsets(ctx, inputs[:]...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, explainKafka(w.config, fmt.Errorf("asking for the ends of the inputs: %w", err))
	}
	starts, err := admin.ListStartOffsets(ctx, inputs[:]...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, explainKafka(w.config, fmt.Errorf("asking for the starts of the inputs: %w", err))
	}
	state.Tasks = make([]taskState, w.partitions)
	for n := range state.Tasks {
		t := &state.Tasks[n]
		t.Task, t.Member = int32(n), members[int32(n)]
		for i, topic := range inputs {
			start, _ := starts.Lookup(topic, t.Task)
			end, _ := ends.Lookup(topic, t.Task)
			t.Inputs[i] = taskLag{Topic: topic, Committed: -1, End: end.Offset, Lag: end.Offset - start.Offset}
			if offset, ok := committed.Lookup(topic, t.Task); ok && offset.Err == nil && offset.At >= 0 {
				t.Inputs[i].Committed, t.Inputs[i].Lag = offset.At, max(0, end.Offset-offset.At)
				t.take(offset.Metadata)
			}
		}
	}
	return state, nil
}

// take reads what the task wrote beside its offsets. What no task wrote, as offsets set by hand, says nothing.
func (t *taskState) take(metadata string) {
	m, err := processor.ParseMetadata(metadata)
	if err == nil && (m.Epoch > t.Epoch || m.Epoch == t.Epoch && m.CommitSeq >= t.CommitSeq) {
		t.Epoch, t.CommitSeq, t.GraphVersion, t.SweepCursor = m.Epoch, m.CommitSeq, m.GraphVersion, m.SweepCursor
	}
}

// members returns the state of the group and who runs which task.
func (w *wire) members(ctx context.Context, admin *kadm.Client) (*groupState, map[int32]string, error) {
	state := &groupState{State: "Empty"}
	of := make(map[int32]string)
	described, err := admin.DescribeGroups(ctx, w.names.ConsumerGroup())
	if err != nil {
		return nil, nil, err
	}
	group := described[w.names.ConsumerGroup()]
	if errors.Is(group.Err, kerr.GroupIDNotFound) || group.State == "Dead" || group.State == "" {
		return state, of, nil
	}
	if group.Err != nil {
		return nil, nil, group.Err
	}
	state.State, state.Members = group.State, len(group.Members)
	for _, m := range group.Members {
		name := m.ClientID
		if m.InstanceID != nil {
			name = *m.InstanceID
		}
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, topic := range assigned.Topics {
			if topic.Topic != w.names.StockDeltas {
				continue // the task of a partition runs where its deltas go
			}
			for _, p := range topic.Partitions {
				of[p] = name
			}
		}
	}
	return state, of, nil
}

// count is how many tasks the function says true of.
func (g *groupState) count(is func(*taskState) bool) int {
	n := 0
	for i := range g.Tasks {
		if is(&g.Tasks[i]) {
			n++
		}
	}
	return n
}

// processes are the names of the members that run tasks, sorted.
func (g *groupState) processes() []string {
	var names []string
	for _, t := range g.Tasks {
		if t.Member != "" && !slices.Contains(names, t.Member) {
			names = append(names, t.Member)
		}
	}
	slices.Sort(names)
	return names
}

// orNobody names who runs a task.
func orNobody(member string) string {
	if member == "" {
		return "nobody"
	}
	return member
}

// tasksNamed is how many tasks of a member are named one by one.
const tasksNamed = 8

// whose names the tasks that the function says true of, under who runs them: "one-0 (tasks 1, 3), nobody (task 2)". It is
// empty where there are none.
func (g *groupState) whose(is func(*taskState) bool) string {
	of := make(map[string][]string)
	for i := range g.Tasks {
		if t := &g.Tasks[i]; is(t) {
			member := orNobody(t.Member)
			of[member] = append(of[member], strconv.Itoa(int(t.Task)))
		}
	}
	var members []string
	for _, member := range slices.Sorted(maps.Keys(of)) {
		tasks, word := of[member], "tasks "
		if len(tasks) == 1 {
			word = "task "
		}
		text := strings.Join(tasks[:min(len(tasks), tasksNamed)], ", ")
		if rest := len(tasks) - tasksNamed; rest > 0 {
			text += fmt.Sprintf(" and %d more", rest)
		}
		members = append(members, fmt.Sprintf("%s (%s%s)", member, word, text))
	}
	return strings.Join(members, ", ")
}
