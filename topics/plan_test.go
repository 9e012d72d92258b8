package topics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// onClusters runs a story on a broker in the process and, where ONHAND_TEST_BROKERS names one, on a real Kafka: each in a
// namespace of its own.
func onClusters(t *testing.T, story func(*testing.T, *cluster)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		story(t, newCluster(t, fake.ListenAddrs()))
	})
	brokers := os.Getenv("ONHAND_TEST_BROKERS")
	if brokers == "" {
		return
	}
	t.Run("kafka", func(t *testing.T) {
		if dir := os.Getenv("ONHAND_TEST_USED"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "kafka"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		story(t, newCluster(t, strings.Split(brokers, ",")))
	})
}

// cluster is a Kafka and a namespace in it that nobody else uses.
type cluster struct {
	client *kgo.Client
	admin  *kadm.Client
	names  Names
	seeds  []string
}

func newCluster(t *testing.T, seeds []string) *cluster {
	t.Helper()
	names := mustNames(t, fmt.Sprintf("topics-test-%d", time.Now().UnixNano()))
	client := newClient(t, seeds, names.ProducerOpts()...)
	c := &cluster{client, kadm.NewClient(client), names, seeds}
	t.Cleanup(func() {
		if _, err := c.admin.DeleteTopics(context.WithoutCancel(t.Context()), names.All()...); err != nil {
			t.Errorf("deleting topics: %v", err)
		}
	})
	return c
}

