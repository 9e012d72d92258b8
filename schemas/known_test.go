package schemas

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a Lookup that counts what it is asked and answers as it is told.
type scripted struct {
	asked  atomic.Int64
	answer func(ctx context.Context, id int) (string, error)
}

func (s *scripted) Schema(ctx context.Context, id int) (string, error) {
	s.asked.Add(1)
	return s.answer(ctx, id)
}

func deltaValue(id int) []byte {
	rec := sampleDelta()
	return AppendStockDelta(nil, id, &rec)
}

func TestKnownIdsOutliveTheRegistry(t *testing.T) {
	up := true
	lookup := &scripted{answer: func(context.Context, int) (string, error) {
		if !up {
			return "", errors.New("connection refused")
		}
		return recordStockDelta.text(), nil
	}}
	learned := make(map[int]string)
	d := NewDecoder(lookup, DecoderOptions{Learned: func(id int, text string) { learned[id] = text }})
	var into StockDelta
	for range 3 {
		if err := d.DecodeStockDelta(t.Context(), deltaValue(7), &into); err != nil {
			t.Fatal(err)
		}
	}
	up = false
	if err := d.DecodeStockDelta(t.Context(), deltaValue(7), &into); err != nil {
		t.Fatalf("a known id: %v", err)
	}
	if err := d.DecodeStockDelta(t.Context(), deltaValue(8), &into); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("an unknown id: %v, want ErrUnavailable", err)
	}
	up = true
	if err := d.DecodeStockDelta(t.Context(), deltaValue(8), &into); err != nil {
		t.Fatalf("after the outage: %v", err)
	}
	if n := lookup.asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
	if want := map[int]string{7: recordStockDelta.text(), 8: recordStockDelta.text()}; !maps.Equal(learned, want) {
		t.Errorf("learned %v", learned)
	}

	// The next process starts with what this one learned, and without a registry.
	up = false
	learned[9] = "{ damaged"
	d = NewDecoder(lookup, DecoderOptions{Preload: learned})
	if err := d.DecodeStockDelta(t.Context(), deltaValue(7), &into); err != nil {
		t.Fatalf("a preloaded id: %v", err)
	}
	if err := d.DecodeStockDelta(t.Context(), deltaValue(9), &into); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a damaged entry: %v, want ErrUnavailable", err)
	}
}

func TestUnknownIdsAreNotAskedForAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exists := false
		lookup := &scripted{answer: func(context.Context, int) (string, error) {
			if !exists {
				return "", ErrUnknownSchema
			}
			return recordStockDelta.text(), nil
		}}
		d := NewDecoder(lookup, DecoderOptions{UnknownFor: 10 * time.Second})
		var into StockDelta
		for range 1000 {
			if err := d.DecodeStockDelta(t.Context(), deltaValue(5), &into); !errors.Is(err, ErrUnknownSchema) {
				t.Fatal(err)
			}
		}
		if n := lookup.asked.Load(); n != 1 {
			t.Fatalf("asked %d times, want 1", n)
		}
		exists = true
		<-time.After(10 * time.Second)
		if err := d.DecodeStockDelta(t.Context(), deltaValue(5), &into); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKnownSchemasAreBounded(t *testing.T) {
	lookup := &scripted{answer: func(context.Context, int) (string, error) { return recordStockDelta.text(), nil }}
	d := NewDecoder(lookup, DecoderOptions{SchemasMax: 10})
	var into StockDelta
	for range 2 {
		for id := 1; id <= 30; id++ {
			if err := d.DecodeStockDelta(t.Context(), deltaValue(id), &into); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(*d.known.writers.Load()); n != 10 {
		t.Errorf("%d schemas kept, want 10", n)
	}
	if n := lookup.asked.Load(); n != 30+20 {
		t.Errorf("asked %d times, want 50: once for those kept, twice for the rest", n)
	}

	lookup.answer = func(context.Context, int) (string, error) { return "", ErrUnknownSchema }
	for id := 100; id < 200; id++ {
		if err := d.DecodeStockDelta(t.Context(), deltaValue(id), &into); !errors.Is(err, ErrUnknownSchema) {
			t.Fatal(err)
		}
	}
	if n := len(d.known.unknown); n > 10 {
		t.Errorf("%d unknown ids kept, want at most 10", n)
	}
}

// Goroutines that meet the same new id at once ask once, and one whose context ends while it waits stops waiting.
func TestWaitingForASchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		lookup := &scripted{answer: func(context.Context, int) (string, error) {
			<-answer
			return recordStockDelta.text(), nil
		}}
		d := NewDecoder(lookup, DecoderOptions{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				var into StockDelta
				if err := d.DecodeStockDelta(t.Context(), deltaValue(3), &into); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var into StockDelta
		err := d.DecodeStockDelta(impatient, deltaValue(3), &into)
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(answer)
		all.Wait()
		if n := lookup.asked.Load(); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
	})
}

// Many goroutines decode while ids are being learned; -race looks on.
func TestDecodersAreShared(t *testing.T) {
	lookup := &scripted{answer: func(_ context.Context, id int) (string, error) {
		if id%2 == 0 {
			return recordStockDelta.text(), nil
		}
		return deltaWith("onHand", fmt.Sprintf(`["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":%d}]`, id%9)), nil
	}}
	d := NewDecoder(lookup, DecoderOptions{})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			var into StockDelta
			for i := range 200 {
				id := 1 + (i*7+g)%40
				value := valueWith(0)
				if id%2 == 0 {
					value = deltaValue(1)
				}
				copy(value, frame(id))
				if err := d.DecodeStockDelta(t.Context(), value, &into); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// A schema that is no Avro is remembered as such: its values must not cost a request each.
func TestForeignSchemasAreAskedForOnce(t *testing.T) {
	lookup := &scripted{answer: func(context.Context, int) (string, error) {
		return "", fmt.Errorf("%w: a schema of type PROTOBUF, not Avro", ErrWrongRecordType)
	}}
	d := NewDecoder(lookup, DecoderOptions{})
	var into StockDelta
	for range 3 {
		if err := d.DecodeStockDelta(t.Context(), deltaValue(1), &into); !errors.Is(err, ErrWrongRecordType) {
			t.Fatal(err)
		}
	}
	if n := lookup.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
}
