package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"

	"onhand/topics"
)

const (
	// connectTimeout bounds the first exchange with a service. A person waits for it.
	connectTimeout = 5 * time.Second
	// requestTimeout bounds one question to a service that has answered before.
	requestTimeout = 15 * time.Second
)

// kafkaOptions are the options of every Kafka client: where Kafka is, who we are, and what is logged.
func kafkaOptions(c *Config, log *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("onhand"),
		kgo.WithLogger(kslog.New(clientLogger(c, log))),
		kgo.DialTimeout(connectTimeout),
		kgo.MetadataMinAge(250 * time.Millisecond), // the default of 5 s is how long a moved leader is asked in vain
		kgo.ConnIdleTimeout(time.Minute),
	}
	if c.Security.TLS {
		config, err := c.Security.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	if mechanism := c.Security.sasl(); mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// clientLogger lets warnings of the Kafka client through, and all of its words where debugging is on: it tells of every
// metadata request and rebalance at the level of our own lifecycle.
func clientLogger(c *Config, log *slog.Logger) *slog.Logger {
	if c.level() < slog.LevelInfo {
		return log
	}
	return slog.New(warnings{log.Handler()})
}

// warnings is a handler that drops what is less than a warning.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// sasl is how Kafka checks the password, nil if it has none.
func (s *Security) sasl() sasl.Mechanism {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: string(s.Password)}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha512Mechanism()
	}
	return nil
}

// tlsConfig trusts the authorities of CA, or the system's, and shows Cert where it is set.
func (s *Security) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("reading security.ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, hinted(fmt.Errorf("reading security.ca: %s has no certificate in it", s.CA), "name a file with -----BEGIN CERTIFICATE-----")
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, hinted(fmt.Errorf("reading security.cert and security.key: %w", err), "name two PEM files that belong together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// connectKafka makes a client and asks for the brokers once, so that what is wrong is known within connectTimeout. The
// caller closes the client.
func connectKafka(ctx context.Context, c *Config, log *slog.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := kafkaOptions(c, log)
	if err != nil {
		return nil, err
	}
	inflater, err := newInflater()
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		kgo.WithDecompressor(inflater),
		kgo.RetryTimeout(requestTimeout),
		kgo.RecordDeliveryTimeout(30*time.Second),
		kgo.ProducerLinger(0),
	)
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("building the Kafka client: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Ping(asking); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explainKafka(c, fmt.Errorf("connecting to Kafka: %w", err))
	}
	return client, nil
}

// inflatedMax is how many bytes of batches a command's client inflates between two polls.
const inflatedMax = 64 << 20

// newInflater returns the decompressor of one client: a batch, and what comes at once, are bounded in bytes uncompressed.
func newInflater() (*topics.Inflater, error) {
	model, err := kgo.NewClient(kgo.MaxDecompressBatchBytes(topics.BatchBytesMax)) // it connects to nothing
	if err != nil {
		return nil, fmt.Errorf("building the decompressor: %w", err)
	}
	defer model.Close()
	return topics.NewInflater(model, inflatedMax)
}

// readError is the first error of a poll, or nil. It is called after every poll, for it lets the client inflate again. That
// a batch has to wait for the next fetch is no error.
func readError(client *kgo.Client, fetches kgo.Fetches) (failed error) {
	if inflater, ok := client.OptValue(kgo.WithDecompressor).(*topics.Inflater); ok {
		inflater.Polled(fetches)
	}
	fetches.EachError(func(_ string, _ int32, err error) {
		if failed == nil && !errors.Is(err, topics.ErrInflated) {
			failed = err
		}
	})
	return failed
}

// unreadable is the first batch of a poll that is too large uncompressed, or nil. The client stops fetching its partition
// until it is set behind it.
func unreadable(fetches kgo.Fetches) (unread *kgo.ErrDecompressTooLarge) {
	fetches.EachError(func(_ string, _ int32, err error) {
		if u, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err); ok && unread == nil {
			unread = u
		}
	})
	return unread
}

// explainKafka gives an error of the client the sentence and the way out that a person needs.
func explainKafka(c *Config, err error) error {
	brokers := strings.Join(c.Brokers, ", ")
	var first *kgo.ErrFirstReadEOF
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	text := err.Error()
	if unread, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err); ok {
		return hinted(fmt.Errorf("the batch at offset %d of %s/%d takes more than %d MiB uncompressed, and is not read", unread.Offset, unread.Topic, unread.Partition, topics.BatchBytesMax>>20),
			"onhand writes none of that size: find out who may write there (`onhand topics acl`), and delete the records up to it, or let retention take it")
	}
	switch {
	case errors.As(err, &first) || errors.Is(err, io.EOF):
		return hinted(fmt.Errorf("Kafka at %s closed the connection: %w", brokers, err), c.Security.closedHint())
	case errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.IllegalSaslState) || strings.Contains(text, "SASL"):
		return hinted(fmt.Errorf("Kafka refuses user %q: %w", c.Security.User, err),
			"check security.mechanism, security.user and the password (ONHAND_SECURITY_PASSWORD)")
	case topics.IsDenied(err):
		return hinted(err, aclHint)
	case errors.As(err, &dns):
		return hinted(fmt.Errorf("no host of the name %q: %w", dns.Name, err), "correct --brokers (ONHAND_BROKERS)")
	case errors.As(err, &authority):
		return hinted(fmt.Errorf("the certificate of Kafka at %s is not trusted: %w", brokers, err), "name its authority with --security-ca")
	case errors.As(err, &name):
		return hinted(fmt.Errorf("the certificate of Kafka at %s is for another name: %w", brokers, err), "name it with --security-server-name")
	case errors.As(err, &record):
		return hinted(fmt.Errorf("Kafka at %s does not speak TLS: %w", brokers, err), "leave --security-tls out")
	case errors.Is(err, context.DeadlineExceeded) || isDial(err):
		hint := "start Kafka, or say where it is with --brokers (ONHAND_BROKERS); `onhand dev` has one built in"
		if c.Security.TLS {
			hint += "; if it does not speak TLS, leave --security-tls out"
		}
		return hinted(fmt.Errorf("no Kafka broker answers at %s: %w", brokers, err), hint)
	}
	return err
}

