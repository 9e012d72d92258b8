package cache

import (
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"onhand/processor/availability"
)

// A sample has skus SKUs at locationsEach locations: each cell with a count of a date of its own, every second with a
// movement, every twentieth with a reservation of one line that expires. No two locations are in the same groups.
const (
	sampleSKUs    = 1000
	locationsEach = 20
	commitCells   = 1000
)

func sampleSKU(n int) availability.SKU { return availability.SKU(fmt.Sprintf("SKU-%08d", n)) }

func (r *random) sampleCell(location int) availability.Cell {
	at := year2026 + availability.Instant(r.Int64N(int64(24*availability.Hour)))
	c := counted(availability.LocationID(fmt.Sprintf("location-%03d", location)), r.IntN(200))
	c.CountedAt = at
	if location%2 == 0 {
		c.Movements = []availability.Movement{{At: at + availability.Instant(r.Int64N(int64(availability.Hour))), Quantity: -availability.Quantity(1+r.IntN(5)) * availability.Unit}}
	}
	return c
}

func (r *random) sampleStock(n int) availability.StockData {
	d := stocked(sampleSKU(n))
	for location := range locationsEach {
		c := r.sampleCell(location)
		if r.one(20) {
			c.Reserved = 2 * availability.Unit
			expires := c.CountedAt + availability.Hour
			d.Reservations = append(d.Reservations, availability.ReservationData{
				ID: fmt.Sprintf("order-%d-%d", n, location), DueAdded: []availability.Instant{expires},
				Reservation: &availability.Reservation{
					Lines: []availability.Line{{Place: availability.Place{Type: availability.LocationPlace, ID: string(c.Location)}, Quantity: c.Reserved, ExpiresAt: expires}},
					Requests: []availability.Request{{ID: r.Uint64(), Content: r.Uint64(), At: c.CountedAt,
						Result: availability.Result{Requested: c.Reserved, Granted: c.Reserved, Version: 1<<40 + int64(n)}}},
				},
			})
		}
		d.Cells = append(d.Cells, c)
	}
	return d
}

// fill commits the sample.
func (c *chain) fill(s store, r *random) {
	for n := 0; n < sampleSKUs; n += commitCells / locationsEach {
		commit := c.next()
		for i := range commitCells / locationsEach {
			commit.Stocks = append(commit.Stocks, r.sampleStock(n+i))
		}
		c.commit(s, commit)
	}
}

// TestBytesPerBalance holds the memory that Redis needs, which decides how large a server an operator rents.
func TestBytesPerBalance(t *testing.T) {
	const most = 60
	url := realURL(t, "redis")
	if url == "" {
		return
	}
	s, c := openRedis(t, url, Options{}), &chain{t: t}
	c.fill(s, newRandom(t))
	var all int64
	kinds := map[string]int64{}
	for _, key := range allKeys(t, s) {
		bytes := s.client.MemoryUsage(t.Context(), key).Val()
		kind := strings.Split(key, ":")[2]
		kinds[kind], all = kinds[kind]+bytes, all+bytes
		if encoding := s.client.ObjectEncoding(t.Context(), key).Val(); (kind == "s" || kind == "r" || kind == "l") && encoding != "listpack" && encoding != "ziplist" {
			t.Errorf("%s is a %s", key, encoding)
		}
	}
	each := float64(all) / (sampleSKUs * locationsEach)
	t.Logf("%.1f bytes for each balance", each)
	for kind, bytes := range kinds {
		t.Logf("%4.1f of them in %s keys", float64(bytes)/(sampleSKUs*locationsEach), kind)
	}
	if each > most {
		t.Errorf("%.1f bytes for each balance, not %d at most", each, most)
	}
}

