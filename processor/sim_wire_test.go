package processor_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wire is a connection of a simulated process to a broker or to Redis. Every request and every answer on it is a step with
// a name, at which a fault may strike:
//
//	EndTxn>   a request is about to leave the process; Kafka's go by the names of the protocol
//	EndTxn<   its answer is about to reach it
//	ListStable>   a ListOffsets that asks how far transactions have ended
//	commit>   those of the store are load, checkpoint, commit, and the names of other commands
type wire struct {
	net.Conn
	process *simProcess
	kafka   bool
	closed  chan struct{}
	once    sync.Once
	reads   deadline
	writes  deadline

	mu    sync.Mutex
	asked map[int32]asked // requests under way to a broker, by correlation id
	last  string          // the step under way to Redis
	late  chan []byte     // requests that the network delivers later; nil: none was

	answer []byte // of a broker, in part read by the client
	tamper string // what to do to the answer that was just read

	moment  time.Time // of the last answer to a fetch
	fetches int       // answered at that moment
}

var errCut = errors.New("the connection is cut")

// deadline is one that an operation waits for beside other things; it may be moved meanwhile.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{} // closed when it has passed
}

func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.over == nil || passed(d.over) {
		d.over = make(chan struct{})
	}
	if at.IsZero() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(at), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer {
			close(d.over)
			d.timer = nil
		}
	})
	d.timer = timer
}

func passed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (d *deadline) done() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over == nil {
		d.over = make(chan struct{})
	}
	return d.over
}

// SetDeadline sets both deadlines.
func (w *wire) SetDeadline(at time.Time) error {
	w.reads.set(at)
	w.writes.set(at)
	return w.Conn.SetDeadline(at)
}

// SetReadDeadline is that of net.Conn.
func (w *wire) SetReadDeadline(at time.Time) error {
	w.reads.set(at)
	return w.Conn.SetReadDeadline(at)
}

// SetWriteDeadline is that of net.Conn.
func (w *wire) SetWriteDeadline(at time.Time) error {
	w.writes.set(at)
	return w.Conn.SetWriteDeadline(at)
}

// Close closes the connection once what is late has been delivered.
func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.late != nil {
			close(w.late)
		} else {
			_ = w.Conn.Close()
		}
	})
	return nil
}

// wait waits for a channel, or until the connection or the operation ends.
func (w *wire) wait(c <-chan struct{}, d *deadline) error {
	select {
	case <-c:
		return nil
	case <-d.done():
		return os.ErrDeadlineExceeded
	case <-w.closed:
		return errCut
	}
}

// strike lets a fault happen at a step, and says whether the step happens.
func (w *wire) strike(step string, d *deadline) (pass bool, late time.Duration, err error) {
	f := w.process.strike(step)
	switch f.effect {
	case "cut":
		w.process.cut()
		return false, 0, errCut
	case "drop":
		_ = w.Close()
		return false, 0, errCut
	case "lose":
		return false, 0, nil
	case "late":
		return true, f.wait, nil
	case "freeze":
		w.process.freeze(f.wait)
	case "mark":
		w.process.sim.mark(f.mark)
	case "back":
		w.process.sim.back(f.mark)
	case "kick":
		go w.process.sim.kick(w.process.name)
		return true, f.wait, nil
	case "agree", "lag", "unknown":
		w.tamper = f.effect
	}
	if thawed := w.process.frozen(); thawed != nil {
		err = w.wait(thawed, d)
	}
	return err == nil, 0, err
}

// Write sends one request, for both clients send each in one call.
func (w *wire) Write(b []byte) (int, error) {
	step := w.request(b)
	pass, late, err := w.strike(step+">", &w.writes)
	if err != nil {
		return 0, err
	}
	if !pass {
		return len(b), nil
	}
	if queued, err := w.queue(b, late); queued || err != nil {
		return len(b), err
	}
	return w.Conn.Write(b)
}

// queue puts a request behind those that are late, if there are any or it is one.
func (w *wire) queue(b []byte, late time.Duration) (queued bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if passed(w.closed) {
		return false, errCut
	}
	if late > 0 && w.late == nil {
		w.late = make(chan []byte, 1000)
		go w.deliver(late)
	}
	if w.late == nil {
		return false, nil
	}
	select {
	case w.late <- bytes.Clone(b):
		return true, nil
	default:
		return false, errCut
	}
}

// deliver is the way of requests that are late, and of those behind them. It goes on after the client has closed.
func (w *wire) deliver(after time.Duration) {
	<-time.After(after)
	for b := range w.late {
		_ = w.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := w.Conn.Write(b); err != nil {
			break
		}
	}
	_ = w.Conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, w.Conn) // the server must not wait for a reader
	_ = w.Conn.Close()
}

func (w *wire) request(b []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.kafka {
		w.last = w.process.sim.command(b)
		return w.last
	}
	if len(b) < 12 {
		return "short"
	}
	key, version := int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))
	name := kmsg.Key(key).Name()
	if key == int16(kmsg.ListOffsets) && stable(b, version) {
		name = "ListStable"
	}
	w.asked[int32(binary.BigEndian.Uint32(b[8:]))] = asked{name, version}
	return name
}

