package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"onhand/cache"
)

// benchCost is what everybody has used so far. Nil is not measured.
type benchCost struct {
	Processor *processCost
	Redis     *time.Duration // processor time of all its masters, whoever they work for
	Broker    *time.Duration // of the brokers, all on this machine
	Self      *time.Duration // of this process: it makes the load, reads the outputs and compares
}

// benchMeter measures costs.
type benchMeter struct {
	store     *cache.Redis
	processes func() []*benchProcess
	metrics   string // URL of a processor that is not ours, empty where there is none
	brokers   []int  // process ids; none: not measured
}

// now is what was used until now.
func (m *benchMeter) now(ctx context.Context) benchCost {
	var c benchCost
	if running := m.processes(); len(running) > 0 {
		var sum processCost
		for _, p := range running {
			used := p.used(ctx)
			sum.CPU, sum.AllocBytes, sum.Allocations = sum.CPU+used.CPU, sum.AllocBytes+used.AllocBytes, sum.Allocations+used.Allocations
			sum.Resident += used.Resident
		}
		c.Processor = &sum
	} else if m.metrics != "" {
		if text, err := getText(ctx, m.metrics); err == nil {
			used := parseProcessCost(text)
			c.Processor = &used
		}
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if usage, err := m.store.Usage(asking); err == nil {
		c.Redis = &usage.CPU
	}
	c.Broker = timeOf(m.brokers...)
	c.Self = timeOf(os.Getpid())
	return c
}

// between is what was used from one measurement to another.
func (c benchCost) since(before benchCost) benchCost {
	minus := func(a, b *time.Duration) *time.Duration {
		if a == nil || b == nil {
			return nil
		}
		d := *a - *b
		return &d
	}
	d := benchCost{Redis: minus(c.Redis, before.Redis), Broker: minus(c.Broker, before.Broker), Self: minus(c.Self, before.Self)}
	if c.Processor == nil {
		return d
	}
	var p processCost // a processor that was started in between began with nothing
	if before.Processor != nil {
		p = *before.Processor
	}
	d.Processor = &processCost{CPU: c.Processor.CPU - p.CPU, AllocBytes: c.Processor.AllocBytes - p.AllocBytes,
		Allocations: c.Processor.Allocations - p.Allocations, Resident: c.Processor.Resident}
	return d
}

// ticksEachSecond is the unit of times in /proc, the same on every Linux.
const ticksEachSecond = 100

// timeOf adds up the processor time of processes of this machine, user and system. It is nil where one cannot be read, as
// anywhere but on Linux, and where there is none.
func timeOf(pids ...int) *time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil
		}
		// The name of the program stands in parentheses and may hold anything; user and system time are the 12th and
		// 13th field behind it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 13 {
			return nil
		}
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return nil
			}
			sum += time.Duration(ticks) * time.Second / ticksEachSecond
		}
	}
	if len(pids) == 0 {
		return nil
	}
	return &sum
}

// residentOf is the memory of a process of this machine, 0 where it cannot be read.
func residentOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text)) // the second: pages that are resident
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// brokersHere are the process ids of all brokers of the cluster, none unless all of them listen on this machine in
// processes that this one may look at.
func brokersHere(ctx context.Context, admin *kadm.Client) []int {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	brokers, err := admin.ListBrokers(asking)
	if err != nil {
		return nil
	}
	var pids []int
	for _, b := range brokers {
		if !isHere(asking, b.Host) {
			return nil
		}
		pid := listenerOn(int(b.Port))
		if pid == 0 || pid == os.Getpid() {
			return nil
		}
		if !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isHere says whether a host name is one of this machine.
func isHere(ctx context.Context, host string) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(found, func(ip net.IPAddr) bool {
		return slices.ContainsFunc(own, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip.IP)
		})
	})
}

// listenerOn is the process that listens on a TCP port, 0 where it is not found.
func listenerOn(port int) int {
	var sockets []string
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		sockets = append(sockets, listening(string(text), port)...)
	}
	if len(sockets) == 0 {
		return 0
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right, and there is no other error
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && slices.Contains(sockets, target) {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2]) // the pattern asks for digits
			return pid
		}
	}
	return 0
}

// listening are the sockets that listen on a port, as links in /proc/*/fd name them, in the text of /proc/net/tcp.
func listening(text string, port int) (sockets []string) {
	const stateListen = "0A"
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 9 && fields[3] == stateListen && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			sockets = append(sockets, "socket:["+fields[9]+"]")
		}
	}
	return sockets
}
