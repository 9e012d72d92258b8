package processor_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/proto"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// simulation is a world in virtual time: brokers, Redis and every process run in one testing/synctest bubble, on
// connections in memory, so that time-outs and expiries cost no time. Faults strike at the steps of its wires.
type simulation struct {
	*world
	network   kfake.VirtualNetwork
	began     time.Time
	settings  settings
	processes map[string]*simProcess
	skew      time.Duration // added to the timestamps of records
	published []schemas.LocationGraph
	sent      []sentRecord
	registry  *flakyRegistry

	mu      sync.Mutex
	scripts map[string]string // what the scripts of Redis do, by their sums
	faults  []*fault
	history []redisState // after each commit, oldest first
	marks   map[string]redisState
	story   []string // what happened
	healed  bool
}

// simRedis is where the simulated Redis is, in place of a host name: nothing is looked up.
const simRedis = "127.0.0.1:6379"

func newSimulation(t testing.TB, s settings) *simulation {
	w := &world{TB: t, namespace: "sim", partitions: s.partitions, tracers: noTracers, tick: 2 * time.Second, patience: 3 * time.Minute}
	sim := &simulation{world: w, began: time.Now(), settings: s, processes: make(map[string]*simProcess), scripts: make(map[string]string), marks: make(map[string]redisState)}
	var err error
	w.fake, err = kfake.NewCluster(kfake.Ports(s.ports()...), kfake.ListenFn(sim.network.Listen))
	w.must(err)
	t.Cleanup(w.fake.Close)
	w.brokers = w.fake.ListenAddrs()
	w.mini = miniredis.NewMiniRedis()
	t.Cleanup(w.mini.Close)
	w.redisURL = "redis://" + simRedis
	w.dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == simRedis {
			return w.mini.Dial()
		}
		return sim.network.DialContext(ctx, network, address)
	}
	w.wired = sim.wired
	w.options = []kgo.Opt{kgo.WithCompressor(uncompressed{}), kgo.WithDecompressor(uncompressed{}), kgo.DisableClientMetrics()}
	w.furnish()
	sim.registry = &flakyRegistry{static: w.static}
	sim.history = []redisState{sim.redis()}
	return sim
}

// uncompressed is what the clients of a simulation do to batches: the pools of the usual codecs outlive the bubble, and
// channels of one bubble must not be met in another.
type uncompressed struct{}

// Compress leaves a batch as it is.
func (uncompressed) Compress(_ *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	return src, kgo.CodecNone
}

// Decompress leaves a batch as it is.
func (uncompressed) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec != kgo.CodecNone {
		return nil, fmt.Errorf("codec %d in a simulation", codec)
	}
	return src, nil
}

// flakyRegistry is one that can be down.
type flakyRegistry struct {
	static schemas.Static
	mu     sync.Mutex
	down   bool
}

// Schema is that of schemas.Lookup.
func (r *flakyRegistry) Schema(ctx context.Context, id int) (string, error) {
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	if down {
		return "", errors.New("the registry is down")
	}
	return r.static.Schema(ctx, id)
}

func (r *flakyRegistry) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// simProcess is what faults do to one process, by its instance name, over all its lives.
type simProcess struct {
	sim    *simulation
	name   string
	runner *runner // the newest life

	mu   sync.Mutex
	ice  chan struct{} // closed when the process thaws; nil: not frozen
	live bool

	stopping bool // in order; the next life waits for that
}

func (p *simProcess) cut() {
	p.mu.Lock()
	r, live := p.runner, p.live
	p.live = false
	p.thaw()
	p.mu.Unlock()
	if live {
		p.sim.note("%s is cut", p.name)
		r.cut()
	}
}

// freeze stalls everything that the process sends or is sent for a while.
func (p *simProcess) freeze(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ice != nil || !p.live {
		return
	}
	ice := make(chan struct{})
	p.ice = ice
	time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ice == ice {
			p.thaw()
		}
	})
}

// thaw ends a freeze. The caller holds the lock.
func (p *simProcess) thaw() {
	if p.ice != nil {
		close(p.ice)
		p.ice = nil
	}
}

