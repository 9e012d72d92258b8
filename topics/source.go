package topics

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Source is where a record stands. The zero value is nowhere.
type Source struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// ErrNoSource says that a record does not carry where the record stands that it came from.
var ErrNoSource = errors.New("no source")

// SourceAt is where rec itself stands.
func SourceAt(rec *kgo.Record) Source { return Source{rec.Topic, rec.Partition, rec.Offset} }

// SourceOf is where the record stands that a dead letter holds or that a result answers. It wraps ErrNoSource for any
// other record.
func SourceOf(rec *kgo.Record) (Source, error) {
	// A dead letter may hold a record that has a cause, a result never one that failed.
	if topic, ok := header(rec, HeaderConnectTopic); ok {
		partition, _ := header(rec, HeaderConnectPartition)
		offset, _ := header(rec, HeaderConnectOffset)
		return sourceFrom(string(topic), string(partition), string(offset))
	}
	cause, ok := header(rec, HeaderCause)
	if !ok {
		return Source{}, fmt.Errorf("%w: %s has neither %s nor %s", ErrNoSource, SourceAt(rec), HeaderConnectTopic, HeaderCause)
	}
	return ParseSource(string(cause))
}

// String is topic/partition/offset.
func (s Source) String() string { return string(s.append(nil)) }

func (s Source) append(dst []byte) []byte {
	dst = append(append(dst, s.Topic...), '/')
	dst = append(strconv.AppendInt(dst, int64(s.Partition), 10), '/')
	return strconv.AppendInt(dst, s.Offset, 10)
}

// ParseSource reads what String printed. It wraps ErrNoSource otherwise.
func ParseSource(text string) (Source, error) {
	topic, rest, _ := strings.Cut(text, "/")
	partition, offset, _ := strings.Cut(rest, "/")
	return sourceFrom(topic, partition, offset)
}

func sourceFrom(topic, partition, offset string) (Source, error) {
	p, err := strconv.ParseInt(partition, 10, 32)
	o, errOffset := strconv.ParseInt(offset, 10, 64)
	if err != nil || errOffset != nil || topic == "" || p < 0 || o < 0 {
		return Source{}, fmt.Errorf("%w: %.300q is not topic/partition/offset", ErrNoSource, topic+"/"+partition+"/"+offset)
	}
	return Source{topic, int32(p), o}, nil
}
