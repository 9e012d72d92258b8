package processor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// connectTo is how to connect to a Redis that the environment names, of a form that the tests may break.
func connectTo(variable, form string) func(*world) {
	return func(w *world) {
		w.connect()
		used(w, form)
		w.redisURL = os.Getenv(variable)
	}
}

// redis asks the server on a port.
func (t *trial) redis(port string, arguments ...string) string {
	t.Helper()
	out, err := t.tryRedis(port, arguments...)
	if err != nil {
		t.Fatalf("redis-cli -p %s %s: %v\n%s", port, strings.Join(arguments, " "), err, out)
	}
	return out
}

func (t *trial) tryRedis(port string, arguments ...string) (string, error) {
	out, err := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-e", "-p", port}, arguments...)...).CombinedOutput()
	return strings.TrimSpace(strings.ReplaceAll(string(out), "\r", "")), err
}

// info returns a field of a server's INFO, nothing if it does not answer.
func (t *trial) info(port, name string) string {
	text, _ := t.tryRedis(port, "info")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// replicas returns the ports of a master's replicas.
func (t *trial) replicas(master string) (ports []string) {
	text, _ := t.tryRedis(master, "info", "replication")
	for line := range strings.Lines(text) {
		for part := range strings.SplitSeq(strings.TrimSpace(line), ",") {
			if port, ok := strings.CutPrefix(part, "port="); ok && strings.Contains(line, "state=online") {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

// forgetful makes a master acknowledge commits that its replicas do not get, and kills it: the replicas are stopped, the
// connections to them cut, and they go on when the master is dead. The one that is promoted has never heard of what was
// acknowledged in between. Failovers that lost no commit do not count.
func (t *trial) forgetful(what, master string, replicas []string, promoted func() bool) struck {
	t.Helper()
	for _, port := range replicas {
		t.services("pause", "redis", port)
	}
	t.redis(master, "client", "kill", "type", "replica")
	kept := t.checkpoints()
	<-time.After(time.Duration(200+t.rand.IntN(800)) * time.Millisecond)
	before := t.checkpoints()
	s := t.strikes(what, t.all())
	t.services("kill", "redis", master)
	for _, port := range replicas {
		t.services("cont", "redis", port)
	}
	t.eventually("a replica is promoted", promoted)
	t.services("start", "redis", master)
	if !forgot(kept, before) {
		s = t.struck("", s.at, t.all())
		s.idle = true
	}
	return s
}

// TestFaultFailoversSentinel kills a master behind Sentinel whose replicas have not got its last commits.
//
//	go test -run TestFaultFailoversSentinel ./processor -faults 20 -timeout 3h
func TestFaultFailoversSentinel(t *testing.T) {
	url := os.Getenv("ONHAND_TEST_REDIS_SENTINEL")
	if url == "" || !breakable() {
		return
	}
	hosts, name, _ := strings.Cut(strings.TrimPrefix(url, "redis+sentinel://"), "/")
	_, guard, _ := strings.Cut(strings.Split(hosts, ",")[0], ":")
	faultKind{few: 1, members: []string{"a", "b"}, connect: connectTo("ONHAND_TEST_REDIS_SENTINEL", "redis-sentinel"), inflict: func(t *trial, _ int) struck {
		master := func() string {
			address, _ := t.tryRedis(guard, "sentinel", "get-master-addr-by-name", name)
			_, port, _ := strings.Cut(address, "\n")
			return port
		}
		var old string
		t.eventually("a master with both replicas", func() bool {
			old = master()
			known, _ := t.tryRedis(guard, "sentinel", "replicas", name)
			return old != "" && len(t.replicas(old)) == 2 && !strings.Contains(known, "s_down") && !strings.Contains(known, "disconnected")
		})
		return t.forgetful("failover by Sentinel", old, t.replicas(old), func() bool {
			port := master()
			return port != "" && port != old && t.info(port, "role") == "master"
		})
	}}.run(t)
}

// node is a server of a Redis Cluster as the others see it.
type node struct {
	id, port, master string // master: the id of its master; "-": it is one
	down             bool
	slots            []string
}

// cluster returns the nodes as the first that answers sees them.
func (t *trial) cluster(ports []string) (nodes []node) {
	for _, port := range ports {
		text, err := t.tryRedis(port, "cluster", "nodes")
		if err != nil {
			continue
		}
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) < 8 {
				continue
			}
			address, _, _ := strings.Cut(f[1], "@")
			_, port, _ := strings.Cut(address, ":")
			nodes = append(nodes, node{f[0], port, f[3], strings.Contains(f[2], "fail") || f[7] != "connected", f[8:]})
		}
		return nodes
	}
	return nil
}

// healthy returns the nodes once all are up and each master that has slots has a replica in step.
func (t *trial) healthy(ports []string) (nodes []node) {
	t.Helper()
	t.eventually("a cluster that is whole", func() bool {
		nodes = t.cluster(ports)
		for _, n := range nodes {
			if n.down || t.info(n.port, "role") == "master" && n.master != "-" || n.master == "-" && len(n.slots) > 0 && len(t.replicas(n.port)) == 0 {
				return false
			}
			if state, _ := t.tryRedis(n.port, "cluster", "info"); !strings.Contains(state, "cluster_state:ok") {
				return false
			}
		}
		return len(nodes) >= len(ports)
	})
	return nodes
}

// owner returns the master that has a slot.
func owner(nodes []node, slot int) node {
	i := slices.IndexFunc(nodes, func(n node) bool {
		return slices.ContainsFunc(n.slots, func(s string) bool {
			var first, last int
			switch read, _ := fmt.Sscanf(s, "%d-%d", &first, &last); read {
			case 1:
				return first == slot
			case 2:
				return first <= slot && slot <= last
			}
			return false
		})
	})
	return nodes[i]
}

// slotOf returns the slot that has all keys of a task.
func (t *trial) slotOf(port string, task int32) (slot int) {
	t.Helper()
	_, err := fmt.Sscan(t.redis(port, "cluster", "keyslot", fmt.Sprintf("{%s:%d}", t.namespace, task)), &slot)
	t.must(err)
	return slot
}

func clusterPorts(url string) (ports []string) {
	for host := range strings.SplitSeq(strings.TrimPrefix(url, "redis+cluster://"), ",") {
		_, port, _ := strings.Cut(host, ":")
		ports = append(ports, port)
	}
	return ports
}

// TestFaultFailoversCluster kills a master of a Redis Cluster whose replica has not got its last commits.
//
//	go test -run TestFaultFailoversCluster ./processor -faults 20 -timeout 3h
func TestFaultFailoversCluster(t *testing.T) {
	url := os.Getenv("ONHAND_TEST_REDIS_CLUSTER")
	if url == "" || !breakable() {
		return
	}
	ports := clusterPorts(url)
	faultKind{few: 1, members: []string{"a", "b"}, connect: connectTo("ONHAND_TEST_REDIS_CLUSTER", "redis-cluster"), inflict: func(t *trial, _ int) struck {
		nodes := t.healthy(ports)
		old := owner(nodes, t.slotOf(ports[0], int32(t.rand.IntN(int(t.partitions)))))
		replicas := t.replicas(old.port)
		return t.forgetful("failover in a cluster", old.port, replicas, func() bool {
			return slices.ContainsFunc(replicas, func(port string) bool {
				state, _ := t.tryRedis(port, "cluster", "info")
				return t.info(port, "role") == "master" && strings.Contains(state, "cluster_state:ok")
			})
		})
	}}.run(t)
}

// TestFaultSlotMigration moves the slot of a task from one master of a Redis Cluster to another, key by key, while the
// task works.
//
//	go test -run TestFaultSlotMigration ./processor -faults 20 -timeout 3h
func TestFaultSlotMigration(t *testing.T) {
	url := os.Getenv("ONHAND_TEST_REDIS_CLUSTER")
	if url == "" || !breakable() {
		return
	}
	ports := clusterPorts(url)
	faultKind{few: 1, members: []string{"a", "b"}, connect: connectTo("ONHAND_TEST_REDIS_CLUSTER", "redis-cluster"), inflict: func(t *trial, _ int) struck {
		task := int32(t.rand.IntN(int(t.partitions)))
		nodes := t.healthy(ports)
		slot := t.slotOf(ports[0], task)
		from := owner(nodes, slot)
		others := slices.DeleteFunc(slices.Clone(nodes), func(n node) bool { return n.master != "-" || n.id == from.id })
		s := t.struck("slot moved", time.Now(), []int32{task})
		keys := t.moveSlot(slot, from, others[t.rand.IntN(len(others))], others)
		t.Logf("moved %d keys in %s", keys, time.Since(s.at).Round(time.Millisecond))
		s.idle = keys == 0
		return s
	}}.run(t)
}

// moveSlot does what redis-cli --cluster reshard does.
func (t *trial) moveSlot(slot int, from, to node, others []node) (keys int) {
	t.Helper()
	n := fmt.Sprint(slot)
	t.redis(to.port, "cluster", "setslot", n, "importing", from.id)
	t.redis(from.port, "cluster", "setslot", n, "migrating", to.id)
	for {
		some := strings.Fields(t.redis(from.port, "cluster", "getkeysinslot", n, "3"))
		if len(some) == 0 {
			break
		}
		t.redis(from.port, append([]string{"migrate", "127.0.0.1", to.port, "", "0", "5000", "keys"}, some...)...)
		keys += len(some)
	}
	for _, node := range append([]node{to, from}, others...) {
		t.redis(node.port, "cluster", "setslot", n, "node", to.id)
	}
	return keys
}

// TestFaultRedisFull lets Redis refuse writes for one to three seconds: it has no memory left, or could not write its dump,
// as on a full disk.
//
//	go test -run TestFaultRedisFull ./processor -faults 20 -timeout 3h
func TestFaultRedisFull(t *testing.T) {
	url := os.Getenv("ONHAND_TEST_REDIS")
	if url == "" || !breakable() {
		return
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "redis://"), "/")
	_, port, _ := strings.Cut(host, ":")
	faultKind{few: 2, members: []string{"a", "b"}, inflict: func(t *trial, n int) struck {
		what, answer, mend := "no memory", "OOM", t.noMemory
		if n%2 == 1 {
			what, answer, mend = "no disk", "MISCONF", t.noDisk
		}
		mended, at := mend(port), time.Now()
		refused, _ := t.tryRedis(port, "set", t.namespace+"-refused", "1")
		if !strings.HasPrefix(refused, answer) {
			t.Errorf("%s: a write is answered %q", what, refused)
		}
		<-time.After(time.Second + time.Duration(t.rand.IntN(2000))*time.Millisecond)
		mended()
		return t.struck(what, at, t.all())
	}}.run(t)
}

func (t *trial) noMemory(port string) (mend func()) {
	mend = func() { t.redis(port, "config", "set", "maxmemory", "0") }
	t.Cleanup(func() {
		_ = exec.CommandContext(context.Background(), "redis-cli", "-p", port, "config", "set", "maxmemory", "0").Run()
	})
	t.redis(port, "config", "set", "maxmemory", "1")
	return mend
}

// noDisk lets the writing of a dump end in an error: a folder stands where the file should be put.
func (t *trial) noDisk(port string) (mend func()) {
	t.Helper()
	_, dir, _ := strings.Cut(t.redis(port, "config", "get", "dir"), "\n")
	dump := filepath.Join(dir, "dump.rdb")
	t.must(os.RemoveAll(dump))
	t.must(os.Mkdir(dump, 0o755))
	mend = func() {
		_ = os.RemoveAll(dump)
		_ = exec.CommandContext(context.Background(), "redis-cli", "-p", port, "config", "set", "save", "").Run()
	}
	t.Cleanup(mend)
	t.redis(port, "config", "set", "save", "3600 1000000000")
	idle := func() bool { return t.info(port, "rdb_bgsave_in_progress") == "0" }
	t.eventually("no dump under way", idle)
	t.redis(port, "bgsave")
	t.eventually("a dump that cannot be written", func() bool { return idle() && t.info(port, "rdb_last_bgsave_status") == "err" })
	return mend
}
