package topics

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNotReplayable says that a dead letter does not hold the record it stands for. Its source may, see SourceOf.
var ErrNotReplayable = errors.New("dead letter cannot be replayed")

// deadLetterHeaders is the first header that DeadLetter adds, so that what stands before is the record's own.
const deadLetterHeaders = HeaderConnectTopic

// DeadLetter returns the record as it goes to dead-letters, on the same partition number: key, value, timestamp and
// headers as they were, and behind them where it stood and why. It shares their memory. What even that topic does not
// take is left out and named in HeaderErrorOmitted.
func (w *Writer) DeadLetter(rec *kgo.Record, refusal *Refusal) *kgo.Record {
	return w.deadLetter(rec, refusal, "")
}

// DeadBatch is DeadLetter for a record of which nothing was read but where it stands.
func (w *Writer) DeadBatch(rec *kgo.Record, refusal *Refusal) *kgo.Record {
	return w.deadLetter(rec, refusal, "value,headers,key")
}

func (w *Writer) deadLetter(rec *kgo.Record, refusal *Refusal, unread string) *kgo.Record {
	dead := &kgo.Record{Topic: w.names.DeadLetters, Partition: rec.Partition, Timestamp: rec.Timestamp, Key: rec.Key, Value: rec.Value}
	text := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	added := []kgo.RecordHeader{
		text(deadLetterHeaders, rec.Topic),
		text(HeaderConnectPartition, strconv.Itoa(int(rec.Partition))),
		text(HeaderConnectOffset, strconv.FormatInt(rec.Offset, 10)),
		{Key: HeaderConnectConnectorName, Value: w.connector},
		text(HeaderConnectTaskID, strconv.Itoa(int(rec.Partition))),
		text(HeaderConnectStage, refusal.Code.stage()),
		text(HeaderConnectClassName, "onhand.topics.Reader"),
		text(HeaderConnectExceptionClass, "onhand.topics.Refusal"),
		text(HeaderConnectExceptionMessage, refusal.Message),
		text(HeaderErrorCode, string(refusal.Code)),
		text(HeaderErrorMessage, refusal.Message),
	}
	headers, omitted := fit(dead, rec.Headers)
	if omitted = cmp.Or(unread, omitted); omitted != "" {
		added = append(added, text(HeaderErrorOmitted, omitted))
	}
	dead.Headers = slices.Concat(headers, added)
	return dead
}

// fit leaves out of a dead letter what would make it larger than its topic takes: the value, then the headers, then the
// key. A producer that compresses a thousandfold can fill an input with records that no batch takes uncompressed.
func fit(dead *kgo.Record, headers []kgo.RecordHeader) (kept []kgo.RecordHeader, omitted string) {
	const bytesMax = deadLetterBytesMax - 64<<10 // for the header of the batch and the headers added
	bytes := len(dead.Key) + len(dead.Value)
	for _, h := range headers {
		bytes += len(h.Key) + len(h.Value) + 10 // two lengths
	}
	if bytes <= bytesMax {
		return headers, ""
	}
	bytes -= len(dead.Value)
	dead.Value, omitted = nil, "value"
	if bytes > bytesMax {
		bytes, headers, omitted = len(dead.Key), nil, omitted+",headers"
	}
	if bytes > bytesMax {
		dead.Key, omitted = nil, omitted+",key"
	}
	return headers, omitted
}

// Dead is a record of dead-letters as read.
type Dead struct {
	Source  Source `json:"source"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Omitted string `json:"omitted,omitempty"` // parts that were too large to keep

	Headers []kgo.RecordHeader `json:"-"` // of the record itself
}

// ReadDead reads a record of dead-letters. It wraps ErrNoSource for a record that is none.
func ReadDead(rec *kgo.Record) (Dead, error) {
	at := -1
	for i, h := range rec.Headers {
		if h.Key == deadLetterHeaders {
			at = i // the last one is ours, also where a record had been a dead letter before
		}
	}
	ours := kgo.Record{Headers: rec.Headers[max(at, 0):]}
	code, ok := header(&ours, HeaderErrorCode)
	if at < 0 || !ok {
		return Dead{}, fmt.Errorf("%w: %s is no dead letter of onhand", ErrNoSource, SourceAt(rec))
	}
	source, err := SourceOf(rec)
	if err != nil {
		return Dead{}, err
	}
	message, _ := header(&ours, HeaderErrorMessage)
	omitted, _ := header(&ours, HeaderErrorOmitted)
	return Dead{Source: source, Code: Code(code), Message: string(message), Omitted: string(omitted), Headers: rec.Headers[:at:at]}, nil
}

// Replay returns the record that a dead letter holds, for another try: to its topic, on the partition of its key, with its
// own timestamp, for that is the clock, and with a header that names the dead letter. It wraps ErrNoSource or
// ErrNotReplayable.
func (w *Writer) Replay(rec *kgo.Record) (*kgo.Record, error) {
	dead, err := ReadDead(rec)
	if err != nil {
		return nil, err
	}
	if dead.Omitted != "" {
		return nil, fmt.Errorf("%w: it was too large to keep (%s left out); send its content again in smaller records", ErrNotReplayable, dead.Omitted)
	}
	if !slices.Contains([]string{w.names.StockDeltas, w.names.ReservationEvents}, dead.Source.Topic) {
		return nil, fmt.Errorf("%w: %s is no input of namespace %s", ErrNotReplayable, dead.Source.Topic, w.names.Namespace)
	}
	again := &kgo.Record{Topic: dead.Source.Topic, Partition: dead.Source.Partition, Timestamp: rec.Timestamp, Key: rec.Key, Value: rec.Value}
	if rec.Key != nil {
		again.Partition = PartitionOf(rec.Key, w.partitions)
	}
	for _, h := range dead.Headers {
		// It may be sent on once more, and names the newest replay alone.
		if h.Key != HeaderForwarded && h.Key != HeaderReplayed {
			again.Headers = append(again.Headers, h)
		}
	}
	again.Headers = append(again.Headers, kgo.RecordHeader{Key: HeaderReplayed, Value: SourceAt(rec).append(nil)})
	return again, nil
}
