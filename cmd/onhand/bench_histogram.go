package main

import (
	"math/bits"
	"strings"
	"time"
)

// benchHistogram counts durations in buckets no wider than 1/64 of what they hold, so that a percentile is at most 1.6 %
// above the truth. The zero value is empty.
type benchHistogram struct {
	buckets []uint64
	count   uint64
	sum     time.Duration
	longest time.Duration
}

// benchSubBits is how many bits below the highest tell buckets apart.
const benchSubBits = 6

// benchBucket is the number of the bucket of a duration, which is counted in microseconds.
func benchBucket(d time.Duration) int {
	us := uint64(max(0, d) / time.Microsecond)
	if us < 1<<benchSubBits {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - benchSubBits
	return shift<<benchSubBits + int(us>>shift)
}

// benchBucketTop is the longest duration of a bucket.
func benchBucketTop(n int) time.Duration {
	if n < 1<<benchSubBits {
		return time.Duration(n) * time.Microsecond
	}
	shift := n>>benchSubBits - 1
	return time.Duration((uint64(n-shift<<benchSubBits)+1)<<shift-1) * time.Microsecond
}

func (h *benchHistogram) add(d time.Duration) {
	n := benchBucket(d)
	if n >= len(h.buckets) {
		h.buckets = append(h.buckets, make([]uint64, n+1-len(h.buckets))...)
	}
	h.buckets[n]++
	h.count++
	h.sum += max(0, d)
	h.longest = max(h.longest, d)
}

// merge adds what the other one counted.
func (h *benchHistogram) merge(o *benchHistogram) {
	if len(o.buckets) > len(h.buckets) {
		h.buckets = append(h.buckets, make([]uint64, len(o.buckets)-len(h.buckets))...)
	}
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count, h.sum, h.longest = h.count+o.count, h.sum+o.sum, max(h.longest, o.longest)
}

// percentile is the duration that so many percent do not exceed; 0 where nothing was counted.
func (h *benchHistogram) percentile(percent float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank, seen := uint64(percent/100*float64(h.count)+0.999999), uint64(0)
	for i, n := range h.buckets {
		if seen += n; seen >= max(1, rank) {
			return min(benchBucketTop(i), h.longest)
		}
	}
	return h.longest
}

// benchBlocks are the eight heights of a sparkline.
var benchBlocks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values one beside the other, the highest as a full block; a value that is 0 or less is a space.
func sparkline(values []float64) string {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range values {
		if v <= 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(benchBlocks[min(len(benchBlocks)-1, int(v/most*float64(len(benchBlocks))))])
	}
	return b.String()
}
