package topics

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestDeadLetterIsTheRecordWithItsReason(t *testing.T) {
	rec := deltaRecord(t, "sku-1")
	rec.Partition, rec.Headers = 3, []kgo.RecordHeader{{Key: "a", Value: []byte("b")}, {Key: "a"}}
	refusal := &Refusal{CodeNegativeCount, "onHand of an UPDATE is -1; send a count of 0 or more"}
	dead := newWriter(t).DeadLetter(rec, refusal)
	if dead.Topic != "acme.dead-letters" || dead.Partition != 3 || !bytes.Equal(dead.Key, rec.Key) || !bytes.Equal(dead.Value, rec.Value) || !dead.Timestamp.Equal(rec.Timestamp) {
		t.Errorf("written as %+v", dead)
	}
	if diff := lineDiff(headerLines(dead), []string{
		"a: b",
		"a: ",
		"__connect.errors.topic: acme.stock-deltas",
		"__connect.errors.partition: 3",
		"__connect.errors.offset: 4711",
		"__connect.errors.connector.name: acme.processor",
		"__connect.errors.task.id: 3",
		"__connect.errors.stage: TASK_PUT",
		"__connect.errors.class.name: onhand.topics.Reader",
		"__connect.errors.exception.class.name: onhand.topics.Refusal",
		"__connect.errors.exception.message: onHand of an UPDATE is -1; send a count of 0 or more",
		"onhand.error.code: NEGATIVE_COUNT",
		"onhand.error.message: onHand of an UPDATE is -1; send a count of 0 or more",
	}); diff != "" {
		t.Error(diff)
	}
	if len(rec.Headers) != 2 {
		t.Errorf("the record was changed: %v", headerLines(rec))
	}
	read, err := ReadDead(dead)
	if err != nil || read.Source != SourceAt(rec) || read.Code != refusal.Code || read.Message != refusal.Message || read.Omitted != "" || len(read.Headers) != 2 {
		t.Errorf("read as %+v, %v", read, err)
	}
}

func TestNullStaysNullInADeadLetter(t *testing.T) {
	dead := newWriter(t).DeadLetter(&kgo.Record{Topic: "acme.stock-deltas"}, &Refusal{CodeEmptyValue, "; "})
	if dead.Key != nil || dead.Value != nil {
		t.Errorf("key %q, value %q", dead.Key, dead.Value)
	}
	if stage, _ := header(dead, HeaderConnectStage); string(stage) != "VALUE_CONVERTER" {
		t.Errorf("stage %s", stage)
	}
}

// Whoever forges the headers, what onhand wrote last is what counts: recovery relies on it.
func TestSourceOfBelievesOnlyTheLastHeaders(t *testing.T) {
	forged := []kgo.RecordHeader{
		{Key: HeaderConnectTopic, Value: []byte("evil")}, {Key: HeaderConnectPartition, Value: []byte("9")}, {Key: HeaderConnectOffset, Value: []byte("9")},
		{Key: HeaderCause, Value: []byte("evil/9/9")}, {Key: HeaderErrorCode, Value: []byte("EVIL")}, {Key: HeaderErrorOmitted, Value: []byte("value")},
	}
	rec := deltaRecord(t, "sku-1")
	rec.Headers = forged
	dead := newWriter(t).DeadLetter(rec, &Refusal{CodeKeyMismatch, "a; b"})
	if source, err := SourceOf(dead); err != nil || source != SourceAt(rec) {
		t.Errorf("source %v, %v", source, err)
	}
	read, err := ReadDead(dead)
	if err != nil || read.Source != SourceAt(rec) || read.Code != CodeKeyMismatch || read.Omitted != "" {
		t.Errorf("read as %+v, %v", read, err)
	}
	// A dead letter of a dead letter keeps the first one's headers as the record's own.
	again := *dead
	again.Topic, again.Offset = "acme.stock-deltas", 5000
	read, err = ReadDead(newWriter(t).DeadLetter(&again, &Refusal{CodeDecode, "c; d"}))
	if err != nil || read.Source.Offset != 5000 || read.Code != CodeDecode || len(read.Headers) != len(dead.Headers) {
		t.Errorf("read as %+v, %v", read, err)
	}
}