func newClient(t *testing.T, seeds []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(250*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (c *cluster) settings(partitions int32) Settings {
	return Settings{Namespace: c.names.Namespace, Partitions: partitions, ReplicationFactor: 1}
}

func (c *cluster) plan(t *testing.T, s Settings) (problems []string) {
	t.Helper()
	differences, err := Plan(t.Context(), c.admin, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if d.Problem() {
			problems = append(problems, strings.ReplaceAll(d.String(), c.names.Namespace+".", ""))
		}
	}
	return problems
}

func (c *cluster) create(t *testing.T, partitions int32, configs map[string]*string, topics ...string) {
	t.Helper()
	responses, err := c.admin.CreateTopics(t.Context(), partitions, 1, configs, topics...)
	if err == nil {
		err = responses.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	for { // brokers learn of it a moment later, or the test's context ends
		have, err := describe(t.Context(), c.admin, c.names)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, topic := range topics {
			if len(have.settings[topic]) > 0 {
				seen++
			}
		}
		if seen == len(topics) {
			return
		}
	}
}

func TestApplyMakesTheTopicsThatVerifyWants(t *testing.T) {
	onClusters(t, func(t *testing.T, c *cluster) {
		if got := c.plan(t, c.settings(4)); len(got) != 6 || !strings.HasPrefix(got[0], "stock-deltas is missing, want 4 partitions, replication.factor=1, cleanup.policy=delete") {
			t.Fatalf("plan of an empty cluster: %q", got)
		}
		if err := Verify(t.Context(), c.admin, c.settings(4)); err == nil || strings.Count(err.Error(), "; run onhand topics apply") != 6 {
			t.Errorf("verify of an empty cluster: %v", err)
		}
		if _, err := Partitions(t.Context(), c.admin, c.names); err == nil || strings.Count(err.Error(), "is missing; run onhand topics apply") != 6 {
			t.Errorf("partitions of an empty cluster: %v", err)
		}
		done, err := Apply(t.Context(), c.admin, c.settings(4))
		if err != nil {
			t.Fatal(err)
		}
		missing := 0
		for _, d := range done {
			if d.Kind == KindMissing {
				missing++
			}
		}
		if missing != 6 {
			t.Errorf("apply did %v", done)
		}
		for _, s := range []Settings{c.settings(4), {Namespace: c.names.Namespace}} {
			if err := Verify(t.Context(), c.admin, s); err != nil {
				t.Errorf("verify of %+v after apply: %v", s, err)
			}
		}
		if n, err := Partitions(t.Context(), c.admin, c.names); n != 4 || err != nil {
			t.Errorf("partitions after apply: %d, %v", n, err)
		}
		if done, err := Apply(t.Context(), c.admin, c.settings(4)); len(done) != 0 || err != nil {
			t.Errorf("applied again: %v, %v", done, err)
		}
		have, err := describe(t.Context(), c.admin, c.names)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range c.names.Table() {
			for _, config := range topic.Configs {
				if value, known := have.settings[topic.Name][config.Name]; (known || !config.late) && value != config.Value {
					t.Errorf("%s has %s=%s, want %s", topic.Name, config.Name, value, config.Value)
				}
			}
		}
	})
}

func TestApplySetsWhatIsWrongAndLeavesWhatWillDo(t *testing.T) {
	onClusters(t, func(t *testing.T, c *cluster) {
		text := func(s string) *string { return &s }
		c.create(t, 2, map[string]*string{
			"cleanup.policy": text("compact"), "retention.ms": text("3600000"), "retention.bytes": text("1000000000"), "max.message.bytes": text("1000000"),
			"message.timestamp.type": text("LogAppendTime"), "compression.type": text("gzip"),
		}, c.names.StockDeltas)
		c.create(t, 2, map[string]*string{
			"retention.ms": text("-1"), "max.message.bytes": text("99999999"), "compression.type": text("lz4"),
		}, c.names.ReservationEvents)
		got := c.plan(t, c.settings(2))
		if diff := lineDiff(got[:min(7, len(got))], []string{
			"stock-deltas has cleanup.policy=compact, want delete",
			"stock-deltas has retention.ms=3600000, want at least 604800000",
			"stock-deltas has retention.bytes=1000000000, want -1",
			"stock-deltas has max.message.bytes=1000000, want at least 2097152",
			"stock-deltas has message.timestamp.type=LogAppendTime, want CreateTime",
			"stock-deltas has compression.type=gzip, want zstd or lz4",
			"location-graph is missing, want 1 partition, replication.factor=1, cleanup.policy=compact, delete.retention.ms=604800000, max.message.bytes=2097152, message.timestamp.type=CreateTime, compression.type=zstd, min.compaction.lag.ms=604800000",
		}); diff != "" {
			t.Error(diff)
		}
		if _, err := Apply(t.Context(), c.admin, c.settings(2)); err != nil {
			t.Fatal(err)
		}
		if got := c.plan(t, c.settings(2)); len(got) != 0 {
			t.Errorf("after apply: %q", got)
		}
		have, err := describe(t.Context(), c.admin, c.names)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"retention.ms": "-1", "max.message.bytes": "99999999", "compression.type": "lz4"} {
			if got := have.settings[c.names.ReservationEvents][name]; got != want {
				t.Errorf("%s became %s, and %s would do", name, got, want)
			}
		}
	})
}

func TestWrongPartitionCountIsForTheOperator(t *testing.T) {
	onClusters(t, func(t *testing.T, c *cluster) {
		c.create(t, 3, nil, c.names.StockDeltas, c.names.LocationGraph)
		const wayOut = "; keys would change their partition, and state belongs to one: ask for the count the topics have, delete them where they are empty, " +
			"or apply another namespace and publish the feeds there"
		done, err := Apply(t.Context(), c.admin, c.settings(4))
		for _, want := range []string{
			"stock-deltas has 3 partitions, want 4" + wayOut,
			"location-graph has 3 partitions, want 1; delete the topic, apply, and publish the location graph again",
			"reservation-events is missing",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("apply: %v lacks %q", err, want)
			}
		}
		for _, d := range done {
			if d.Kind != KindSetting {
				t.Errorf("apply did %s", d)
			}
		}
		details, err := list(t.Context(), c.admin, c.names)
		if err != nil {
			t.Fatal(err)
		}
		if details.Has(c.names.ReservationEvents) || len(details[c.names.StockDeltas].Partitions) != 3 {
			t.Error("apply created topics or added partitions beside a wrong count")
		}
		// Left to what exists, only the graph is wrong.
		problems := strings.Join(c.plan(t, Settings{Namespace: c.names.Namespace}), "\n")
		if strings.Contains(problems, "stock-deltas has 3 partitions") || !strings.Contains(problems, "reservation-events is missing, want 3 partitions") {
			t.Errorf("plan with the count that exists: %s", problems)
		}
		if _, err := Partitions(t.Context(), c.admin, c.names); err == nil || !strings.Contains(err.Error(), "location-graph has 3 partitions; a broadcast topic has 1") {
			t.Errorf("partitions: %v", err)
		}
	})
}

func TestReplicasAreNotedAndAskedFor(t *testing.T) {
	onClusters(t, func(t *testing.T, c *cluster) {
		if _, err := Apply(t.Context(), c.admin, c.settings(1)); err != nil {
			t.Fatal(err)
		}
		differences, err := Plan(t.Context(), c.admin, c.settings(1))
		if err != nil || len(differences) != 6 {
			t.Fatalf("%v, %v", differences, err)
		}
		if got, want := differences[0].String(), c.names.StockDeltas+" has replication.factor=1; with its broker the topic is lost"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		more := c.settings(1)
		more.ReplicationFactor = 3
		if got := c.plan(t, more); len(got) != 6 || got[0] != "stock-deltas has 1 replicas of each partition, want 3; reassign its partitions to more brokers with kafka-reassign-partitions" {
			t.Errorf("three replicas: %q", got)
		}
	})
}

func TestDifferenceIsOneLineOfJSON(t *testing.T) {
	for _, c := range []struct {
		difference Difference
		want       string
	}{
		{Difference{Topic: "a.b", Kind: KindSetting, Setting: "retention.ms", Have: "1", Want: "at least 2", Fixable: true, set: "2"},
			`{"topic":"a.b","kind":"setting","setting":"retention.ms","have":"1","want":"at least 2","fixable":true}`},
		{Difference{Topic: "a.b", Kind: KindPartitions, Have: "1", Want: "2", Hint: "do"},
			`{"topic":"a.b","kind":"partitions","have":"1","want":"2","fixable":false,"hint":"do"}`},
	} {
		got, err := json.Marshal(c.difference)
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, %v\nwant %s", got, err, c.want)
		}
		if line := c.difference.String(); strings.ContainsAny(line, "\n\r") || !strings.HasPrefix(line, "a.b has ") {
			t.Errorf("line %q", line)
		}
	}
}

