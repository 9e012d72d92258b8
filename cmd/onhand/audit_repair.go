package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// A repair goes through the processor, never past it: the audit tells the task to compute a SKU anew and to publish all its
// levels, by a record of stock-deltas, and looks again when the task has done it.

const (
	// repairRound is how many SKUs a task is told of at once: it loads them whole, and Redis serves nobody else meanwhile.
	repairRound = 100
	// repairPause is the time between two looks at how far the task is.
	repairPause = 50 * time.Millisecond
)

// auditRepair is a SKU with differences, and what its task is told.
type auditRepair struct {
	sku        availability.SKU
	above      int64    // the highest version in the topic that the task has not published
	places     []string // that the topic has and the SKU may not have
	impossible string   // why it cannot be repaired; empty: it can
}

// repairReport is what a repair comes to.
type repairReport struct {
	SKUs        int               `json:"skus"`       // told of
	Impossible  []auditUnsettled  `json:"impossible"` // SKUs that cannot be repaired, and why: the first of them
	Different   int               `json:"different"`  // differences that remain
	Differences []auditDifference `json:"differences"`
	Unsettled   []auditUnsettled  `json:"unsettled"` // SKUs that could not be compared again
	Waiting     int               `json:"waiting"`
}

// repairOf says what has to be told of a SKU that differs.
func (t *auditTask) repairOf(s *auditedSKU) auditRepair {
	r := auditRepair{sku: s.sku}
	for i, key := range t.published.skus[s.sku] {
		version, foreign := t.foreignVersion(s, &t.published.skus[s.sku][i])
		if foreign {
			r.above = max(r.above, version)
		}
		there := s.corrupt == "" && levelAt(s.audit.Levels, s.sku, key.place).Present
		if !there && (foreign || key.newest.digest != digestGone) {
			r.places = append(r.places, key.place)
		}
	}
	if r.above > topics.InstructionAboveMax {
		r.impossible = fmt.Sprintf("version %d in the topic is above all that a task may publish: delete and apply the topic anew, empty the caches that follow it, and repair", r.above)
	}
	if topics.PartitionOf(s.sku, t.wire.partitions) != t.number {
		r.impossible = "its records stand in a partition that is not that of the SKU: no task publishes there; delete them, or let retention do it"
	} else if err := availability.CheckSKU(string(s.sku)); err != nil {
		r.impossible = "no task has it, for " + err.Error() + "; delete its records from the topic"
	}
	return r
}

// repair tells the task of the SKUs that differ, waits until it has published them, and looks at them again.
func (t *auditTask) repair(ctx context.Context, bar *progress) error {
	report := t.report.Repair
	if len(t.repairs) == 0 {
		return nil
	}
	var names []string
	var told []auditRepair
	for _, r := range t.repairs {
		names = append(names, string(r.sku))
		if r.impossible == "" {
			if err := t.readable(ctx, &r); err != nil {
				return err
			}
		}
		if r.impossible == "" {
			told = append(told, r)
		} else if len(report.Impossible) < auditListMax {
			report.Impossible = append(report.Impossible, auditUnsettled{t.number, string(r.sku), r.impossible})
		}
	}
	for done := 0; done < len(told); done += repairRound {
		bar.note(fmt.Sprintf("repairing: task %d, %d of %s", t.number, done, plural(len(told), "SKU")))
		if err := t.tell(ctx, told[done:min(len(told), done+repairRound)]); err != nil {
			return err
		}
	}
	report.SKUs += len(told)
	again := *t.flags
	again.skus, again.repair = names, false
	again.name()
	look := &auditTask{flags: &again, wire: t.wire, store: t.store, number: t.number, report: &auditReport{}, show: func(int) {}}
	if err := look.audit(ctx); err != nil {
		return err
	}
	report.take(look.report)
	return nil
}

// readable marks a SKU as impossible to repair where its task could not load it.
func (t *auditTask) readable(ctx context.Context, r *auditRepair) error {
	err := askRedis(ctx, t.store, func(ctx context.Context) error {
		_, _, err := t.store.Load(ctx, t.number, nil, []availability.Want{{SKU: r.sku, Whole: true}})
		return err
	})
	if errors.Is(err, availability.ErrCorrupt) {
		r.impossible = err.Error() + ": counts and reservations come from nowhere else; restore a snapshot"
		return nil
	}
	return err
}

