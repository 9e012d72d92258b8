package cache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options say how Redis is used. Zero values stand for the defaults.
type Options struct {
	// Namespace begins every key, so that several tenants can share a Redis: 1 to 64 of A–Z a–z 0–9 . _ -
	Namespace string
	// PoolSize is the number of connections, per node of a Redis Cluster: default 32, one for each task that loads or
	// commits at the same time.
	PoolSize int
	// DialTimeout is how long a connection may take to stand, TLS included: default 5 s.
	DialTimeout time.Duration
	// Timeout is how long Redis may take to answer a command, and to take one in: default 5 s. A script of 2,000 cells
	// runs for some 3 ms; what times out is sent again.
	Timeout time.Duration
	// OnRetry is called before every further attempt of a call, with why the last one did not succeed. It must be quick,
	// and is called by several tasks at once. Nil: nobody hears.
	OnRetry func(error)
	// Dialer replaces the network, for tests: addresses in the URL are then IP addresses. TLS goes on top of it. Nil: TCP.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultPoolSize = 32
	defaultTimeout  = 5 * time.Second
	idleMax         = 5 * time.Minute
)

var namespaceForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (o *Options) complete() error {
	if !namespaceForm.MatchString(o.Namespace) {
		return fmt.Errorf("namespace %q is not 1 to 64 of A–Z a–z 0–9 . _ -", o.Namespace)
	}
	if o.PoolSize < 0 || o.DialTimeout < 0 || o.Timeout < 0 {
		return errors.New("pool size and time-outs are not below zero")
	}
	if o.PoolSize == 0 {
		o.PoolSize = defaultPoolSize
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = defaultTimeout
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return nil
}

// Open connects to Redis and returns once it answers. It refuses a Redis that may evict keys. The URL is one of
//
//	redis://[user:password@]host[:port][/db]
//	redis+sentinel://[user:password@]host[:port],…/master[?db=n&sentinel_username=…&sentinel_password=…]
//	redis+cluster://[user:password@]host[:port],…
//
// with percent-encoded parts. With rediss for redis it speaks TLS, to Sentinels too, and has the options
//
//	ca=FILE           certificates in PEM that the server's must come from, instead of the system's
//	cert=FILE         the client's certificate in PEM, read again for every connection
//	key=FILE          its key
//	server_name=NAME  the name that the server's certificate must have, if not the host's
//	skip_verify=true  believe any certificate
//
// Errors say what to do, and have neither user nor password in them.
func Open(ctx context.Context, url string, options Options) (*Redis, error) {
	a, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("opening Redis: %w", err)
	}
	if err := options.complete(); err != nil {
		return nil, fmt.Errorf("opening Redis: %w", err)
	}
	config, err := a.files.config(a.secure)
	if err != nil {
		return nil, fmt.Errorf("opening Redis: %w", err)
	}
	// The client library writes to stderr what it also returns: errors go to the caller and to OnRetry alone.
	logging.Disable()
	r := &Redis{client: connect(a, &options, config), namespace: options.Namespace, onRetry: options.OnRetry, where: a.String(), tasks: make(map[int32]*task)}
	if err := r.check(ctx, a); err != nil {
		_ = r.client.Close()
		return nil, fmt.Errorf("opening %s: %w", r.where, err)
	}
	return r, nil
}

// config returns the TLS settings, nil for plain text.
func (f *tlsFiles) config(secure bool) (*tls.Config, error) {
	if !secure {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.serverName, InsecureSkipVerify: f.skipVerify}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("reading ca: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading ca: %s has no certificate in PEM", f.ca)
		}
	}
	if f.cert != "" {
		if _, err := tls.LoadX509KeyPair(f.cert, f.key); err != nil {
			return nil, fmt.Errorf("reading cert and key: %w", err)
		}
		cert, key := f.cert, f.key
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		}
	}
	return c, nil
}

// connect builds the client. What all deployments have in common:
//
//   - Nothing is sent twice but by retry, which knows why (MaxRetries, DialerRetries).
//   - A deadline of ctx ends a call (ContextTimeoutEnabled).
//   - RESP2, no CLIENT SETINFO, no maintenance notifications: nothing here needs them, every connection stands a round
//     trip sooner, and the client looks up no names of its own, which a test without a network could not answer.
//   - Pipelines use the same pool: they are few.
func connect(a *address, o *Options, config *tls.Config) redis.UniversalClient {
	switch a.deployment {
	case sentinel:
		return redis.NewFailoverClient(failoverOptions(a, o, config))
	case cluster:
		return redis.NewClusterClient(clusterOptions(a, o, config))
	case single:
	}
	return redis.NewClient(&redis.Options{
		Addr: a.hosts[0], DB: a.db, Username: a.user, Password: a.password, TLSConfig: config, Dialer: o.dialer(config),
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MaxRetries: -1, DialerRetries: 1, DialTimeout: o.DialTimeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
		PoolSize: o.PoolSize, PoolTimeout: o.Timeout + time.Second, MaxActiveConns: o.PoolSize, PipelinePoolSize: -1, ConnMaxIdleTime: idleMax,
	})
}

func failoverOptions(a *address, o *Options, config *tls.Config) *redis.FailoverOptions {
	return &redis.FailoverOptions{
		SentinelAddrs: a.hosts, MasterName: a.master, SentinelUsername: a.sentinelUser, SentinelPassword: a.sentinelPassword,
		DB: a.db, Username: a.user, Password: a.password, TLSConfig: config, Dialer: o.dialer(config),
		Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: o.DialTimeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
		PoolSize: o.PoolSize, PoolTimeout: o.Timeout + time.Second, MaxActiveConns: o.PoolSize, PipelinePoolSize: -1, ConnMaxIdleTime: idleMax,
	}
}

// clusterOptions: masters alone answer (no ReadOnly), and the client learns of a failover within a second; by default it
// stays on a dead master for up to a minute.
func clusterOptions(a *address, o *Options, config *tls.Config) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: a.hosts, Username: a.user, Password: a.password, TLSConfig: config, Dialer: o.dialer(config),
		ReadOnly: false, RouteByLatency: false, RouteRandomly: false, MaxRedirects: 3, ClusterStateReloadInterval: time.Second,
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MaxRetries: -1, DialerRetries: 1, DialTimeout: o.DialTimeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
		PoolSize: o.PoolSize, PoolTimeout: o.Timeout + time.Second, MaxActiveConns: o.PoolSize, PipelinePoolSize: -1, ConnMaxIdleTime: idleMax,
	}
}

// dialer puts TLS on top of a dialer that replaces the network; nil leaves both to the client.
func (o *Options) dialer(config *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	if o.Dialer == nil || config == nil {
		return o.Dialer
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := o.Dialer(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		if host, _, err := net.SplitHostPort(address); err == nil && c.ServerName == "" {
			c.ServerName = host
		}
		secured := tls.Client(conn, c)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return secured, nil
	}
}