func (p *simProcess) frozen() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ice
}

func (p *simProcess) lives() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

func (p *simProcess) strike(step string) fault {
	if !p.lives() {
		return fault{}
	}
	return p.sim.strike(p.name, step)
}

// process starts a life of a process, which folds that many records at once. One that lives goes on.
func (s *simulation) process(name string, batch int) {
	s.mu.Lock()
	p := s.processes[name]
	if p == nil {
		p = &simProcess{sim: s, name: name}
		s.processes[name] = p
	}
	s.mu.Unlock()
	if p.lives() {
		return
	}
	if p.stopping {
		err := <-p.runner.done
		p.runner.done <- err
		p.stopping = false
	}
	s.note("%s starts", name)
	r := s.start(name, func(o *processor.Options) {
		o.Reader = topics.NewReader(schemas.NewDecoder(s.registry, schemas.DecoderOptions{}), topics.Options{})
		o.BatchRecords, o.CacheBytes = cmp.Or(batch, s.settings.batch), s.settings.cache*int64(s.partitions)
		o.RegistryWait = 10 * time.Minute
		o.DropOverdue = s.settings.drop
		// kfake may count a member too few that is replaced while it waits; then a rebalance ends by its time-out alone, which each
		// join begins anew. Joins of up to four members, tried again 10 s after it, cannot all come within it.
		o.RebalanceTimeout = 3 * time.Second
	})
	p.mu.Lock()
	p.runner, p.live = r, true
	p.mu.Unlock()
}

// wired puts a wire between a process and what it talks to.
func (s *simulation) wired(name, address string, conn net.Conn) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &wire{Conn: conn, process: s.processes[name], kafka: address != simRedis, closed: make(chan struct{}), asked: make(map[int32]asked)}
}

// fault strikes when a process takes a step for the nth time after it was armed.
type fault struct {
	process, step string
	nth           int
	effect        string
	wait          time.Duration
	mark          string
}

func (s *simulation) strike(process, step string) fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.healed {
		return fault{}
	}
	for i, f := range s.faults {
		if f.process != process || f.step != step {
			continue
		}
		if f.nth--; f.nth > 0 {
			continue
		}
		if f.effect != "agree" && f.effect != "lag" {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		s.tell("%s at %s: %s %s", process, step, f.effect, f.wait)
		return *f
	}
	return fault{}
}

func (s *simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(format, args...)
}

