package topics

import "github.com/twmb/franz-go/pkg/kgo"

// GraphKey is the key of every record of location-graph, so that compaction keeps the newest.
const GraphKey = "graph"

// Headers of ours. Every value is UTF-8 text.
const (
	// HeaderVersion is the version of a level, decimal. It stands in a header too, so that a tombstone has one.
	HeaderVersion = "onhand.version"
	// HeaderCause is topic/partition/offset of a record: on an update the newest input that changed the level, on a
	// result the reservation event that it answers.
	HeaderCause = "onhand.cause"
	// HeaderAfter stands on a result: the offset in stock-deltas, of the same partition, up to which the task had folded when
	// it decided, that offset excluded. The order in which a task met its two inputs stands there alone.
	HeaderAfter = "onhand.after"
	// HeaderForwarded is the number of the partition that a record was sent on from.
	HeaderForwarded = "onhand.forwarded"
	// HeaderInstruction is what a record of stock-deltas without a value tells the task to do, see Instruction.
	HeaderInstruction = "onhand.instruction"
	// HeaderReplayed is topic/partition/offset of the dead letter that a record was replayed from.
	HeaderReplayed = "onhand.replayed"
	// HeaderErrorCode is the Code of a dead letter.
	HeaderErrorCode = "onhand.error.code"
	// HeaderErrorMessage says what is wrong with a dead letter and what to do.
	HeaderErrorMessage = "onhand.error.message"
	// HeaderErrorOmitted names the parts of a dead letter that were too large to keep: "value", "value,headers" or
	// "value,headers,key". They stand where the source says, as long as the source topic keeps them.
	HeaderErrorOmitted = "onhand.error.omitted"
)

// Headers of a dead letter as Kafka Connect names them, for the tools that show these.
const (
	HeaderConnectTopic            = "__connect.errors.topic"
	HeaderConnectPartition        = "__connect.errors.partition"
	HeaderConnectOffset           = "__connect.errors.offset"
	HeaderConnectConnectorName    = "__connect.errors.connector.name" // the consumer group
	HeaderConnectTaskID           = "__connect.errors.task.id"        // the partition number
	HeaderConnectStage            = "__connect.errors.stage"
	HeaderConnectClassName        = "__connect.errors.class.name"
	HeaderConnectExceptionClass   = "__connect.errors.exception.class.name"
	HeaderConnectExceptionMessage = "__connect.errors.exception.message"
)

// Headers of the CloudEvents binding for Kafka in binary mode. Its optional subject and time are the record's key and
// timestamp.
const (
	HeaderCESpecVersion = "ce_specversion"
	HeaderCEID          = "ce_id" // namespace/place/SKU/version
	HeaderCESource      = "ce_source"
	HeaderCEType        = "ce_type"
	HeaderContentType   = "content-type"
)

// Headers of W3C Trace Context. An update has those of its cause.
const (
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// header returns the value of the last header of that name: a later one stands for an earlier one.
func header(rec *kgo.Record, name string) (value []byte, ok bool) {
	for i := len(rec.Headers) - 1; i >= 0; i-- {
		if rec.Headers[i].Key == name {
			return rec.Headers[i].Value, true
		}
	}
	return nil, false
}

// Trace is the trace context of a record. Nil: it has none.
type Trace struct {
	Parent, State []byte
}

// TraceOf returns the trace context in the headers of a record. It shares their memory.
func TraceOf(rec *kgo.Record) Trace {
	var t Trace
	t.Parent, _ = header(rec, HeaderTraceParent)
	if t.Parent != nil {
		t.State, _ = header(rec, HeaderTraceState)
	}
	return t
}
