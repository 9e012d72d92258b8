package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// flushTimeout bounds the last export at the end of a process.
const flushTimeout = 5 * time.Second

// telemetry is where spans and metrics go. Metrics always stand in the registry, for /metrics; what else leaves the
// process the standard OTEL_… variables say, and without them nothing does.
type telemetry struct {
	traces     trace.TracerProvider
	metrics    *metric.MeterProvider
	propagator propagation.TextMapPropagator
	registry   *prometheus.Registry
	shutdowns  []func(context.Context) error
}

// newTelemetry reads the OTEL_… variables of the process. The caller ends it with shutdown.
func newTelemetry(ctx context.Context, instance string, log *slog.Logger) (*telemetry, error) {
	// The libraries report what they cannot return to nobody else.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("exporting telemetry", "err", err) }))
	t := &telemetry{traces: noop.NewTracerProvider(), propagator: autoprop.NewTextMapPropagator(), registry: prometheus.NewRegistry()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "onhand"), attribute.String("service.version", buildVersion()), attribute.String("service.instance.id", instance)),
		resource.WithFromEnv()) // last, so that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word
	if err != nil {
		return nil, fmt.Errorf("describing this process for telemetry: %w", err)
	}
	scraped, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("making the Prometheus exporter: %w", err)
	}
	options := []metric.Option{metric.WithResource(described), metric.WithReader(scraped)}
	if exports("METRICS") {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, hinted(fmt.Errorf("making the metric exporter: %w", err), "correct OTEL_METRICS_EXPORTER")
		}
		options = append(options, metric.WithReader(reader))
	}
	t.metrics = metric.NewMeterProvider(options...)
	t.shutdowns = append(t.shutdowns, t.metrics.Shutdown)
	if exports("TRACES") {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, errors.Join(hinted(fmt.Errorf("making the span exporter: %w", err), "correct OTEL_TRACES_EXPORTER"), t.shutdown(ctx))
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithResource(described), sdktrace.WithBatcher(exporter))
		t.traces = provider
		t.shutdowns = append(t.shutdowns, provider.Shutdown)
	}
	return t, nil
}

// exports says whether the variables ask for an exporter of the signal, METRICS or TRACES. Without any of them the
// libraries would look for a collector on this machine.
func exports(signal string) bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	switch os.Getenv("OTEL_" + signal + "_EXPORTER") {
	case "none", "prometheus": // /metrics is there already
		return false
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	}
	return true
}

// shutdown exports what is left, within flushTimeout.
func (t *telemetry) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	var errs []error
	for _, shutdown := range t.shutdowns {
		errs = append(errs, shutdown(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ending telemetry: %w", err)
	}
	return nil
}