func TestSettingsSayAllThatIsWrong(t *testing.T) {
	_, err := Plan(t.Context(), nil, Settings{Namespace: "a b", Partitions: -1, ReplicationFactor: -1})
	for _, want := range []string{"namespace", "partitions -1", "replication factor -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// Answers of a broker that refuses must name the topic and a way out.
func TestApplySaysWhyABrokerRefuses(t *testing.T) {
	for _, c := range []struct {
		code *kerr.Error
		want string
	}{
		{kerr.TopicAuthorizationFailed, "; grant this user Create and AlterConfigs on the namespace's topics, or let an administrator apply"},
		{kerr.ClusterAuthorizationFailed, "; grant this user"},
		{kerr.InvalidReplicationFactor, "; ask for at most as many replicas as there are brokers"},
		{kerr.InvalidTopicException, "; a topic whose name differs only in . and _ may exist: choose another namespace"},
		{kerr.PolicyViolation, "the broker's words"},
	} {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		fake.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
			request, ok := r.(*kmsg.CreateTopicsRequest)
			if !ok {
				return nil, nil, false
			}
			response := request.ResponseKind().(*kmsg.CreateTopicsResponse)
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode, topic.ErrorMessage = request.Topics[0].Topic, c.code.Code, kmsg.StringPtr("the broker's words")
			response.Topics = append(response.Topics, topic)
			return response, nil, true
		})
		cluster := newCluster(t, fake.ListenAddrs())
		done, err := Apply(t.Context(), cluster.admin, cluster.settings(1))
		if !errors.Is(err, c.code) || !strings.Contains(err.Error(), "creating "+cluster.names.StockDeltas) || !strings.Contains(err.Error(), c.want) || len(done) != 0 {
			t.Errorf("%s: did %v, %v", c.code.Message, done, err)
		}
	}
}

// A broker that has not heard yet of a topic that another has just made is asked again.
func TestApplyWaitsForBrokersThatLag(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	lags := 0
	fake.ControlKey(int16(kmsg.DescribeConfigs), func(r kmsg.Request) (kmsg.Response, error, bool) {
		request, ok := r.(*kmsg.DescribeConfigsRequest)
		if lags++; !ok || lags > 2 {
			return nil, nil, false
		}
		fake.KeepControl()
		response := request.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, asked := range request.Resources {
			resource := kmsg.NewDescribeConfigsResponseResource()
			resource.ResourceType, resource.ResourceName, resource.ErrorCode = asked.ResourceType, asked.ResourceName, kerr.UnknownTopicOrPartition.Code
			response.Resources = append(response.Resources, resource)
		}
		return response, nil, true
	})
	cluster := newCluster(t, fake.ListenAddrs())
	if _, err := Apply(t.Context(), cluster.admin, cluster.settings(1)); err != nil || lags < 3 {
		t.Errorf("asked %d times: %v", lags, err)
	}
	if err := Verify(t.Context(), cluster.admin, cluster.settings(1)); err != nil {
		t.Error(err)
	}
}

// What a producer with these options sends must be taken: the largest values, the largest dead letter, and one whose time
// its source took and a topic with Kafka's defaults would not.
func TestTopicsTakeTheLargestRecords(t *testing.T) {
	onClusters(t, func(t *testing.T, c *cluster) {
		if _, err := Apply(t.Context(), c.admin, c.settings(2)); err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, deadLetterBytesMax)
		random := newRandom(t)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		writer := NewWriter(c.names, testIDs, 2)
		input := &kgo.Record{
			Topic: c.names.StockDeltas, Partition: 1, Timestamp: time.Now().Truncate(time.Millisecond), Key: []byte("k"), Value: noise[:1<<20],
			Headers: []kgo.RecordHeader{{Key: "h", Value: noise[:envelopeBytesMax-2]}},
		}
		source := *input
		source.Value, source.Headers, source.Timestamp = noise[:15<<20], nil, input.Timestamp.AddDate(3, 0, 0)
		dead := writer.DeadLetter(&source, &Refusal{CodeTooLarge, "a; b"})
		for _, rec := range []*kgo.Record{Forward(input, 1), dead} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			if err := c.client.ProduceSync(ctx, rec).FirstErr(); err != nil {
				t.Errorf("%d bytes to %s: %v", len(rec.Value), rec.Topic, err)
			}
			cancel()
			if rec.Partition != 1 {
				t.Errorf("%s: partition %d was chosen", rec.Topic, rec.Partition)
			}
		}
	})
}
