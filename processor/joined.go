package processor

import (
	"math"
	"slices"

	"onhand/processor/availability"
)

// Joined is a version of the location graph with which locations joined, and the next folded offset of an input when the task
// took that version over: what they had before it is gone.
type Joined struct {
	Version int64
	At      int64
}

// joined is a Joined of both inputs.
type joined struct {
	version int64
	at      [availability.Inputs]int64
}

// joinedMax bounds the versions remembered: 32 of at most 40 characters each are 1,280 of the 4,096 that a broker takes beside
// an offset by default (offset.metadata.max.bytes). It refuses the transaction that brings more.
const joinedMax = 32

// joinedOf returns what the committed offsets tell, oldest version first. Where a log begins after a position, no replay comes
// to what is before it: a version of which that is true in both inputs is left out.
func joinedOf(committed [availability.Inputs]offsets, starts [availability.Inputs]int64) (list []joined) {
	for input := range committed {
		if committed[input].metadata == nil {
			continue
		}
		for _, j := range committed[input].metadata.Joined {
			i := slices.IndexFunc(list, func(k joined) bool { return k.version == j.Version })
			if i < 0 {
				i = len(list)
				list = append(list, joined{version: j.Version})
			}
			list[i].at[input] = j.At
		}
	}
	slices.SortFunc(list, func(a, b joined) int { return int(a.version - b.version) })
	return slices.DeleteFunc(list, func(j joined) bool {
		for input := range j.at {
			if j.at[input] > starts[input] {
				return false
			}
		}
		return true
	})
}

// join returns the list with the versions that a batch makes the task's own: those above the last witnessed with which
// locations of the graph joined. Of older ones those stay that some location is still of, up to joinedMax, the newest.
func (t *task) join() []joined {
	versions := t.folder.Graph().Joined()
	list := slices.DeleteFunc(slices.Clone(t.joins), func(j joined) bool { return !slices.Contains(versions, j.version) })
	for _, v := range versions {
		if v > t.witnessed {
			list = append(list, joined{v, t.folded.Offsets})
		}
	}
	return list[max(0, len(list)-joinedMax):]
}

// voidFrom returns the version from which on locations had not joined yet when a record of a replayed range was folded first;
// the highest number: all had. Versions that no transaction told of were taken over at k or later.
func (t *task) voidFrom(input int, offset int64) int64 {
	if without.Joined {
		return math.MaxInt64
	}
	for _, j := range t.joins {
		if offset < j.at[input] {
			return j.version
		}
	}
	return t.witnessed + 1
}

// overlooks says whether a replay that begins there may give a location what it had before it left and joined again: it begins
// before the oldest version that is remembered, as many as can be are, and there were others before.
func (t *task) overlooks(from [availability.Inputs]int64) bool {
	if len(t.joins) < joinedMax || t.folder.Graph().Joined()[0] >= t.joins[0].version {
		return false
	}
	for input := range from {
		if from[input] < t.joins[0].at[input] {
			return true
		}
	}
	return false
}
