package topics

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Role is what a topic is for.
type Role uint8

// The roles.
const (
	RoleInput      Role = iota // folded by the task of its partition number
	RoleBroadcast              // read whole by every process; one partition
	RoleOutput                 // the newest level of every place and SKU
	RoleResult                 // one answer per reservation event
	RoleDeadLetter             // records that can never be applied, with their reason
)

// String is the role in lower case.
func (r Role) String() string {
	return [...]string{"input", "broadcast", "output", "result", "dead letter"}[r]
}

// Topic is one topic of a namespace.
type Topic struct {
	Name    string
	Role    Role
	Key     string // what its records are keyed by
	Configs []Config
}

// CoPartitioned says whether the topic has the partition count that all but broadcast topics share.
func (t Topic) CoPartitioned() bool { return t.Role != RoleBroadcast }

// Config returns the value that the table gives to a setting of the topic, "" if it gives none.
func (t Topic) Config(name string) string {
	if i := slices.IndexFunc(t.Configs, func(c Config) bool { return c.Name == name }); i >= 0 {
		return t.Configs[i].Value
	}
	return ""
}

// Config is a setting of a topic, and which values of it will do.
type Config struct {
	Name  string
	Value string // what Apply sets
	rule  rule
	or    []string // other values that will do
	// late settings are not known to every broker: they are set where a topic that exists turns out to have them.
	late bool
}

type rule uint8

const (
	exactly rule = iota
	atLeast      // a number; -1 is without bound
)

// suits says whether a topic may keep the value.
func (c Config) suits(value string) bool {
	if value == c.Value || slices.Contains(c.or, value) {
		return true
	}
	if c.rule != atLeast {
		return false
	}
	have, err := strconv.ParseInt(value, 10, 64)
	want, errWant := strconv.ParseInt(c.Value, 10, 64)
	return err == nil && errWant == nil && (have == -1 || want != -1 && have >= want)
}

// want says which values will do.
func (c Config) want() string {
	text := c.Value
	if c.rule == atLeast && c.Value != "-1" {
		text = "at least " + text
	}
	for _, other := range c.or {
		text += " or " + other
	}
	return text
}

const (
	day = 24 * 60 * 60 * 1000 // in the unit of retention.ms

	// recordBytesMax is what an input takes. A record sent on to its right partition must fit again, also where it
	// compresses worse than before: a value of 1 MiB, key and headers of envelopeBytesMax, and the header of the batch.
	recordBytesMax = 2 << 20
	// deadLetterBytesMax is what dead-letters and its producer take.
	deadLetterBytesMax = 16 << 20
	// updateBytesMax is what availability-updates takes. A group's level lists the futures of all its members: 12 bytes
	// each, so this is room for a million.
	updateBytesMax = 16 << 20
)

// Table returns the topics of the namespace in a fixed order: inputs, broadcast, outputs.
func (n Names) Table() []Topic {
	const bySKU = "the SKU's UTF-8 bytes"
	return []Topic{
		{n.StockDeltas, RoleInput, bySKU, deleted(7*day, recordBytesMax)},
		{n.ReservationEvents, RoleInput, bySKU, deleted(7*day, recordBytesMax)},
		{n.LocationGraph, RoleBroadcast, GraphKey, append(compacted(recordBytesMax),
			// A graph stays for as long as inputs at least do: where Redis goes back, levels are taken back of places that only it had.
			Config{Name: "min.compaction.lag.ms", Value: strconv.FormatInt(7*day, 10), rule: atLeast},
		)},
		{n.AvailabilityUpdates, RoleOutput, "place/SKU", compacted(updateBytesMax)},
		{n.ReservationResults, RoleResult, bySKU, deleted(7*day, recordBytesMax)},
		{n.DeadLetters, RoleDeadLetter, "the key of the source record", append(deleted(14*day, deadLetterBytesMax),
			// A dead letter keeps its time, also one that this topic would refuse and its source did not.
			Config{Name: "message.timestamp.after.max.ms", Value: "9223372036854775807", late: true},
			Config{Name: "message.timestamp.before.max.ms", Value: "9223372036854775807", late: true},
		)},
	}
}

func common(bytesMax int64) []Config {
	return []Config{
		{Name: "max.message.bytes", Value: strconv.FormatInt(bytesMax, 10), rule: atLeast},
		{Name: "message.timestamp.type", Value: "CreateTime"},
		{Name: "compression.type", Value: "zstd", or: []string{"lz4"}},
	}
}

func deleted(retentionMillis, bytesMax int64) []Config {
	return append([]Config{
		{Name: "cleanup.policy", Value: "delete"},
		{Name: "retention.ms", Value: strconv.FormatInt(retentionMillis, 10), rule: atLeast},
		// A bound in bytes would drop records that a replay still needs, after hours of a feed instead of days.
		{Name: "retention.bytes", Value: "-1"},
	}, common(bytesMax)...)
}

func compacted(bytesMax int64) []Config {
	return append([]Config{
		{Name: "cleanup.policy", Value: "compact"},
		// How long a storefront cache may be away and still learn that a key is gone.
		{Name: "delete.retention.ms", Value: strconv.FormatInt(7*day, 10), rule: atLeast},
	}, common(bytesMax)...)
}

// ProducerOpts are the client options that the contract asks of every producer to these topics: records say their
// partition, all in-sync replicas acknowledge, zstd or else lz4, and no batch larger than its topic takes.
func (n Names) ProducerOpts() []kgo.Opt {
	batchBytesMax := map[string]int32{}
	for _, t := range n.Table() {
		bytesMax, err := strconv.ParseInt(t.Config("max.message.bytes"), 10, 32)
		if err == nil {
			batchBytesMax[t.Name] = int32(bytesMax)
		}
	}
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1), kgo.Lz4Compression()), // the fastest zstd: half the time for a few percent more bytes
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			if bytesMax := batchBytesMax[topic]; bytesMax > 0 {
				return bytesMax
			}
			return 1_000_012 // the client's default, for topics of others
		}),
	}
}

// Validate checks the relations between the partition counts of the topics, by name: equal for all that are
// co-partitioned, 1 for the others. A topic that is missing in counts is passed over. It returns every broken relation.
func (n Names) Validate(counts map[string]int32) error {
	var errs []error
	first := Topic{}
	for _, t := range n.Table() {
		count, ok := counts[t.Name]
		switch {
		case !ok:
		case !t.CoPartitioned() && count != 1:
			errs = append(errs, fmt.Errorf("%s has %d partitions; a broadcast topic has 1", t.Name, count))
		case !t.CoPartitioned():
		case first.Name == "":
			first = t
		case count != counts[first.Name]:
			errs = append(errs, fmt.Errorf("%s has %d partitions and %s has %d; inputs and outputs are co-partitioned", t.Name, count, first.Name, counts[first.Name]))
		}
	}
	return errors.Join(errs...)
}
