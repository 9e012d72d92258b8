package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	settleMax   = 30 * time.Second // how long brokers may take to learn of what the controller did
	settlePause = 50 * time.Millisecond
)

// Apply creates topics that are missing and sets what can be set. It returns the differences that it removed, once the
// cluster shows them gone, and an error that lists the problems that remain. Nothing is deleted and no partitions are
// added. While a partition count is wrong no topic is created: its count might be as wrong. It may be repeated.
func Apply(ctx context.Context, admin *kadm.Client, s Settings) ([]Difference, error) {
	ctx, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	var done []Difference
	for {
		differences, err := Plan(ctx, admin, s)
		if err != nil {
			return done, err
		}
		todo := applicable(differences)
		if len(todo) == 0 {
			return done, problems(differences)
		}
		fresh := 0
		for _, d := range todo {
			if err := remove(ctx, admin, s, d); err != nil {
				return done, err
			}
			if !slices.ContainsFunc(done, d.same) {
				done, fresh = append(done, d), fresh+1
			}
		}
		if fresh > 0 {
			continue
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
			return done, fmt.Errorf("waiting for brokers to show %s: %w", todo[0].Topic, ctx.Err())
		}
	}
}

// applicable picks the differences that Apply removes.
func applicable(differences []Difference) []Difference {
	miscounted := slices.ContainsFunc(differences, func(d Difference) bool { return d.Kind == KindPartitions })
	var todo []Difference
	for _, d := range differences {
		if d.Fixable && !(miscounted && d.Kind == KindMissing) {
			todo = append(todo, d)
		}
	}
	return todo
}

func remove(ctx context.Context, admin *kadm.Client, s Settings, d Difference) error {
	if d.Kind == KindMissing {
		return create(ctx, admin, s, d)
	}
	responses, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: d.Setting, Value: &d.set}}, d.Topic)
	if err != nil {
		return fmt.Errorf("setting %s of %s: %w", d.Setting, d.Topic, err)
	}
	for _, r := range responses {
		if r.Err != nil {
			return fmt.Errorf("setting %s=%s of %s: %w", d.Setting, d.set, d.Topic, explain(r.Err, r.ErrMessage))
		}
	}
	return nil
}

func create(ctx context.Context, admin *kadm.Client, s Settings, d Difference) error {
	names, err := NamesOf(s.Namespace)
	if err != nil {
		return err
	}
	table := names.Table()
	t := table[slices.IndexFunc(table, func(t Topic) bool { return t.Name == d.Topic })]
	replicas := s.ReplicationFactor
	if replicas == 0 {
		replicas = -1 // the broker's default
	}
	configs := map[string]*string{}
	for _, c := range t.Configs {
		if !c.late {
			configs[c.Name] = &c.Value
		}
	}
	response, err := admin.CreateTopic(ctx, d.partitions, replicas, configs, t.Name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil // somebody else's Apply, or one whose answer was lost
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", t.Name, explain(err, response.ErrMessage))
	}
	return nil
}

// explain adds what the broker said, and a way out where there is a common one.
func explain(err error, message string) error {
	if message != "" {
		err = fmt.Errorf("%w: %s", err, message)
	}
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("%w; grant this user Create and AlterConfigs on the namespace's topics, or let an administrator apply", err)
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("%w; ask for at most as many replicas as there are brokers", err)
	case errors.Is(err, kerr.InvalidTopicException):
		return fmt.Errorf("%w; a topic whose name differs only in . and _ may exist: choose another namespace", err)
	}
	return err
}