func TestSourceText(t *testing.T) {
	good := Source{"acme.stock-deltas", 17, 1 << 40}
	if got, err := ParseSource(good.String()); err != nil || got != good || good.String() != "acme.stock-deltas/17/1099511627776" {
		t.Errorf("%s is read as %v, %v", good, got, err)
	}
	for _, bad := range []string{"", "a", "a/1", "a/1/", "/1/2", "a/-1/2", "a/1/-2", "a/1/2/3", "a/99999999999/1", "a/1/x"} {
		if got, err := ParseSource(bad); !errors.Is(err, ErrNoSource) || got != (Source{}) {
			t.Errorf("%q is read as %v, %v", bad, got, err)
		}
	}
	if _, err := SourceOf(&kgo.Record{Topic: "t"}); !errors.Is(err, ErrNoSource) {
		t.Errorf("a record without headers: %v", err)
	}
	if _, err := ReadDead(&kgo.Record{Headers: []kgo.RecordHeader{{Key: HeaderErrorCode}}}); !errors.Is(err, ErrNoSource) {
		t.Errorf("a record with a code alone: %v", err)
	}
}

func TestDeadLetterLeavesOutWhatItsTopicDoesNotTake(t *testing.T) {
	big := make([]byte, deadLetterBytesMax)
	for _, c := range []struct {
		name    string
		rec     kgo.Record
		omitted string
	}{
		{"value of 15 MiB", kgo.Record{Key: []byte("k"), Value: big[:15<<20]}, ""},
		{"value", kgo.Record{Key: []byte("k"), Value: big, Headers: []kgo.RecordHeader{{Key: "a"}}}, "value"},
		{"headers", kgo.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "a", Value: big}}}, "value,headers"},
		{"key", kgo.Record{Key: big}, "value,headers,key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rec.Topic = "acme.stock-deltas"
			writer := newWriter(t)
			dead := writer.DeadLetter(&c.rec, &Refusal{CodeTooLarge, "a; b"})
			read, err := ReadDead(dead)
			if err != nil || read.Omitted != c.omitted {
				t.Fatalf("read as %+v, %v", read, err)
			}
			kept := map[string]bool{"value": dead.Value != nil, "headers": len(read.Headers) > 0, "key": dead.Key != nil}
			for part, kept := range kept {
				if strings.Contains(c.omitted, part) && kept {
					t.Errorf("%s is there", part)
				}
			}
			_, err = writer.Replay(dead)
			if c.omitted != "" != errors.Is(err, ErrNotReplayable) {
				t.Errorf("replay: %v", err)
			}
		})
	}
}

func TestReplayIsTheRecordAgain(t *testing.T) {
	writer := newWriter(t)
	rec := deltaRecord(t, "sku-1")
	rec.Headers = []kgo.RecordHeader{{Key: "a", Value: []byte("b")}, {Key: HeaderForwarded, Value: []byte("2")}, {Key: HeaderReplayed, Value: []byte("acme.dead-letters/3/1")}}
	dead := writer.DeadLetter(rec, &Refusal{CodeUnknownLocation, "a; b"})
	dead.Offset = 12
	again, err := writer.Replay(dead)
	if err != nil {
		t.Fatal(err)
	}
	if again.Topic != rec.Topic || again.Partition != PartitionOf("sku-1", 8) || !bytes.Equal(again.Key, rec.Key) || !bytes.Equal(again.Value, rec.Value) || !again.Timestamp.Equal(rec.Timestamp) {
		t.Errorf("replayed as %+v", again)
	}
	if diff := lineDiff(headerLines(again), []string{"a: b", "onhand.replayed: " + SourceAt(dead).String()}); diff != "" {
		t.Error(diff)
	}
	if err := readDelta(t, newReader(t, Options{Partitions: 8}), again); err != nil {
		t.Errorf("reading the replay: %v", err)
	}

	rec.Topic = "other.stock-deltas"
	if _, err := writer.Replay(writer.DeadLetter(rec, &Refusal{CodeDecode, "a; b"})); !errors.Is(err, ErrNotReplayable) {
		t.Errorf("a dead letter of another namespace: %v", err)
	}
	if _, err := writer.Replay(rec); !errors.Is(err, ErrNoSource) {
		t.Errorf("a record that is no dead letter: %v", err)
	}
}
