package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

func newRunCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the processor",
		Long: `Run the processor until it is told to stop. Any number of processes share the tasks of a namespace; each needs a name of
its own that outlives restarts (--instance).

It refuses to start unless the topics, the schemas and Redis are as they must be, and says what to do. The first
SIGINT or SIGTERM ends it in order: batches under way are finished, tasks handed over. A second ends it at once.

--admin answers /metrics for Prometheus, /healthz and /readyz. Traces and further metrics go where the standard
OTEL_… variables say, such as OTEL_EXPORTER_OTLP_ENDPOINT; without them nowhere.`,
		Example: `  onhand run --brokers kafka-1:9092,kafka-2:9092 --redis redis+sentinel://s1:26379,s2:26379/main \
      --registry https://registry --instance onhand-0 --admin :9464`,
		Args: arguments(),
	}
	addRunFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		return a.runProcessor(cmd.Context(), c.Config)
	}
	return cmd
}

// runProcessor checks all that the processor needs, and runs it until ctx ends.
func (a *app) runProcessor(ctx context.Context, c *Config) (err error) {
	log := a.logger(c)
	instance, err := c.instance()
	if err != nil {
		return err
	}
	admin, err := listenAdmin(ctx, c.Admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.close(ctx)) }()
	telemetry, err := newTelemetry(ctx, instance, log)
	if err != nil {
		return err
	}
	defer func() {
		if ended := telemetry.shutdown(ctx); ended != nil {
			log.Warn("the last telemetry is lost", "err", ended)
		}
	}()
	if err := checkTopics(ctx, c, log); err != nil {
		return err
	}
	store, err := openRedis(ctx, c, func(err error) { log.Warn("waiting for Redis", "err", err) })
	if err != nil {
		return err
	}
	defer closeRead(store)
	kept := keptSchemas{store, log}
	registry, ids, err := checkSchemas(ctx, c, kept, log)
	if err != nil {
		return err
	}
	defer registry.Close()
	options, err := a.processorOptions(c, instance, log)
	if err != nil {
		return err
	}
	options.Store, options.IDs = store, ids
	options.Reader = topics.NewReader(kept.decoder(ctx, registry), topics.Options{RelaxedEffectiveDate: !c.RequireEffectiveDate})
	if options.Observer, err = processor.NewObserver(telemetry.traces, telemetry.metrics, telemetry.propagator); err != nil {
		return fmt.Errorf("making the instruments: %w", err)
	}
	p, err := processor.New(options)
	if err != nil {
		return err
	}
	admin.serve(telemetry.registry, log, p.Live, p.Ready)
	fmt.Fprintf(a.out, "metrics and health on %s\n", admin.url())
	collectRarely(c)
	log.Info("started", "namespace", c.Namespace, "instance", instance, "admin", admin.url(), "version", buildVersion())
	err = p.Run(ctx)
	log.Info("stopped", "instance", instance)
	return err
}

// collectRarely lets the heap grow to five times what lives before it is collected, up to twice the cache and 1 GiB, unless
// the runtime's own variables say otherwise: in a drain that spares a fifth of the processor's time.
func collectRarely(c *Config) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(2*c.CacheBytes + 1<<30)
	}
}

// checkTopics refuses to start against topics that are not what they must be.
func checkTopics(ctx context.Context, c *Config, log *slog.Logger) error {
	names, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return err
	}
	client, err := connectKafka(ctx, c, log)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := checkRights(ctx, c, client, names); err != nil {
		return err
	}
	_, err = partitionCounts(ctx, c, client, names.All()...)
	return err
}

// checkRights refuses to start where Kafka says that a right is missing: the processor would find out record by record.
func checkRights(ctx context.Context, c *Config, client *kgo.Client, names topics.Names) error {
	instance, err := c.instance()
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	rights := names.RightsOfCommand("run", topics.RightsOptions{InstancePrefix: instance + "-"})
	missing, err := topics.Missing(asking, client, rights)
	if err != nil {
		return explainKafka(c, err)
	}
	if len(missing) > 0 {
		return hinted(fmt.Errorf("%s lacks %s", c.Security.who(), missing), aclHint)
	}
	return nil
}

// checkSchemas refuses to start against schemas that are not what they must be.
func checkSchemas(ctx context.Context, c *Config, kept keptSchemas, log *slog.Logger) (*schemas.Registry, topics.IDs, error) {
	registry, err := openRegistry(c, log)
	if err != nil {
		return nil, topics.IDs{}, err
	}
	ids, err := registeredIDs(ctx, c, registry, kept, log)
	if err != nil {
		registry.Close()
		return nil, topics.IDs{}, err
	}
	return registry, ids, nil
}

// registeredIDs are the ids of the embedded schemas. What else is not as it should be in the registry is a warning: the
// processor reads what it can and refuses the rest.
func registeredIDs(ctx context.Context, c *Config, registry *schemas.Registry, kept keptSchemas, log *slog.Logger) (topics.IDs, error) {
	asking, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	checks, err := registry.CheckAll(asking, c.Namespace)
	if errors.Is(err, schemas.ErrUnavailable) {
		if ids, known := kept.ids(ctx, c.Namespace); known {
			log.Warn("the schema registry does not answer; going on with the schemas known from before", "err", err)
			return ids, nil
		}
	}
	if err != nil {
		return topics.IDs{}, explainRegistry(c, err)
	}
	byRecord := make(map[string]int, len(checks))
	var missing []string
	for _, check := range checks {
		if byRecord[check.Record] = check.ID; check.ID == 0 {
			missing = append(missing, check.Subject)
		}
		for _, problem := range check.Problems {
			log.Warn("schema is not as it should be; see onhand schemas check", "subject", check.Subject, "problem", problem)
		}
	}
	if len(missing) > 0 {
		return topics.IDs{}, explainRegistry(c, fmt.Errorf("the schemas of this binary under %s: %w", strings.Join(missing, ", "), schemas.ErrNotRegistered))
	}
	kept.own(ctx, c.Namespace, byRecord)
	return topics.IDsOf(byRecord)
}

// processorOptions are what the settings say to the processor.
func (a *app) processorOptions(c *Config, instance string, log *slog.Logger) (processor.Options, error) {
	client, err := kafkaOptions(c, log)
	if err != nil {
		return processor.Options{}, err
	}
	return processor.Options{
		Namespace: c.Namespace, Instance: instance, Client: client, Logger: log,
		Rules:    availability.Rules{Horizon: availability.Instant(c.MovementHorizon.Microseconds()), Window: availability.Instant(c.DedupeWindow.Microseconds())},
		Sessions: c.Sessions, Workers: c.workers(), BatchRecords: c.BatchRecordsMax, CacheBytes: c.CacheBytes, RegistryWait: c.RegistryWait,
		DropOverdue: c.OverdueFutures == dropFutures, LeaveOnStop: c.LeaveOnStop,
	}, nil
}

var _ processor.Store = (*cache.Redis)(nil)
