package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// Ports of onhand dev. Where one is taken and not asked for, a free one is used.
const (
	devBrokerPort   = 19092
	devRegistryPort = 18081
	devRedisPort    = 16379
)

// devPartitions is the partition count of onhand dev: enough to be like a real installation, few enough to start at once.
const devPartitions = 8

// devOptions are the flags of onhand dev.
type devOptions struct {
	data     string
	quiet    bool
	rate     float64 // events a second
	seed     uint64  // of the simulator; 0: a new one each time
	broker   devPort
	registry devPort
	redis    devPort
	admin    string // address of metrics and health; empty: none
}

func newDevCommand(a *app) *cobra.Command {
	o := devOptions{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in this process, with a sample, and watch it work",
		Long: `dev starts a Kafka broker, a schema registry and Redis inside this process, on real ports of this machine,
creates topics and schemas, publishes a sample location graph, imports a sample feed, runs the processor, and lets a
gentle stream of sales, receipts, counts and orders flow. On a terminal it shows the levels as they move and who moved
them.

The first four lines on standard output are the settings by which any Kafka or Redis client, and every onhand command
in another terminal, works against it.

Nothing outlives it unless --data names a directory. Then the broker's log and the schemas are kept there; Redis starts
empty, and is rebuilt from the log. It is for learning and for tests on one machine: one broker, no password.`,
		Example: `  onhand dev
  onhand dev --data ./onhand-data --rate 100
  onhand dev --quiet > dev.env &    # then, in a moment: export $(cat dev.env)`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config(cmd)
			if err != nil {
				return err
			}
			for _, name := range []string{"brokers", "registry", "redis"} {
				if cmd.Flags().Changed(name) {
					return usagef("--%s has no meaning here: dev brings its own; `onhand run` uses those that are there", name)
				}
			}
			if o.rate < 0 || o.rate > simRateMax {
				return usagef("--rate is %g and must be 0 to %g events a second", o.rate, simRateMax)
			}
			for name, port := range map[string]*devPort{"port-broker": &o.broker, "port-registry": &o.registry, "port-redis": &o.redis} {
				if port.number < 0 || port.number > 65535 {
					return usagef("--%s is %d and must be 0 (any free port) to 65535", name, port.number)
				}
				port.preferred = !cmd.Flags().Changed(name)
			}
			return a.dev(cmd.Context(), c.Config, o)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.data, "data", "", "`directory` that keeps the broker's log and the schemas over a restart; empty keeps nothing")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "print the four settings and nothing else on standard output")
	flags.Float64Var(&o.rate, "rate", 20, "sample traffic in `events` a second, 0 to 500; 0 for none")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of the sample traffic; 0 for another one each time")
	flags.IntVar(&o.broker.number, "port-broker", devBrokerPort, "`port` of the Kafka broker; 0, or one that is taken without being asked for, is any free one")
	flags.IntVar(&o.registry.number, "port-registry", devRegistryPort, "`port` of the schema registry, likewise")
	flags.IntVar(&o.redis.number, "port-redis", devRedisPort, "`port` of Redis, likewise")
	flags.StringVar(&o.admin, "admin", "", "`address` of metrics and health, as onhand run has them; port 0 takes any free one, empty is none")
	return cmd
}

// dev runs until ctx ends, the person at the terminal quits, or something breaks.
func (a *app) dev(ctx context.Context, settings *Config, o devOptions) (err error) {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	board := newDevBoard()
	full := !o.quiet && isTerminal(a.out)
	log := a.devLogger(full, board)
	services, err := startDevServices(ctx, devServiceOptions{broker: o.broker, registry: o.registry, redis: o.redis, dir: o.data, logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.close()) }()

	config := defaultConfig()
	config.Namespace, config.Brokers = settings.Namespace, []string{services.brokers}
	config.Registry, config.Redis = SecretURL(services.registry), SecretURL(services.redis)
	exports := []string{"ONHAND_BROKERS=" + services.brokers, "ONHAND_REGISTRY=" + services.registry,
		"ONHAND_REDIS=" + services.redis, "ONHAND_NAMESPACE=" + config.Namespace}
	if _, err := io.WriteString(a.out, strings.Join(exports, "\n")+"\n"); err != nil {
		return fmt.Errorf("printing the settings: %w", err)
	}
	head := devHead{exports: exports, started: time.Now()}
	if o.data != "" {
		head.note = "log kept in " + o.data
	}
	traffic := newDevTraffic(o.rate)
	system := &devSystem{config: config, options: o, board: board, traffic: traffic, log: log}
	if o.admin != "" {
		if system.metrics, err = listenAdmin(ctx, o.admin); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, system.metrics.close(ctx)) }()
		fmt.Fprintf(a.err, "metrics and health on %s\n", system.metrics.url())
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return system.run(running) })
	group.Go(func() error {
		switch {
		case o.quiet:
			return nil
		case full:
			return a.devView(running, board, head, traffic, quit)
		default:
			return (&devPlainView{board: board, out: a.out}).run(running)
		}
	})
	err = group.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = nil
	}
	if !o.quiet {
		f := board.figures(time.Now())
		fmt.Fprintf(a.err, "onhand dev ran %s: %s events, %s updates\n", duration(time.Since(head.started)), thousands(f.eventsSum), thousands(f.updatesSum))
	}
	return err
}

func (a *app) devView(ctx context.Context, board *devBoard, head devHead, traffic *devTraffic, quit func()) error {
	t := &devTerminal{out: a.out, size: terminalSize(a.out), quit: quit, traffic: traffic,
		view: &devView{board: board, head: head, colour: a.variable("NO_COLOR") == ""}}
	if isTerminal(a.in) {
		t.in = a.in
	}
	return t.run(ctx)
}

// variable returns a variable of the environment, empty if it is not set. The last one of a name counts.
func (a *app) variable(name string) (value string) {
	for _, entry := range a.environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// devLogger writes warnings and errors: into the view where there is one, for all else would spoil it, and to standard
// error otherwise.
func (a *app) devLogger(full bool, board *devBoard) *slog.Logger {
	out := a.err
	if full {
		out = boardWriter{board}
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// boardWriter puts each line of a log into the stream of a board.
type boardWriter struct{ board *devBoard }

// Write takes one line, as the handlers of log/slog write it.
func (w boardWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if _, rest, ok := strings.Cut(text, " level="); ok {
		text = rest // the stream has a time of its own
	}
	w.board.say(text, time.Now())
	return len(line), nil
}

// devRun names one run of onhand dev: its ids must not be those of an earlier run on the same log.
func devRun(started time.Time) string { return strconv.FormatInt(started.UnixMilli(), 36) }
