package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"onhand/processor/availability"
	"onhand/topics"
)

// Options are what a Processor needs. Those without a default must be given.
type Options struct {
	Namespace string
	Instance  string    // stable and unique per process: static membership and the transactional ids come from it
	Client    []kgo.Opt // how to reach Kafka: brokers, TLS, SASL, dialer, logger
	Store     Store     // of the same namespace
	Reader    *topics.Reader
	IDs       topics.IDs // of the schemas of results and updates
	Observer  *Observer
	Logger    *slog.Logger

	Rules              availability.Rules
	Sessions           int           // group members of this process, default 1
	Workers            int           // tasks of a session folded at once, default 4
	BatchRecords       int           // records that a task folds at once, default 8,000
	PollRecords        int           // records that a session polls at once, default ten times BatchRecords
	CacheBytes         int64         // memory for SKUs, default 512 MiB, split over the partitions
	SweepRate          int           // SKUs per second and task that a sweep visits after a graph change, default 2,000
	DropOverdue        bool          // drop futures when their date comes; else they stay until they are replaced
	RegistryWait       time.Duration // how long a task waits for a registry that cannot be asked, default 1 min
	Linger             time.Duration // how long updates wait for company at most; the end of a batch sends them all. Default 50 ms
	TransactionTimeout time.Duration // after which an unfinished transaction of a dead process is aborted, default 10 s
	SessionTimeout     time.Duration // after which a silent member loses its partitions, default 15 s
	RebalanceTimeout   time.Duration // default 30 s
	LeaveOnStop        bool          // give the partitions to other members when Run ends; else they are kept for this one until its session is over
}

func (o *Options) setDefaults() {
	or := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	wait := func(n *time.Duration, d time.Duration) {
		if *n <= 0 {
			*n = d
		}
	}
	or(&o.Sessions, 1)
	or(&o.Workers, 4)
	or(&o.BatchRecords, 8000)
	or(&o.PollRecords, 10*o.BatchRecords)
	or(&o.SweepRate, 2000)
	wait(&o.RegistryWait, time.Minute)
	wait(&o.Linger, 50*time.Millisecond)
	wait(&o.TransactionTimeout, 10*time.Second)
	wait(&o.SessionTimeout, 15*time.Second)
	wait(&o.RebalanceTimeout, 30*time.Second)
	if o.CacheBytes <= 0 {
		o.CacheBytes = 512 << 20
	}
	if o.Rules == (availability.Rules{}) {
		o.Rules = availability.DefaultRules()
	}
}

// Processor is one process of the consumer group.
type Processor struct {
	shared *shared
	names  topics.Names

	mu       sync.Mutex
	sessions []*session
}

// New checks the options. It connects to nothing.
func New(o Options) (*Processor, error) {
	o.setDefaults()
	names, err := topics.NamesOf(o.Namespace)
	if err != nil {
		return nil, err
	}
	if o.TransactionTimeout >= o.SessionTimeout {
		return nil, fmt.Errorf("transaction timeout %s is not below session timeout %s; else a member that takes over waits for the transaction of one that died", o.TransactionTimeout, o.SessionTimeout)
	}
	return &Processor{names: names, shared: &shared{Options: o, names: names, obs: o.Observer, log: o.Logger}}, nil
}

// Run processes until ctx ends, then hands over in order: it finishes the batch under way, waits for the store to have
// it, and leaves. It returns nil then, or the first error that no waiting can heal.
func (p *Processor) Run(ctx context.Context) error {
	if err := p.run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil // whatever a stop has interrupted
}

