package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// benchNamespace is the namespace of a run: its topics, subjects and keys.
type benchNamespace struct {
	app     *app
	config  *Config
	admin   *kadm.Client
	names   topics.Names
	store   *cache.Redis
	made    bool // by us, so that it goes again
	present bool // the topics were there
	reused  bool // with the input that they held
	foreign bool // the system is not ours: its members may need the end of their sessions to be gone
}

// eraseWait bounds the end of a run: of what it made, nothing shall stay.
const eraseWait = 2 * time.Minute

// prepare makes the namespace, or checks that the one that is there is empty. With wipe, what it holds is deleted; with
// reuse all but what it holds in stock-deltas, if it holds something there.
func (n *benchNamespace) prepare(ctx context.Context, partitions int32, f *benchFlags) error {
	wipe := f.wipe
	if err := n.look(ctx); err != nil {
		return err
	}
	if f.reuse && n.present {
		if err := n.renew(ctx); err != nil || n.reused {
			return err
		}
	}
	full, err := n.full(ctx)
	if err != nil {
		return err
	}
	if full != "" && !wipe {
		return hinted(fmt.Errorf("namespace %s is in use: %s", n.config.Namespace, full),
			"leave --namespace out for one of its own, name one that does not exist, or delete what it holds with --wipe")
	}
	if full != "" {
		if err := n.erase(ctx); err != nil {
			return err
		}
		n.present = false
	}
	if n.present {
		return n.register(ctx)
	}
	n.made = true
	if _, err := topics.Apply(ctx, n.admin, topics.Settings{Namespace: n.config.Namespace, Partitions: partitions}); err != nil {
		return explainKafka(n.config, fmt.Errorf("creating the topics of %s: %w", n.config.Namespace, err))
	}
	return n.register(ctx)
}

// look finds out whether the topics are there.
func (n *benchNamespace) look(ctx context.Context) error {
	all, err := n.admin.ListTopics(ctx)
	if err != nil {
		return explainKafka(n.config, err)
	}
	var have []string
	for _, name := range n.names.All() {
		if detail, ok := all[name]; ok && detail.Err == nil {
			have = append(have, name)
		}
	}
	n.present = len(have) == len(n.names.All())
	if len(have) > 0 && !n.present {
		return hinted(fmt.Errorf("namespace %s has some of its topics, %s, and not all", n.config.Namespace, strings.Join(have, ", ")),
			"name another with --namespace, or complete it with `onhand topics apply`")
	}
	return nil
}

// full says what the namespace holds that a run would disturb, "" if nothing.
func (n *benchNamespace) full(ctx context.Context) (string, error) {
	partitions := int32(topics.DefaultPartitions)
	if n.present {
		var err error
		if partitions, err = topics.Partitions(ctx, n.admin, n.names); err != nil {
			return "", err
		}
		ends, err := n.admin.ListEndOffsets(ctx, n.names.All()...)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return "", explainKafka(n.config, fmt.Errorf("asking for the ends of the topics: %w", err))
		}
		found := ""
		ends.Each(func(o kadm.ListedOffset) {
			if o.Offset > 0 && (found == "" || o.Topic < found) {
				found = o.Topic
			}
		})
		if found != "" {
			return "topic " + found + " has records", nil
		}
	}
	for task := range partitions {
		var c availability.Checkpoint
		err := askRedis(ctx, n.store, func(ctx context.Context) (err error) {
			c, err = n.store.Checkpoint(ctx, task)
			return err
		})
		if err != nil {
			return "", err
		}
		if c.CommitID != (availability.CommitID{}) && c.Offsets != c.Origin {
			return fmt.Sprintf("Redis has the state of task %d", task), nil
		}
	}
	return "", nil
}

// register registers the schemas.
func (n *benchNamespace) register(ctx context.Context) error {
	return n.withRegistry(func(registry *schemas.Registry) error {
		_, err := registry.RegisterAll(ctx, n.config.Namespace)
		return err
	})
}

func (n *benchNamespace) withRegistry(what func(*schemas.Registry) error) error {
	registry, err := openRegistry(n.config, n.app.quietLogger(n.config))
	if err != nil {
		return err
	}
	defer registry.Close()
	return explainRegistry(n.config, what(registry))
}

// publish publishes a graph and, where swept is set, waits until every SKU was computed with it.
func (n *benchNamespace) publish(ctx context.Context, g *schemas.LocationGraph, swept bool) error {
	silent := &app{in: n.app.in, out: io.Discard, err: io.Discard, environ: n.app.environ}
	asJSON := false
	f := &publishFlags{noWait: !swept, swept: swept, force: true, expected: -1, timeout: 10 * time.Minute, asJSON: &asJSON}
	if err := silent.publishGraph(ctx, n.config, g, f); err != nil {
		return fmt.Errorf("publishing the location graph: %w", err)
	}
	return nil
}

// leave deletes what was made, also when ctx has ended.
func (n *benchNamespace) leave(ctx context.Context) error {
	if !n.made {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eraseWait)
	defer cancel()
	if err := n.erase(ctx); err != nil {
		return hinted(fmt.Errorf("removing namespace %s: %w", n.config.Namespace, err),
			fmt.Sprintf("`onhand bench --namespace %s --wipe` removes what is left, then runs there", n.config.Namespace))
	}
	return nil
}

