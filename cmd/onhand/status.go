package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"onhand/cache"
	"onhand/processor/availability"
)

func newStatusCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every task: who runs it and how far it is",
		Long: `Show every task: the member that runs it, its epoch and commit sequence, the lag of both inputs in records, the version of
the location graph and how far its sweep is, and how the checkpoint in Redis stands to the offsets in Kafka. Redis is
behind by a batch or two while records flow, equal when they do not, and ahead only where Kafka's offsets were lost.`,
		Example: `  onhand status
  onhand status --watch
  onhand status --json | jq '.tasks[] | select(.inputs[0].lag > 1000)'`,
		Args: arguments(),
	}
	watch := cmd.Flags().Bool("watch", false, "repeat every second until Ctrl-C")
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		w, err := a.connect(ctx, c.Config)
		if err != nil {
			return err
		}
		defer w.close()
		store, noStore := openRedis(ctx, c.Config, nil)
		if noStore == nil {
			defer closeRead(store)
		}
		for {
			err := a.status(ctx, w, store, noStore, *asJSON)
			if ctx.Err() != nil && *watch {
				return nil
			}
			if err != nil || !*watch {
				return err
			}
			if sleep(ctx, time.Second) != nil {
				return nil
			}
			if isTerminal(a.out) && !*asJSON {
				fmt.Fprint(a.out, "\x1b[H\x1b[2J")
			}
		}
	}
	return cmd
}

// storedTask is what Redis knows of a task beside what Kafka does.
type storedTask struct {
	taskState
	Redis *storedCheckpoint `json:"redis"` // nil: Redis has none, or was not asked
}

// storedCheckpoint is the checkpoint in Redis.
type storedCheckpoint struct {
	Epoch     int64                      `json:"epoch"`
	CommitSeq int64                      `json:"commitSequence"`
	Offsets   [availability.Inputs]int64 `json:"offsets"`
	Behind    int64                      `json:"behind"` // records that Kafka's offsets are before it; below 0: Redis is ahead
	Version   int64                      `json:"version"`
}

// status prints once. Where Redis cannot be asked, its column says so and the rest is shown.
func (a *app) status(ctx context.Context, w *wire, store *cache.Redis, noStore error, asJSON bool) error {
	state, err := w.group(ctx)
	if err != nil {
		return err
	}
	tasks := make([]storedTask, len(state.Tasks))
	for i := range state.Tasks {
		tasks[i].taskState = state.Tasks[i]
		if noStore == nil {
			noStore = tasks[i].read(ctx, store)
		}
	}
	if asJSON {
		text := ""
		if noStore != nil {
			text = noStore.Error()
		}
		return printJSON(a.out, struct {
			State      string       `json:"state"`
			Members    int          `json:"members"`
			Tasks      []storedTask `json:"tasks"`
			RedisError string       `json:"redisError,omitempty"`
		}{state.State, state.Members, tasks, text})
	}
	t := newTable(">TASK", "MEMBER", ">EPOCH", ">COMMIT", ">DELTAS LAG", ">EVENTS LAG", ">GRAPH", "SWEEP", "REDIS")
	for i := range tasks {
		s := &tasks[i]
		t.add(s.Task, orDash(s.Member), s.Epoch, s.CommitSeq, s.Inputs[availability.Deltas].Lag, s.Inputs[availability.Events].Lag,
			s.GraphVersion, sweepText(&s.taskState, s.GraphVersion), s.redisText(noStore))
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "group %s is %s: %s, processes %v\n", w.names.ConsumerGroup(), state.State, plural(state.Members, "member"), state.processes())
	if noStore != nil {
		fmt.Fprintf(a.err, "Redis is not shown: %v\n", noStore)
	}
	return nil
}

// read asks Redis for the checkpoint.
func (s *storedTask) read(ctx context.Context, store *cache.Redis) error {
	return askRedis(ctx, store, func(ctx context.Context) error {
		at, err := store.Checkpoint(ctx, s.Task)
		if err != nil || at.CommitID == (availability.CommitID{}) {
			return err
		}
		s.Redis = &storedCheckpoint{Epoch: at.Epoch, CommitSeq: at.CommitSeq, Offsets: at.Offsets, Version: at.Version()}
		for i, input := range s.Inputs {
			s.Redis.Behind += max(0, input.Committed) - at.Offsets[i]
		}
		return nil
	})
}

// redisText says how the checkpoint in Redis stands to the offsets in Kafka.
func (s *storedTask) redisText(noStore error) string {
	switch {
	case s.Redis == nil && noStore != nil:
		return "?"
	case s.Redis == nil:
		return "none"
	case s.Redis.Behind == 0:
		return "equal"
	case s.Redis.Behind > 0:
		return "behind " + strconv.FormatInt(s.Redis.Behind, 10)
	}
	return "ahead " + strconv.FormatInt(-s.Redis.Behind, 10)
}