// stable says whether a ListOffsets asks how far transactions have ended.
func stable(b []byte, version int16) bool {
	r := kmsg.ListOffsetsRequest{Version: version}
	body := 14 + int(binary.BigEndian.Uint16(b[12:])) // length, key, version, correlation id, client id
	if r.IsFlexible() {
		body++
	}
	return body < len(b) && r.ReadFrom(b[body:]) == nil && r.IsolationLevel == 1
}

// asked is a request that waits for its answer.
type asked struct {
	step    string
	version int16
}

// agreed is the answer of a broker that takes a member that is gone for one that is not.
func (a *asked) agreed(frame []byte) []byte {
	r := kmsg.HeartbeatResponse{Version: a.version}
	return a.changed(frame, &r, func() { r.ErrorCode = 0 })
}

// unknown is the answer of a broker that has ended a transaction and does not know it.
func (a *asked) unknown(frame []byte) []byte {
	r := kmsg.EndTxnResponse{Version: a.version}
	return a.changed(frame, &r, func() { r.ErrorCode = kerr.UnknownServerError.Code })
}

// lagging is the answer of a broker that has not seen the marker of the newest transaction yet: its records, one here,
// count for the high watermark and not as committed.
func (a *asked) lagging(frame []byte, topic string) []byte {
	r := kmsg.ListOffsetsResponse{Version: a.version}
	return a.changed(frame, &r, func() {
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				if p := &r.Topics[i].Partitions[j]; r.Topics[i].Topic == topic && p.Offset >= 2 {
					p.Offset -= 2
				}
			}
		}
	})
}

func (a *asked) changed(frame []byte, r kmsg.Response, change func()) []byte {
	header := 8
	if r.IsFlexible() {
		header++
	}
	if err := r.ReadFrom(frame[header:]); err != nil {
		return frame
	}
	change()
	frame = r.AppendTo(frame[:header])
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// Read returns bytes of an answer, from a broker as a whole before its first byte.
func (w *wire) Read(b []byte) (int, error) {
	if !w.kafka {
		return w.readRedis(b)
	}
	if len(w.answer) == 0 {
		frame, err := w.frame()
		if err != nil {
			return 0, err
		}
		w.mu.Lock()
		id := int32(binary.BigEndian.Uint32(frame[4:]))
		request := w.asked[id]
		delete(w.asked, id)
		w.mu.Unlock()
		pass, late, err := w.strike(request.step+"<", &w.reads)
		switch w.tamper {
		case "agree":
			frame = request.agreed(frame)
		case "unknown":
			frame = request.unknown(frame)
		case "lag":
			frame = request.lagging(frame, w.process.sim.names.ReservationResults)
		}
		w.tamper = ""
		if request.step == "Fetch" && w.spins(time.Now()) {
			late = max(late, time.Millisecond)
		}
		if err == nil && !pass {
			err = w.wait(nil, &w.reads)
		} else if err == nil && late > 0 {
			err = w.wait(w.process.sim.after(late), &w.reads)
		}
		if err != nil {
			return 0, err
		}
		w.answer = frame
	}
	n := copy(b, w.answer)
	w.answer = w.answer[n:]
	return n, nil
}

// spins says whether more fetches were answered at this very moment than a client asks for that makes progress. One whose leader
// has moved asks again at once until it has heard where to, and time stands still while anybody is at work.
func (w *wire) spins(now time.Time) bool {
	if !w.moment.Equal(now) {
		w.moment, w.fetches = now, 0
	}
	w.fetches++
	return w.fetches > 100
}

func (w *wire) frame() ([]byte, error) {
	frame := make([]byte, 4, 1024)
	if _, err := io.ReadFull(w.Conn, frame); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(frame))
	frame = append(frame, make([]byte, size)...)
	_, err := io.ReadFull(w.Conn, frame[4:])
	return frame, err
}

func (w *wire) readRedis(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		return n, err
	}
	w.mu.Lock()
	step := w.last
	w.last = ""
	w.mu.Unlock()
	if step == "" {
		return n, nil
	}
	pass, late, err := w.strike(step+"<", &w.reads)
	if err == nil && !pass {
		err = w.wait(nil, &w.reads)
	} else if err == nil && late > 0 {
		err = w.wait(w.process.sim.after(late), &w.reads)
	}
	if err != nil {
		return 0, err
	}
	if step == "commit" {
		w.process.sim.committed()
	}
	return n, nil
}

// command names a command to Redis: a script by what it does, which is learned when its text goes by.
func (s *simulation) command(b []byte) string {
	words := bytes.SplitN(b, []byte("\r\n"), 6)
	if len(words) < 5 {
		return "redis"
	}
	name := strings.ToLower(string(words[2]))
	switch name {
	case "eval":
		text, size := words[5], 0
		if n, err := strconv.Atoi(strings.TrimPrefix(string(words[3]), "$")); err == nil {
			size = n
		}
		text = bytes.Join([][]byte{words[4], text}, []byte("\r\n"))
		return s.learn(text[:min(size, len(text))])
	case "evalsha":
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.scripts[string(words[4])]
	}
	return name
}

func (s *simulation) learn(text []byte) string {
	name := "script"
	for mark, is := range map[string]string{"'landed'": "commit", "HMGET": "load", "EXISTS', KEYS[2]": "checkpoint"} {
		if bytes.Contains(text, []byte(mark)) && (mark != "HMGET" || !bytes.Contains(text, []byte("'landed'"))) {
			name = is
		}
	}
	sum := sha1.Sum(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[hex.EncodeToString(sum[:])] = name
	return name
}
