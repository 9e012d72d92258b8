package topics

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// DefaultPartitions is the partition count of a new installation. It bounds how many tasks can share the work, and it is
// part of the state: it cannot be changed later.
const DefaultPartitions = 64

// Settings say what the topics of a namespace should be like where the table leaves it open.
type Settings struct {
	Namespace string
	// Partitions of every topic that is co-partitioned. Zero: as many as the topics that exist have, DefaultPartitions
	// where none does.
	Partitions int32
	// ReplicationFactor of every topic. Zero: the broker's default for new ones, and any will do.
	ReplicationFactor int16
}

// Validate returns every setting that cannot be.
func (s Settings) Validate() error {
	var errs []error
	if err := CheckNamespace(s.Namespace); err != nil {
		errs = append(errs, err)
	}
	if s.Partitions < 0 || s.Partitions > 10_000 {
		errs = append(errs, fmt.Errorf("partitions %d: must be 1 to 10000, or 0 for those that exist", s.Partitions))
	}
	if s.ReplicationFactor < 0 {
		errs = append(errs, fmt.Errorf("replication factor %d: must be 1 or more, or 0 for the broker's default", s.ReplicationFactor))
	}
	return errors.Join(errs...)
}

// Plan compares the topics of a namespace with the table and changes nothing. It returns the differences in the order of
// the table, none where all is well; the error is for settings that cannot be and for what could not be found out.
func Plan(ctx context.Context, admin *kadm.Client, s Settings) ([]Difference, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	names, err := NamesOf(s.Namespace)
	if err != nil {
		return nil, err
	}
	have, err := describe(ctx, admin, names)
	if err != nil {
		return nil, err
	}
	if s.Partitions == 0 {
		s.Partitions = have.partitions(names)
	}
	var differences []Difference
	for _, t := range names.Table() {
		differences = append(differences, have.compare(t, s)...)
	}
	return differences, nil
}

// Verify returns an error that lists every problem of the topics, each with what to do, and nil where there is none.
func Verify(ctx context.Context, admin *kadm.Client, s Settings) error {
	differences, err := Plan(ctx, admin, s)
	if err != nil {
		return err
	}
	return problems(differences)
}

func problems(differences []Difference) error {
	var errs []error
	for _, d := range differences {
		if !d.Problem() {
			continue
		}
		if d.Fixable {
			d.Hint = "run onhand topics apply"
		}
		errs = append(errs, errors.New(d.String()))
	}
	return errors.Join(errs...)
}

// Partitions returns the partition count that the inputs and outputs of a namespace share. It fails where a topic is
// missing or a relation of Names.Validate is broken.
func Partitions(ctx context.Context, admin *kadm.Client, names Names) (int32, error) {
	details, err := list(ctx, admin, names)
	if err != nil {
		return 0, err
	}
	counts := make(map[string]int32, len(details))
	var errs []error
	for _, name := range names.All() {
		if !details.Has(name) {
			errs = append(errs, fmt.Errorf("topic %s is missing; run onhand topics apply, or name the right namespace", name))
			continue
		}
		counts[name] = int32(len(details[name].Partitions))
	}
	errs = append(errs, names.Validate(counts))
	return counts[names.StockDeltas], errors.Join(errs...)
}

// described is what a cluster says of the topics of a namespace.
type described struct {
	details  kadm.TopicDetails
	settings map[string]map[string]string // by topic, of those that exist
}

func describe(ctx context.Context, admin *kadm.Client, names Names) (described, error) {
	details, err := list(ctx, admin, names)
	if err != nil {
		return described{}, err
	}
	have := described{details, map[string]map[string]string{}}
	var existing []string
	for _, name := range names.All() {
		if details.Has(name) {
			existing = append(existing, name)
		}
	}
	configs, err := admin.DescribeTopicConfigs(ctx, existing...)
	if err != nil {
		return described{}, fmt.Errorf("reading settings of topics: %w", err)
	}
	for _, c := range configs {
		if errors.Is(c.Err, kerr.UnknownTopicOrPartition) {
			delete(have.details, c.Name) // a broker that has not heard of it yet, or of its end
			continue
		}
		if c.Err != nil {
			return described{}, fmt.Errorf("reading settings of topic %s: %w", c.Name, c.Err)
		}
		have.settings[c.Name] = map[string]string{}
		for _, setting := range c.Configs {
			have.settings[c.Name][setting.Key] = setting.MaybeValue()
		}
	}
	return have, nil
}

