package processor_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"onhand/topics"
)

const (
	sourceTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	sourceParent = "00-" + sourceTrace + "-00f067aa0ba902b7-01"
)

// traced sends a delta that carries a trace context, and returns the traceparent of the update of its location.
func traced(w *world) string {
	w.Helper()
	w.publish(graphOf(3, overlap()))
	w.start("a")
	r := w.count("c", "SKU-1", "L00", 5)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: topics.HeaderTraceParent, Value: []byte(sourceParent)})
	w.send(r)
	w.settled()
	for _, u := range w.read(w.names.AvailabilityUpdates) {
		if string(u.Key) == "L00/SKU-1" {
			return string(topics.TraceOf(u).Parent)
		}
	}
	w.Fatal("no update")
	return ""
}

// TestTraceLeadsFromSourceToStorefront: one trace id leads from the record of the source to the update, and the span in
// between links to the batch, whose span links to the record.
func TestTraceLeadsFromSourceToStorefront(t *testing.T) {
	w := newWorld(t, 1)
	spans := tracetest.NewInMemoryExporter()
	w.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	parent := traced(w)
	if !strings.HasPrefix(parent, "00-"+sourceTrace+"-") || parent == sourceParent {
		t.Fatalf("traceparent %s of the update is not a new span of trace %s", parent, sourceTrace)
	}
	byID, names := make(map[string]tracetest.SpanStub), make(map[string]bool)
	for _, s := range spans.GetSpans() {
		byID[s.SpanContext.SpanID().String()], names[s.Name] = s, true
	}
	for _, name := range []string{"claim", "poll", "load", "process", "publish", "commit"} {
		if !names[name] {
			t.Errorf("no span %q", name)
		}
	}
	update := byID[strings.Split(parent, "-")[2]]
	if len(update.Links) != 1 {
		t.Fatalf("span of the update has %d links", len(update.Links))
	}
	batch := byID[update.Links[0].SpanContext.SpanID().String()]
	if batch.Name != "process" || len(batch.Links) != 1 || batch.Links[0].SpanContext.TraceID().String() != sourceTrace {
		t.Fatalf("batch %q with links %v does not link to the source", batch.Name, batch.Links)
	}
}

// TestTraceIsCarriedWhereTracingIsOff: the update has the context of its cause as it came.
func TestTraceIsCarriedWhereTracingIsOff(t *testing.T) {
	if parent := traced(newWorld(t, 1)); parent != sourceParent {
		t.Fatalf("traceparent %s, want %s", parent, sourceParent)
	}
}
