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

// request publishes one reservation event and waits for its result. It stands ready to read before it publishes: the
// result may come before the acknowledgement does.
func (a *app) request(ctx context.Context, c *Config, e *availability.ReservationEvent, f *reservationFlags) (*topics.Decision, error) {
	w, err := a.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer w.close()
	writer, err := w.writer(ctx, "reservation-events")
	if err != nil {
		return nil, err
	}
	record := writer.Event(e)
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, end, err := logBounds(asking, c, w.client, w.names.ReservationResults, record.Partition)
	if err != nil {
		return nil, err
	}
	results, err := connectKafka(ctx, c, w.log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.names.ReservationResults: {record.Partition: kgo.NewOffset().At(end)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(time.Second))
	if err != nil {
		return nil, err
	}
	defer results.Close()
	if err := w.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return nil, unanswered(e, "it may be published all the same,", explainKafka(c, fmt.Errorf("publishing the event: %w", err)))
	}
	waiting, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	d, err := w.awaitResult(waiting, results, topics.SourceAt(record))
	if errors.Is(err, context.DeadlineExceeded) && waiting.Err() != nil && ctx.Err() == nil {
		err = w.noAnswer(ctx, e, record.Partition, f.timeout)
	}
	if err != nil {
		return nil, unanswered(e, "it is published", err)
	}
	if f.waitLevel {
		if err := awaitLevel(ctx, c, record.Partition, d.Result.Version, f.timeout); err != nil {
			return d, fmt.Errorf("waiting for the level: %w", err)
		}
	}
	return d, nil
}

// unanswered adds to what went wrong after an event may have been published that it is safe to ask again, and how: without
// its ids the command would make another reservation.
func unanswered(e *availability.ReservationEvent, published string, err error) error {
	again := fmt.Sprintf("%s and will be decided; the same command with --request %s --reservation %s asks again, and does nothing twice", published, e.RequestID, e.ReservationID)
	if errors.Is(err, context.Canceled) {
		return interruptedf("%s", again)
	}
	var hint *hintError
	if errors.As(err, &hint) {
		again = hint.hint + "; " + again
	}
	return hinted(err, again)
}

// awaitResult reads until the result of the event at source comes.
func (w *wire) awaitResult(ctx context.Context, client *kgo.Client, source topics.Source) (*topics.Decision, error) {
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := readError(client, fetches); err != nil {
			return nil, explainKafka(w.config, fmt.Errorf("reading %s: %w", w.names.ReservationResults, err))
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			if from, err := topics.SourceOf(r); err != nil || from != source {
				continue
			}
			var d topics.Decision
			if err := w.reader.Result(ctx, r, &d); err != nil {
				return nil, explainRegistry(w.config, fmt.Errorf("reading the result: %w", err))
			}
			return &d, nil
		}
	}
}

// awaitLevel waits until Redis is as new as the version.
func awaitLevel(ctx context.Context, c *Config, task int32, version int64, timeout time.Duration) error {
	store, err := openRedis(ctx, c, nil)
	if err != nil {
		return err
	}
	defer closeRead(store)
	_, err = awaitVersion(ctx, store, task, version, timeout)
	return err
}