func (p *Processor) run(ctx context.Context) error {
	s := p.shared
	admin, err := kgo.NewClient(append(append([]kgo.Opt{}, s.Client...),
		kgo.ClientID("onhand-"+s.Instance+"-admin"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.names.LocationGraph: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.MaxDecompressBatchBytes(topics.BatchBytesMax),
		kgo.MetadataMinAge(250*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("opening a client: %w", err)
	}
	defer admin.Close()
	s.admin = admin
	if err := p.describe(ctx); err != nil {
		return err
	}
	s.reader = s.Reader.WithPartitions(s.partitions)
	s.writer = topics.NewWriter(p.names, s.IDs, s.partitions)
	p.mu.Lock()
	s.graphs = newGraphs(admin, p.names.LocationGraph, s.reader.Clone(), s.log, p.wake)
	s.graphs.named = s.named
	p.mu.Unlock()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return s.graphs.follow(running) })
	if err := p.awaitGraph(running); err != nil {
		return group.Wait()
	}
	for i := range s.Sessions {
		session := newSession(s, i)
		p.mu.Lock()
		p.sessions = append(p.sessions, session)
		p.mu.Unlock()
		group.Go(func() error { return session.run(running) })
	}
	return group.Wait()
}

// describe reads the partition count and the ids of the topics, and refuses to start against topics that do not fit.
func (p *Processor) describe(ctx context.Context) error {
	s := p.shared
	ask, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := kadm.NewClient(s.admin)
	var err error
	if s.partitions, err = topics.Partitions(ask, client, p.names); err != nil {
		return err
	}
	found, err := client.ListTopics(ask, p.names.All()...)
	if err != nil {
		return fmt.Errorf("asking for the topics of namespace %s: %w", p.names.Namespace, err)
	}
	s.topicIDs = make(map[string][16]byte, len(found))
	for name, t := range found { // order-free: into a map
		s.topicIDs[name] = t.ID
	}
	return nil
}

// awaitGraph waits for the first published graph: without one every location would be unknown.
func (p *Processor) awaitGraph(ctx context.Context) error {
	s := p.shared
	for said := false; ctx.Err() == nil; said = true {
		if err := s.graphs.sync(ctx); err != nil {
			s.log.Debug("reading location graphs", "err", err)
		} else if s.graphs.newest.Load() != nil {
			return nil
		}
		if !said {
			s.log.Warn("waiting for a location graph; publish one with onhand graph publish FILE", "topic", p.names.LocationGraph)
		}
		pause(ctx, 200*time.Millisecond)
	}
	return ctx.Err()
}

func (p *Processor) wake() {
	for _, s := range p.list() {
		s.wake()
	}
}

func (p *Processor) list() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*session(nil), p.sessions...)
}

// Ready says whether every session has its tasks running, and if not, why.
func (p *Processor) Ready() error {
	sessions := p.list()
	p.mu.Lock()
	graphs := p.shared.graphs
	p.mu.Unlock()
	if graphs != nil && graphs.refused() != nil {
		return graphs.refused()
	}
	if len(sessions) == 0 {
		return errors.New("no location graph is published yet")
	}
	for _, s := range sessions {
		if err := s.ready(); err != nil {
			return err
		}
	}
	return nil
}

// aliveWithin is how long a session may take for one turn of its loop: a poll waits a second, a transaction its time-out.
const aliveWithin = time.Minute

// Live says whether every session's loop goes round. It does not ask whether Kafka or the store can be reached: a restart
// would not help.
func (p *Processor) Live() error {
	for _, s := range p.list() {
		s.mu.Lock()
		since := time.Since(s.turned)
		s.mu.Unlock()
		if since > aliveWithin {
			return fmt.Errorf("session %s has not come round for %s", s.id, since.Round(time.Second))
		}
	}
	return nil
}

func (s *session) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied != nil {
		return s.denied
	}
	if s.assigned == nil {
		return fmt.Errorf("session %s has not joined yet", s.id)
	}
	for _, t := range s.tasks { // order-free: any one will do
		if err := t.readiness(); err != nil {
			return err
		}
	}
	return nil
}

// readiness says why a task does not run, or that it waits for a right.
func (t *task) readiness() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return t.err
	case t.waits != nil && (t.state != running || isDenied(t.waits)):
		return fmt.Errorf("task %d is %s and waits: %w", t.number, t.state, t.waits)
	case t.state != running:
		return fmt.Errorf("task %d is %s", t.number, t.state)
	}
	return nil
}
