package topics

import (
	"strings"
	"testing"
)

func TestNamespaceGivesLegalTopicNames(t *testing.T) {
	for _, good := range []string{"onhand", "a", "acme.eu-1_x", strings.Repeat("n", 228)} {
		names, err := NamesOf(good)
		if err != nil {
			t.Errorf("%q: %v", good, err)
		}
		for _, name := range names.All() {
			if len(name) > 249 || !strings.HasPrefix(name, good+".") {
				t.Errorf("%q gives the topic %q of %d characters", good, name, len(name))
			}
		}
	}
	for _, bad := range []string{"", ".", "..", ".acme", "acme.", "-acme", "acme_", "ac me", "acme/eu", "äcme", "a\nb", strings.Repeat("n", 229)} {
		if names, err := NamesOf(bad); err == nil || names != (Names{}) {
			t.Errorf("%q gives %+v, %v", bad, names, err)
		}
	}
}

func TestTableHasEachNameOnceInTheOrderOfAll(t *testing.T) {
	names := mustNames(t, "acme")
	table := names.Table()
	if len(table) != len(names.All()) {
		t.Fatalf("%d topics in the table, %d names", len(table), len(names.All()))
	}
	for i, name := range names.All() {
		if table[i].Name != name {
			t.Errorf("topic %d is %s, name %d is %s", i, table[i].Name, i, name)
		}
	}
	if names.ConsumerGroup() != "acme.processor" {
		t.Errorf("consumer group %s", names.ConsumerGroup())
	}
}

// The contract that other programs rely on, line by line.
func TestTableIsTheContract(t *testing.T) {
	var got []string
	for _, topic := range mustNames(t, "onhand").Table() {
		partitions := int32(1)
		if topic.CoPartitioned() {
			partitions = DefaultPartitions
		}
		got = append(got, topic.Name+" ("+topic.Role.String()+", keyed by "+topic.Key+"): "+topic.summary(partitions, 0))
	}
	const same = "message.timestamp.type=CreateTime, compression.type=zstd"
	const week = "64 partitions, cleanup.policy=delete, retention.ms=604800000, retention.bytes=-1, max.message.bytes=2097152, " + same
	want := []string{
		"onhand.stock-deltas (input, keyed by the SKU's UTF-8 bytes): " + week,
		"onhand.reservation-events (input, keyed by the SKU's UTF-8 bytes): " + week,
		"onhand.location-graph (broadcast, keyed by graph): 1 partition, cleanup.policy=compact, delete.retention.ms=604800000, max.message.bytes=2097152, " + same + ", min.compaction.lag.ms=604800000",
		"onhand.availability-updates (output, keyed by place/SKU): 64 partitions, cleanup.policy=compact, delete.retention.ms=604800000, max.message.bytes=16777216, " + same,
		"onhand.reservation-results (result, keyed by the SKU's UTF-8 bytes): " + week,
		"onhand.dead-letters (dead letter, keyed by the key of the source record): 64 partitions, cleanup.policy=delete, retention.ms=1209600000, retention.bytes=-1, " +
			"max.message.bytes=16777216, " + same + ", message.timestamp.after.max.ms=9223372036854775807, message.timestamp.before.max.ms=9223372036854775807",
	}
	if diff := lineDiff(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestConfigSuits(t *testing.T) {
	least := Config{Value: "100", rule: atLeast}
	unbound := Config{Value: "-1", rule: atLeast}
	codec := Config{Value: "zstd", or: []string{"lz4"}}
	for _, c := range []struct {
		config Config
		value  string
		want   bool
	}{
		{least, "100", true}, {least, "101", true}, {least, "99", false}, {least, "-1", true}, {least, "-2", false}, {least, "", false}, {least, "x", false},
		{unbound, "-1", true}, {unbound, "100", false},
		{codec, "zstd", true}, {codec, "lz4", true}, {codec, "producer", false}, {codec, "", false},
	} {
		if got := c.config.suits(c.value); got != c.want {
			t.Errorf("want %s: %q suits: %v", c.config.want(), c.value, got)
		}
	}
}

func TestValidateReportsEveryBrokenRelation(t *testing.T) {
	names := mustNames(t, "acme")
	good := map[string]int32{}
	for _, topic := range names.Table() {
		good[topic.Name] = 8
	}
	good[names.LocationGraph] = 1
	if err := names.Validate(good); err != nil {
		t.Errorf("co-partitioned topics: %v", err)
	}
	delete(good, names.StockDeltas)
	if err := names.Validate(good); err != nil {
		t.Errorf("with a topic missing: %v", err)
	}
	good[names.LocationGraph] = 2
	good[names.DeadLetters] = 9
	err := names.Validate(good)
	for _, want := range []string{"acme.location-graph has 2 partitions; a broadcast topic has 1", "acme.dead-letters has 9 partitions and acme.reservation-events has 8"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