// benchRedis is the real single Redis, where there is one, or a miniredis.
func benchRedis(b *testing.B) *Redis {
	b.Helper()
	url := os.Getenv(realServers["redis"])
	if url == "" {
		m := miniredis.NewMiniRedis()
		if err := m.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(m.Close)
		url = "redis://" + m.Addr()
	}
	s, err := Open(b.Context(), url, Options{Namespace: "test-" + rand.Text()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		restore(b, s, nil)
		_ = s.Close()
	})
	return s
}

// processorTime is what Redis says it has used, in seconds; 0 of a miniredis.
func processorTime(b *testing.B, s *Redis) float64 {
	info := s.client.Info(b.Context(), "cpu").Val()
	user, _ := strconv.ParseFloat(field(info, "used_cpu_user"), 64)
	system, _ := strconv.ParseFloat(field(info, "used_cpu_sys"), 64)
	return user + system
}

// BenchmarkCommit commits a thousand cells, so many of each SKU, to a sample that stands.
func BenchmarkCommit(b *testing.B) {
	for _, each := range []int{1, 4, 20} {
		b.Run(fmt.Sprintf("cells=%d/each=%d", commitCells, each), func(b *testing.B) {
			s, c, r := benchRedis(b), &chain{t: b}, newRandom(b)
			c.fill(s, r)
			used := processorTime(b, s)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				commit := c.next()
				for _, n := range r.Perm(sampleSKUs)[:commitCells/each] {
					d := availability.StockData{SKU: sampleSKU(n), Exists: true, GraphVersion: 1}
					for i := range each {
						d.Cells = append(d.Cells, r.sampleCell((n+7*i)%locationsEach))
					}
					commit.Stocks = append(commit.Stocks, d)
				}
				b.StartTimer()
				c.commit(s, commit)
			}
			reportPer(b, s, used, commitCells, "cell")
			if at, err := s.Checkpoint(b.Context(), number); err != nil || at.CommitID != c.last {
				b.Errorf("the checkpoint is %+v: %v", at, err)
			}
		})
	}
}

// BenchmarkLoad loads a hundred whole SKUs of the sample.
func BenchmarkLoad(b *testing.B) {
	const at = 100
	s, c, r := benchRedis(b), &chain{t: b}, newRandom(b)
	c.fill(s, r)
	used := processorTime(b, s)
	b.ReportAllocs()
	for b.Loop() {
		var wants []availability.Want
		for _, n := range r.Perm(sampleSKUs)[:at] {
			wants = append(wants, availability.Want{SKU: sampleSKU(n), All: true})
		}
		stocks, _, err := s.Load(b.Context(), number, nil, wants)
		if err != nil || len(stocks) != at || len(stocks[at-1].Cells) != locationsEach {
			b.Fatalf("%d SKUs: %v", len(stocks), err)
		}
	}
	reportPer(b, s, used, at*locationsEach, "cell")
}

func reportPer(b *testing.B, s *Redis, used float64, n int, unit string) {
	b.ReportMetric((processorTime(b, s)-used)*1e6/float64(b.N*n), "redis-µs/"+unit)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/"+unit)
}

// BenchmarkPack turns a commit of a thousand cells, four of each SKU, into the arguments of its script.
func BenchmarkPack(b *testing.B) {
	r, k := newRandom(b), keysOf("onhand", number)
	commit := new(availability.Commit)
	for n := range commitCells / 4 {
		d := availability.StockData{SKU: sampleSKU(n), Exists: true, GraphVersion: 1}
		for i := range 4 {
			d.Cells = append(d.Cells, r.sampleCell((n+7*i)%locationsEach))
		}
		commit.Stocks = append(commit.Stocks, d)
	}
	b.ReportAllocs()
	for b.Loop() {
		w, err := pack(k, newDictionary(nil), func(availability.SKU) bool { return false }, commit)
		if err != nil {
			b.Fatal(err)
		}
		if keys, _ := w.call(); len(keys) != 3+commitCells/4 { // the names twice
			b.Fatalf("%d keys", len(keys))
		}
	}
}