// tell writes the instructions and waits until Redis reflects them, and so the topic.
func (t *auditTask) tell(ctx context.Context, round []auditRepair) error {
	group, err := t.wire.group(ctx)
	if err != nil {
		return err
	}
	if group.Members == 0 {
		return hinted(errors.New("nobody is told to repair anything, for no processor runs"), "start one with `onhand run`, then repair again")
	}
	writer := topics.NewWriter(t.wire.names, topics.IDs{}, t.wire.partitions)
	var records []*kgo.Record
	for i := range round {
		for _, instruction := range round[i].instructions() {
			records = append(records, writer.Instruction(&instruction, time.Now()))
		}
	}
	last := int64(-1)
	for _, result := range t.wire.client.ProduceSync(ctx, records...) {
		if result.Err != nil {
			return explainKafka(t.wire.config, fmt.Errorf("telling task %d to repair: %w", t.number, result.Err))
		}
		last = max(last, result.Record.Offset)
	}
	return t.awaitFolded(ctx, last)
}

// instructions are one, or several where the places are more than fit in one.
func (r *auditRepair) instructions() (list []topics.Instruction) {
	next := topics.Instruction{Kind: topics.Republish, SKU: r.sku, Above: r.above}
	bytes := 0
	for _, place := range r.places {
		if bytes += len(place) + 1; bytes > topics.InstructionBytesMax {
			list = append(list, next)
			next.Places, bytes = nil, len(place)+1
		}
		next.Places = append(next.Places, place)
	}
	return append(list, next)
}

// awaitFolded waits until Redis has what the task made of its stock-deltas up to an offset.
func (t *auditTask) awaitFolded(ctx context.Context, offset int64) error {
	deadline := time.Now().Add(t.flags.timeout)
	for {
		at, err := t.checkpoint(ctx)
		if err != nil {
			return err
		}
		if at.Offsets[availability.Deltas] > offset {
			return nil
		}
		if time.Now().After(deadline) {
			return hinted(fmt.Errorf("after %s task %d has not folded what it was told, offset %d of its stock-deltas; it will when it goes on", shortDuration(t.flags.timeout), t.number, offset),
				"`onhand status` says how it is; then audit again")
		}
		if err := sleep(ctx, repairPause); err != nil {
			return err
		}
	}
}

// take adds what the second look has found.
func (r *repairReport) take(look *auditReport) {
	r.Different += look.Different
	r.Differences = append(r.Differences, look.Differences[:min(len(look.Differences), auditListMax-len(r.Differences))]...)
	r.Waiting += look.Waiting
	r.Unsettled = append(r.Unsettled, look.Unsettled[:min(len(look.Unsettled), auditListMax-len(r.Unsettled))]...)
}

// foreignFor is how long a version must stand above what Kafka knows of the task before it is called another writer's: the
// markers of a transaction do not come to every partition at once.
const foreignFor = time.Second

// foreignSeen is a version that was seen above what the task has published, and when first.
type foreignSeen struct {
	version int64
	since   time.Time
}

// foreignVersion returns the version of a key that the task has not given out: the newest record's, once it has stood long
// enough above what the task has published, or one that lower versions came after.
func (t *auditTask) foreignVersion(s *auditedSKU, key *publishedKey) (version int64, foreign bool) {
	if seen := s.foreign[key.place]; seen.version == key.newest.version && !seen.since.IsZero() && time.Since(seen.since) >= foreignFor {
		return seen.version, true
	}
	if higher := t.published.higher[publishedName{s.sku, key.place}]; higher > key.newest.version && key.newest.digest != digestUnreadable {
		return higher, true
	}
	return 0, false
}

// ahead notes whether the newest record of a key has a version above the newest that the task is known to have published.
func (s *auditedSKU) ahead(key *publishedKey, known int64, now time.Time) {
	if key.newest.version <= known {
		delete(s.foreign, key.place)
		return
	}
	if s.foreign == nil {
		s.foreign = make(map[string]foreignSeen)
	}
	if s.foreign[key.place].version != key.newest.version {
		s.foreign[key.place] = foreignSeen{key.newest.version, now}
	}
}

// printRepair says what became of a repair.
func (a *app) printRepair(r *auditReport) error {
	repair := r.Repair
	if repair == nil {
		return nil
	}
	if err := a.printDifferences(repair.Differences, repair.Different); err != nil {
		return err
	}
	a.printUnsettled(repair.Impossible, "not repaired", 0)
	a.printUnsettled(repair.Unsettled, "not compared again", repair.Waiting-len(repair.Unsettled))
	text := fmt.Sprintf("%s published anew: ", plural(repair.SKUs, "SKU"))
	switch {
	case repair.Different > 0:
		text += plural(repair.Different, "difference") + " remain"
	case repair.Waiting > 0:
		text += plural(repair.Waiting, "SKU") + " not compared again; audit again, or see `onhand status`"
	default:
		text += "no difference remains"
	}
	if _, err := fmt.Fprintln(a.out, text); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
