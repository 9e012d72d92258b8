package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// devPort is a TCP port of the loopback interface. Preferred says that any free port will do where it is taken.
type devPort struct {
	number    int
	preferred bool
}

// devServices are the broker, the schema registry and Redis of `onhand dev`: real servers on real ports of the loopback
// interface, inside this process.
type devServices struct {
	brokers  string // host:port
	registry string // URL
	redis    string // URL

	broker   *kfake.Cluster
	schemas  *devRegistry
	server   *http.Server
	served   chan struct{} // closed when server has stopped
	balances *miniredis.Miniredis
	lock     *os.File // nil: no directory
}

// devServiceOptions say where the services listen and what they keep. An empty dir keeps nothing.
type devServiceOptions struct {
	broker, registry, redis devPort
	dir                     string
	logger                  *slog.Logger
}

// startDevServices starts all three. With a directory, the broker's log and the registry's schemas are taken from there
// and kept there; Redis always starts empty. A directory that another process uses is refused.
func startDevServices(ctx context.Context, o devServiceOptions) (_ *devServices, err error) {
	s := &devServices{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if o.dir != "" {
		if s.lock, err = lockDevDir(ctx, o.dir); err != nil {
			return nil, err
		}
	}
	if err := s.startBroker(ctx, o); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	if err := s.startRegistry(ctx, o); err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	if err := s.startRedis(o); err != nil {
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	return s, nil
}

func (s *devServices) startBroker(ctx context.Context, o devServiceOptions) error {
	listener, err := listenDev(ctx, o.broker)
	if err != nil {
		return err
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("onhand-dev"),
		kfake.WithLogger(devBrokerLog{o.logger}),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }),
	}
	if o.dir != "" {
		options = append(options, kfake.DataDir(filepath.Join(o.dir, "broker")))
	}
	if s.broker, err = kfake.NewCluster(options...); err != nil {
		return errors.Join(err, listener.Close())
	}
	s.brokers = listener.Addr().String()
	return nil
}

func (s *devServices) startRegistry(ctx context.Context, o devServiceOptions) error {
	journal := ""
	if o.dir != "" {
		journal = filepath.Join(o.dir, "registry.ndjson")
	}
	registry, err := openDevRegistry(journal)
	if err != nil {
		return err
	}
	s.schemas = registry
	listener, err := listenDev(ctx, o.registry)
	if err != nil {
		return err
	}
	s.server = &http.Server{Handler: registry, ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	go func() { // ends with server.Close, in close
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.logger.Error("registry stopped", "err", err)
		}
	}()
	s.registry = "http://" + listener.Addr().String()
	return nil
}

func (s *devServices) startRedis(o devServiceOptions) error {
	// Keys with a time to live do not end by the clock: looking for them takes a walk over all keys at each command, and
	// onhand sets none.
	balances := miniredis.NewMiniRedis()
	err := balances.StartAddr(devAddress(o.redis.number))
	if err != nil && o.redis.preferred {
		err = balances.StartAddr(devAddress(0))
	}
	if err != nil {
		return taken(o.redis, err)
	}
	s.balances = balances
	s.redis = "redis://" + balances.Addr()
	return nil
}

// close stops what was started, in the order that lets each finish, and returns every problem met.
func (s *devServices) close() error {
	var errs []error
	if s.balances != nil {
		s.balances.Close()
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
		<-s.served
	}
	if s.schemas != nil {
		errs = append(errs, s.schemas.Close())
	}
	if s.broker != nil {
		s.broker.Close()
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

func devAddress(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func listenDev(ctx context.Context, port devPort) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", devAddress(port.number))
	if err != nil && port.preferred {
		listener, err = config.Listen(ctx, "tcp", devAddress(0))
	}
	if err != nil {
		return nil, taken(port, err)
	}
	return listener, nil
}

func taken(port devPort, err error) error {
	return fmt.Errorf("listening on %s: %w; choose another port, or 0 for a free one", devAddress(port.number), err)
}

// errLocked says that another process has a file open that only one may have.
var errLocked = errors.New("locked")

// devLockWait is how long a process that is ending has to let go of its directory.
const devLockWait = 2 * time.Second

// lockDevDir creates the directory and keeps it for this process until the returned file is closed.
func lockDevDir(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, hinted(fmt.Errorf("creating the data directory %s: %w", dir, pathReason(err)), "name a directory that can be made and written to with --data")
	}
	ctx, cancel := context.WithTimeout(ctx, devLockWait)
	defer cancel()
	for {
		file, err := openLocked(filepath.Join(dir, "lock"))
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("locking the data directory: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, hinted(fmt.Errorf("another onhand dev uses the directory %s", dir), "stop it, or choose another directory with --data")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// devBrokerLog hands on what the broker could not do, above all writing its log to disk.
type devBrokerLog struct{ logger *slog.Logger }

// Logf logs errors and drops the rest: a request that fails is the client's to report.
func (l devBrokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError {
		l.logger.Error("broker reports an error", "err", fmt.Sprintf(format, args...))
	}
}