// tell is note for one who holds the lock.
func (s *simulation) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("%8s  ", time.Since(s.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (s *simulation) after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

// heal ends every fault.
func (s *simulation) heal() {
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	s.registry.set(false)
	for _, p := range s.processes {
		p.mu.Lock()
		p.thaw()
		p.mu.Unlock()
	}
}

// redisState is what a Redis holds: commands that bring it back.
type redisState [][]string

// redis copies what Redis holds. The copy is of one moment: every write goes with a checkpoint, so it is taken again where
// one has moved meanwhile.
func (s *simulation) redis() redisState {
	for {
		before := s.checkpoints()
		state := s.copyRedis()
		if before == s.checkpoints() {
			return state
		}
	}
}

func (s *simulation) checkpoints() string {
	var all strings.Builder
	for n := range s.partitions {
		text, _ := s.mini.Get(fmt.Sprintf("{%s:%d}:c", s.namespace, n)) // none: empty
		all.WriteString(text)
	}
	return all.String()
}

func (s *simulation) copyRedis() redisState {
	var state redisState
	for _, key := range s.mini.Keys() {
		switch s.mini.Type(key) {
		case "string":
			text, _ := s.mini.Get(key)
			state = append(state, []string{"SET", key, text})
		case "hash":
			fields, _ := s.mini.HKeys(key)
			command := []string{"HSET", key}
			for _, f := range fields {
				command = append(command, f, s.mini.HGet(key, f))
			}
			state = append(state, command)
		case "set":
			members, _ := s.mini.SMembers(key)
			state = append(state, append([]string{"SADD", key}, members...))
		case "zset":
			members, _ := s.mini.SortedSet(key)
			command := []string{"ZADD", key}
			for m, score := range members {
				command = append(command, strconv.FormatFloat(score, 'f', -1, 64), m)
			}
			state = append(state, command)
		}
	}
	return state
}

// committed remembers what Redis holds after a commit.
func (s *simulation) committed() {
	state := s.redis()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, state)
}

// restoreScript replaces everything at one moment, as a failover to a replica that lags, or a restored RDB.
const restoreScript = `
redis.call('FLUSHALL')
local i = 1
while i < #ARGV do
  local n = tonumber(ARGV[i])
  redis.call(unpack(ARGV, i + 1, i + n))
  i = i + n + 1
end
return 'OK'`

// rollBack brings Redis back to what it held after an earlier commit; to 0 is empty.
func (s *simulation) rollBack(to int) {
	s.mu.Lock()
	to = min(max(to, 0), len(s.history)-1)
	state := s.history[to]
	s.tell("redis goes back to state %d of %d", to, len(s.history)-1)
	s.mu.Unlock()
	s.restore(state)
}

// mark remembers what Redis holds; back brings it back.
func (s *simulation) mark(name string) {
	state := s.redis()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[name] = state
	s.tell("redis is marked %s", name)
}

func (s *simulation) back(name string) {
	s.mu.Lock()
	state, ok := s.marks[name]
	s.tell("redis goes back to mark %s: %v", name, ok)
	s.mu.Unlock()
	if ok {
		s.restore(state)
	}
}

func (s *simulation) restore(state redisState) {
	command := []string{"EVAL", restoreScript, "0"}
	for _, c := range state {
		command = append(append(command, strconv.Itoa(len(c))), c...)
	}
	conn, err := s.mini.Dial()
	s.must(err)
	client := proto.NewClient(conn)
	defer func() { _ = client.Close() }()
	answer, err := client.Do(command...)
	s.must(err)
	if answer != proto.String("OK") {
		s.Fatalf("restoring Redis: %q", answer)
	}
}

// kick throws a member out of the group.
func (s *simulation) kick(name string) {
	_, err := kadm.NewClient(s.client).LeaveGroup(s.Context(), kadm.LeaveGroup(s.names.ConsumerGroup()).Reason("thrown out by a test").InstanceIDs(name+"-0"))
	s.note("%s is thrown out of the group: %v", name, err)
}

// bury takes members out of the group that have died long ago. Brokers do so by themselves when a session has passed; kfake
// begins none for a member whose connection ended while it waited to join, and keeps its partitions for it.
func (s *simulation) bury() {
	for name, p := range s.processes {
		if !p.lives() {
			_, _ = kadm.NewClient(s.client).LeaveGroup(s.Context(), kadm.LeaveGroup(s.names.ConsumerGroup()).InstanceIDs(name+"-0")) // mostly it is gone
		}
	}
}

// forgetOffsets deletes the group, which must have no members, or the offsets of one input alone.
func (s *simulation) forgetOffsets(input string) {
	topic := map[string]string{"deltas": s.names.StockDeltas, "events": s.names.ReservationEvents}[input]
	s.eventually("the group is empty and can be deleted", func() bool {
		admin := kadm.NewClient(s.client)
		if topic == "" {
			deleted, err := admin.DeleteGroups(s.Context(), s.names.ConsumerGroup())
			return err == nil && deleted.Error() == nil
		}
		var offsets kadm.TopicsSet
		for n := range s.partitions {
			offsets.Add(topic, n)
		}
		deleted, err := admin.DeleteOffsets(s.Context(), s.names.ConsumerGroup(), offsets)
		return err == nil && deleted.Error() == nil
	})
	s.note("offsets of %s are deleted", cmp.Or(topic, "the group, and it,"))
}

// now is the clock of those who send records.
func (s *simulation) now() time.Time { return time.Now().Add(s.skew) }

// due says whether the store has an expiry that is due.
func (s *simulation) due(store closingStore) bool {
	for n := range s.partitions {
		due, err := store.Due(s.Context(), n, availability.Instant(time.Now().UnixMicro()), 1)
		if err != nil || len(due) > 0 {
			return true
		}
	}
	return false
}