// list asks the cluster for the topics of a namespace.
func list(ctx context.Context, admin *kadm.Client, names Names) (kadm.TopicDetails, error) {
	// Authorized operations are not wanted; to ask for them is to be answered by a broker instead of the client's cache,
	// which does not know yet what was created a moment ago.
	details, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), names.All()...)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	for _, d := range details {
		if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return nil, fmt.Errorf("listing topic %s: %w", d.Topic, d.Err)
		}
	}
	return details, nil
}

// partitions is the count of the first topic in the table that is co-partitioned and exists.
func (h described) partitions(names Names) int32 {
	for _, t := range names.Table() {
		if t.CoPartitioned() && h.details.Has(t.Name) {
			return int32(len(h.details[t.Name].Partitions))
		}
	}
	return DefaultPartitions
}

// compare returns the differences of one topic.
func (h described) compare(t Topic, s Settings) []Difference {
	want := int32(1)
	if t.CoPartitioned() {
		want = s.Partitions
	}
	if !h.details.Has(t.Name) {
		return []Difference{{Topic: t.Name, Kind: KindMissing, Want: t.summary(want, s.ReplicationFactor), Fixable: true, partitions: want}}
	}
	var differences []Difference
	if have := len(h.details[t.Name].Partitions); have != int(want) {
		differences = append(differences, Difference{Topic: t.Name, Kind: KindPartitions, Have: strconv.Itoa(have), Want: strconv.Itoa(int(want)), Hint: partitionsHint(t)})
	}
	for _, c := range t.Configs {
		value, known := h.settings[t.Name][c.Name]
		if known && !c.suits(value) {
			differences = append(differences, Difference{Topic: t.Name, Kind: KindSetting, Setting: c.Name, Have: value, Want: c.want(), Fixable: true, set: c.Value})
		}
	}
	return append(differences, h.replication(t, s)...)
}

func partitionsHint(t Topic) string {
	if !t.CoPartitioned() {
		return "delete the topic, apply, and publish the location graph again"
	}
	return "keys would change their partition, and state belongs to one: ask for the count the topics have, delete them where they are empty, or apply another namespace and publish the feeds there"
}

// replication compares the replicas, which Apply leaves to the operators of the cluster.
func (h described) replication(t Topic, s Settings) []Difference {
	have := h.details[t.Name].Partitions.NumReplicas()
	if have < int(s.ReplicationFactor) {
		return []Difference{{Topic: t.Name, Kind: KindReplication, Have: strconv.Itoa(have), Want: strconv.Itoa(int(s.ReplicationFactor)),
			Hint: "reassign its partitions to more brokers with kafka-reassign-partitions"}}
	}
	if have == 1 {
		return []Difference{{Topic: t.Name, Kind: KindNote, Setting: "replication.factor", Have: "1", Hint: "with its broker the topic is lost"}}
	}
	if have > 2 && h.settings[t.Name]["min.insync.replicas"] == "1" {
		return []Difference{{Topic: t.Name, Kind: KindNote, Setting: "min.insync.replicas", Have: "1", Hint: "one broker alone may acknowledge a record, and lose it; 2 is usual"}}
	}
	return nil
}

// summary says what Apply creates.
func (t Topic) summary(partitions int32, replicas int16) string {
	text := strconv.Itoa(int(partitions)) + " partitions"
	if partitions == 1 {
		text = "1 partition"
	}
	if replicas > 0 {
		text += ", replication.factor=" + strconv.Itoa(int(replicas))
	}
	for _, c := range t.Configs {
		text += ", " + c.Name + "=" + c.Value
	}
	return text
}
