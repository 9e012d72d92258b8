package processor_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// flow is what a proxy does with bytes.
type flow uint8

const (
	passes  flow = iota
	loses        // requests arrive, answers are lost: nobody knows what was done
	stalls       // nothing moves, and goes on later
	severed      // connections are cut, new ones too
)

// proxy stands between the members and a server.
type proxy struct {
	listener net.Listener
	upstream string

	mu      sync.Mutex
	does    flow
	changed chan struct{} // closed when it does something else
	conns   map[net.Conn]bool
	lost    int // bytes of answers
	wait    sync.WaitGroup
}

// newProxy listens until the test ends.
func newProxy(w *world, upstream string) *proxy {
	w.Helper()
	listener, err := new(net.ListenConfig).Listen(w.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	p := &proxy{listener: listener, upstream: upstream, changed: make(chan struct{}), conns: make(map[net.Conn]bool)}
	p.wait.Go(p.accept)
	w.Cleanup(func() {
		_ = listener.Close()
		p.set(severed)
		p.wait.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() {
			server, err := (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", p.upstream)
			if err != nil || !p.keep(client, server) {
				_ = client.Close()
				if err == nil {
					_ = server.Close()
				}
				return
			}
			p.wait.Go(func() { p.carry(client, server, false) })
			p.carry(server, client, true)
		})
	}
}

// keep notes a pair of connections, unless none may stand now.
func (p *proxy) keep(pair ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.does == severed {
		return false
	}
	for _, c := range pair {
		p.conns[c] = true
	}
	return true
}

// carry moves bytes one way until either end is closed.
func (p *proxy) carry(from, to net.Conn, answers bool) {
	defer func() {
		_, _ = from.Close(), to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		delete(p.conns, to)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if !p.passes(n, answers) {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// passes waits while nothing moves, and says whether the bytes go on.
func (p *proxy) passes(n int, answers bool) bool {
	for {
		p.mu.Lock()
		does, changed := p.does, p.changed
		if does == loses && answers {
			p.lost += n
		}
		p.mu.Unlock()
		if does != stalls {
			return does == passes || does == loses && !answers
		}
		<-changed
	}
}

// set changes what it does. Connections end that have lost bytes, or that are cut.
func (p *proxy) set(does flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.does == loses || does == severed {
		for c := range p.conns {
			_ = c.Close()
		}
	}
	p.does = does
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxy) lostBytes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// TestFaultTimeouts breaks the wire between the members and Redis, or Kafka, for half a second to five seconds: answers are
// lost while requests arrive, nothing moves, or connections are cut. Calls of Redis take a second at most here.
//
//	go test -run TestFaultTimeouts ./processor -faults 60 -timeout 3h
func TestFaultTimeouts(t *testing.T) {
	var redis, kafka []*proxy
	faultKind{few: 3, members: []string{"a", "b"}, timeout: time.Second, connect: connectToBreak, setUp: func(t *trial) {
		redis, kafka, t.through = nil, nil, make(map[string]string)
		address, _, _ := strings.Cut(strings.TrimPrefix(t.redisURL, "redis://"), "/")
		redis = append(redis, newProxy(t.world, address))
		t.through[address] = redis[0].listener.Addr().String()
		for i, address := range t.brokers {
			kafka = append(kafka, newProxy(t.world, address))
			t.through[address] = kafka[i].listener.Addr().String()
		}
	}, inflict: func(t *trial, n int) struck {
		target, to := redis, "to Redis"
		if n%2 == 1 {
			target, to = kafka, "to Kafka"
		}
		does := []flow{loses, loses, stalls, severed}[n/2%4]
		what := []string{"", "answers lost, ", "stalled, ", "cut, "}[does] + to
		at, before := time.Now(), target[0].lostBytes()
		for _, p := range target {
			p.set(does)
		}
		<-time.After(500*time.Millisecond + time.Duration(t.rand.IntN(4500))*time.Millisecond)
		for _, p := range target {
			p.set(passes)
		}
		s := t.struck(what, at, t.all())
		s.idle = does == loses && target[0].lostBytes() == before
		return s
	}}.run(t)
}