// closedHint says why a broker may hang up on us.
func (s *Security) closedHint() string {
	hint := "if Kafka wants TLS, add --security-tls"
	if s.TLS {
		hint = "if Kafka does not speak TLS, leave --security-tls out"
	}
	if s.Mechanism == noMechanism {
		return hint + "; if it wants a password, add --security-mechanism and --security-user"
	}
	return hint + "; check security.mechanism, security.user and the password (ONHAND_SECURITY_PASSWORD)"
}

// isDial says that no connection came about.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// partitionCounts returns the partition counts of topics of the namespace, of those that the user may see. It fails with
// what to do where one is missing or where counts do not go together.
func partitionCounts(ctx context.Context, c *Config, client *kgo.Client, names ...string) (map[string]int32, error) {
	of, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := topics.Look(asking, client, names...)
	if err != nil {
		return nil, explainKafka(c, err)
	}
	counts := make(map[string]int32, len(names))
	var missing []string
	var denied error
	for _, name := range names {
		topic, ok := found[name]
		switch {
		case !ok || errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		case topics.IsDenied(topic.Err):
			denied = topic.Err // a command may not need it, and fails where it does
		case topic.Err != nil:
			return nil, explainKafka(c, fmt.Errorf("asking for topic %s: %w", name, topic.Err))
		default:
			counts[name] = topic.Partitions
		}
	}
	if len(missing) > 0 {
		all, err := kadm.NewClient(client).ListTopics(asking)
		if err != nil {
			return nil, explainKafka(c, err)
		}
		return nil, missingTopics(c, of, all.Names(), missing)
	}
	if len(counts) == 0 {
		return nil, explainKafka(c, fmt.Errorf("asking for the topics of namespace %s: %w", c.Namespace, denied))
	}
	if err := of.Validate(counts); err != nil {
		return nil, hinted(fmt.Errorf("the topics of namespace %s do not go together: %w", c.Namespace, err),
			"`onhand topics plan` says the way out")
	}
	return counts, nil
}

// missingTopics says which topics are missing, and whether that is for a wrong namespace.
func missingTopics(c *Config, of topics.Names, all, missing []string) error {
	var namespaces []string
	for _, name := range all {
		if namespace, ok := strings.CutSuffix(name, strings.TrimPrefix(of.StockDeltas, c.Namespace)); ok {
			namespaces = append(namespaces, namespace)
		}
	}
	slices.Sort(namespaces)
	if len(namespaces) > 0 && !slices.Contains(namespaces, c.Namespace) {
		return hinted(fmt.Errorf("namespace %q has no topics in this Kafka; it has those of %s", c.Namespace, strings.Join(namespaces, ", ")),
			"say which with --namespace (ONHAND_NAMESPACE), or create the topics with `onhand topics apply`")
	}
	are := "topics %s are"
	if len(missing) == 1 {
		are = "topic %s is"
	}
	return hinted(fmt.Errorf(are+" missing", strings.Join(missing, ", ")), "create the topics with `onhand topics apply`, or check --namespace (ONHAND_NAMESPACE)")
}

// readToEnd calls take for each record of a partition, from the log start to the end that it had at the call, read
// committed.
func readToEnd(ctx context.Context, c *Config, log *slog.Logger, topic string, partition int32, take func(*kgo.Record) error) error {
	client, err := connectKafka(ctx, c, log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record may be one
		kgo.FetchMaxWait(250*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	start, end, err := logBounds(asking, c, client, topic, partition)
	if err != nil {
		return err
	}
	for next := start; next < end; {
		fetches := client.PollFetches(asking)
		if err := readError(client, fetches); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("reading %s to its end: %w", topic, explainKafka(c, err))
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			next = r.Offset + 1
			if r.Offset >= end || r.Attrs.IsControl() {
				continue
			}
			if err := take(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// logBounds returns the offsets of the first record and after the last one. Compaction leaves holes below the end, but
// keeps the last record.
func logBounds(ctx context.Context, c *Config, client *kgo.Client, topic string, partition int32) (start, end int64, err error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, 0, explainKafka(c, fmt.Errorf("asking for the start of %s: %w", topic, err))
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, 0, explainKafka(c, fmt.Errorf("asking for the end of %s: %w", topic, err))
	}
	first, _ := starts.Lookup(topic, partition)
	last, _ := ends.Lookup(topic, partition)
	return first.Offset, last.Offset, nil
}