// erase deletes topics, consumer group, subjects and keys, whoever made them.
func (n *benchNamespace) erase(ctx context.Context) error {
	partitions := int32(topics.DefaultPartitions)
	if counted, err := topics.Partitions(ctx, n.admin, n.names); err == nil {
		partitions = counted
	} else if c, err := n.store.Checkpoint(ctx, 0); err == nil {
		partitions = max(partitions, c.Partitions)
	}
	problems := []error{n.eraseGroup(ctx), n.eraseTopics(ctx, n.names.All()...)}
	problems = append(problems, n.withRegistry(func(registry *schemas.Registry) error { return registry.Unregister(ctx, n.config.Namespace) }))
	for task := range partitions {
		problems = append(problems, n.store.Erase(ctx, task))
	}
	problems = append(problems, n.store.EraseSchemas(ctx), n.awaitGone(ctx, n.names.All()...))
	return errors.Join(problems...)
}

// renew deletes what a system has made of the input, and makes the outputs anew. Where there is no input it does nothing.
func (n *benchNamespace) renew(ctx context.Context) error {
	partitions, err := topics.Partitions(ctx, n.admin, n.names)
	if err != nil {
		return err
	}
	ends, err := n.admin.ListEndOffsets(ctx, n.names.StockDeltas)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return explainKafka(n.config, fmt.Errorf("asking for the ends of the input: %w", err))
	}
	ends.Each(func(o kadm.ListedOffset) { n.reused = n.reused || o.Offset > 0 })
	if !n.reused {
		return nil
	}
	outputs := []string{n.names.AvailabilityUpdates, n.names.ReservationResults, n.names.DeadLetters}
	problems := []error{n.eraseGroup(ctx), n.eraseTopics(ctx, outputs...)}
	for task := range partitions {
		problems = append(problems, n.store.Erase(ctx, task))
	}
	if err := errors.Join(append(problems, n.awaitGone(ctx, outputs...))...); err != nil {
		return fmt.Errorf("deleting what stands besides the input: %w", err)
	}
	if _, err := topics.Apply(ctx, n.admin, topics.Settings{Namespace: n.config.Namespace, Partitions: partitions}); err != nil {
		return explainKafka(n.config, fmt.Errorf("creating the outputs of %s: %w", n.config.Namespace, err))
	}
	return nil
}

// madeBySystem says whether a topic is one that another system has made for itself under the name of the group: a table or a
// loop of goka, a changelog or a repartitioned stream of Kafka Streams. There may be a namespace acme.processor-eu beside
// acme, but its topics have a dot behind it.
func madeBySystem(topic, group string) bool {
	rest, ours := strings.CutPrefix(topic, group)
	return ours && !strings.Contains(rest, ".") && slices.ContainsFunc([]string{"-table", "-loop", "-changelog", "-repartition"}, func(kind string) bool {
		return strings.HasPrefix(rest, "-") && strings.HasSuffix(rest, kind)
	})
}

// eraseTopics deletes topics, and those that a system has made for itself.
func (n *benchNamespace) eraseTopics(ctx context.Context, names ...string) error {
	all, err := n.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("asking for the topics: %w", err)
	}
	for _, name := range all.Names() {
		if madeBySystem(name, n.names.ConsumerGroup()) {
			names = append(names, name)
		}
	}
	deleted, err := n.admin.DeleteTopics(ctx, names...)
	problems := []error{err}
	for _, topic := range deleted.Sorted() {
		if !errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			problems = append(problems, topic.Err)
		}
	}
	return errors.Join(problems...)
}

// eraseGroup deletes the consumer group. Members of a stable name do not leave it when they end.
func (n *benchNamespace) eraseGroup(ctx context.Context) error {
	group := n.names.ConsumerGroup()
	described, err := n.admin.DescribeGroups(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("asking for the consumer group: %w", err)
	}
	var instances []string
	for _, m := range described[group].Members {
		if m.InstanceID != nil {
			instances = append(instances, *m.InstanceID)
		}
	}
	if len(instances) > 0 {
		if _, err := n.admin.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instances...)); err != nil {
			return fmt.Errorf("emptying the consumer group: %w", err)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, eraseWait)
	defer cancel()
	for {
		answer, err := n.admin.DeleteGroups(ctx, group)
		if err == nil {
			err = answer[group].Err
		}
		switch {
		case n.foreign && errors.Is(err, kerr.NonEmptyGroup) && sleep(waiting, 100*time.Millisecond) == nil:
		case err != nil && !errors.Is(err, kerr.GroupIDNotFound):
			return fmt.Errorf("deleting the consumer group: %w", err)
		default:
			return nil
		}
	}
}

// awaitGone waits until no broker shows the topics any more: only then they can be created again.
func (n *benchNamespace) awaitGone(ctx context.Context, names ...string) error {
	for {
		all, err := n.admin.ListTopics(ctx)
		if err != nil {
			return fmt.Errorf("asking for the topics: %w", err)
		}
		if !slices.ContainsFunc(names, all.Has) {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the topics to go: %w", err)
		}
	}
}
