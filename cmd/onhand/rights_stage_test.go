package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"onhand/topics"
)

// guarded is a stage whose Kafka wants a SCRAM password and grants nothing by itself, and whose Redis, where it is a real
// one, does the same.
type guarded struct {
	*stage
	kafka  *kgo.Client // the super user's
	admin  *kadm.Client
	redis  *redis.Client // the super user's
	guards bool          // Redis has users
	users  map[topics.UserRole][]string
}

const (
	rootUser     = "admin"
	rootPassword = "admin-secret"
	userPassword = "of-a-user"
)

// onGuardedStages runs a test on real services where they are named, else on stand-ins in this process.
func onGuardedStages(t *testing.T, test func(*guarded)) {
	t.Helper()
	brokers := os.Getenv("ONHAND_TEST_BROKERS_SCRAM")
	if brokers == "" {
		t.Parallel()
		kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", rootUser, rootPassword))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(kafka.Close)
		test(guard(t, kafka.ListenAddrs()[0], ""))
		return
	}
	test(guard(t, brokers, os.Getenv("ONHAND_TEST_REDIS")))
	if dir := os.Getenv("ONHAND_TEST_USED"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, "kafka-scram"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func guard(t *testing.T, brokers, redisURL string) *guarded {
	t.Helper()
	registry := srfake.New()
	t.Cleanup(registry.Close)
	if redisURL == "" {
		redisURL = "redis://" + miniredis.RunT(t).Addr() + "/0"
	}
	g := &guarded{stage: (&stage{T: t, brokers: brokers, registry: registry.URL(), redis: redisURL}).settle(), users: make(map[topics.UserRole][]string)}
	var err error
	g.kafka, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.SASL(scram.Auth{User: rootUser, Pass: rootPassword}.AsSha512Mechanism()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kafka.Close)
	g.admin = kadm.NewClient(g.kafka)
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	g.redis = redis.NewClient(options)
	t.Cleanup(func() { _ = g.redis.Close() })
	g.guards = g.redis.Do(t.Context(), "ACL", "WHOAMI").Err() == nil
	t.Cleanup(g.clear)
	return g
}

// clear takes everything of the test away again.
func (g *guarded) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the test's own has ended
	defer cancel()
	names, err := topics.NamesOf(g.namespace)
	if err != nil {
		g.Error(err)
		return
	}
	_, _ = g.admin.DeleteTopics(ctx, names.All()...)
	_, _ = g.admin.DeleteGroups(ctx, names.ConsumerGroup(), g.namespace+".storefront-eu")
	for role := range g.users {
		user := g.namespace + "-" + string(role)
		_, _ = g.admin.DeleteACLs(ctx, kadm.NewACLs().AnyResource().Allow("User:"+user).AllowHosts().Deny().DenyHosts().Operations().ResourcePatternType(kadm.ACLPatternAny))
		_, _ = g.admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha512}}, nil)
		if g.guards {
			_ = g.redis.Do(ctx, "ACL", "DELUSER", user).Err()
		}
	}
	g.forget(ctx)
}

// forget deletes what Redis holds of the namespace, in one step: half a state is none that a Redis could have had.
func (g *guarded) forget(ctx context.Context) {
	const deleteAll = `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end`
	if err := g.redis.Eval(ctx, deleteAll, nil, "{"+g.namespace+":*").Err(); err != nil && !errors.Is(err, redis.Nil) {
		g.Error(err)
	}
}

// grantAll makes every user by the lines that topics acl prints, and the settings of each.
func (g *guarded) grantAll() {
	g.Helper()
	for _, line := range strings.Split(g.must("topics", "acl", "--instance-prefix", "one").out, "\n") {
		words := shellWords(g.T, line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "kafka-acls.sh":
			g.change(words, true)
		case words[0] == "redis-cli" && g.guards:
			args := make([]any, 0, len(words))
			for _, word := range words[1:] {
				if strings.HasPrefix(word, ">$") {
					word = ">" + userPassword
				}
				args = append(args, word)
			}
			if err := g.redis.Do(g.Context(), args...).Err(); err != nil {
				g.Fatalf("%s: %v", line, err)
			}
		case words[0] != "redis-cli":
			g.Fatalf("what is %q?", line)
		}
	}
	for _, role := range topics.UserRoles() {
		g.user(role)
	}
}

// user makes the SCRAM password of a role and waits until Kafka knows it.
func (g *guarded) user(role topics.UserRole) {
	g.Helper()
	name := g.namespace + "-" + string(role)
	altered, err := g.admin.AlterUserSCRAMs(g.Context(), nil, []kadm.UpsertSCRAM{{User: name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: userPassword}})
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		g.Fatal(err)
	}
	settings := []string{"ONHAND_BROKERS=" + g.brokers, "ONHAND_REGISTRY=" + g.registry, "ONHAND_NAMESPACE=" + g.namespace, "ONHAND_REDIS=" + g.redisURL(role),
		"ONHAND_SECURITY_MECHANISM=SCRAM-SHA-512", "ONHAND_SECURITY_USER=" + name, "ONHAND_SECURITY_PASSWORD=" + userPassword}
	g.users[role] = settings
	client := g.client(role)
	defer client.Close()
	eventually(g.T, "Kafka knows "+name, func() bool { return client.Ping(g.Context()) == nil })
}

func (g *guarded) redisURL(role topics.UserRole) string {
	if !g.guards {
		return g.stage.redis
	}
	return strings.Replace(g.stage.redis, "://", "://"+g.namespace+"-"+string(role)+":"+userPassword+"@", 1)
}

// client is one of a program that is none of ours.
func (g *guarded) client(role topics.UserRole, opts ...kgo.Opt) *kgo.Client {
	g.Helper()
	mechanism := scram.Auth{User: g.namespace + "-" + string(role), Pass: userPassword}.AsSha512Mechanism()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(g.brokers, ",")...), kgo.SASL(mechanism)}, opts...)...)
	if err != nil {
		g.Fatal(err)
	}
	return client
}

// change carries out a call of kafka-acls.sh, or takes back what it gave.
func (g *guarded) change(words []string, grant bool) {
	g.Helper()
	acl, operations := kadm.NewACLs().ResourcePatternType(kadm.ACLPatternLiteral), []kadm.ACLOperation{}
	for i := 1; i < len(words); i++ {
		flag := words[i]
		if flag == "--add" {
			continue
		}
		i++
		switch value := words[i]; flag {
		case "--bootstrap-server", "--command-config":
		case "--allow-principal":
			acl.Allow(value)
		case "--operation":
			operation, err := kmsg.ParseACLOperation(value)
			if err != nil {
				g.Fatal(err)
			}
			operations = append(operations, operation)
		case "--topic":
			acl.Topics(value)
		case "--group":
			acl.Groups(value)
		case "--transactional-id":
			acl.TransactionalIDs(value)
		case "--resource-pattern-type":
			acl.ResourcePatternType(kadm.ACLPatternPrefixed)
		default:
			g.Fatalf("what is %s in %q?", flag, words)
		}
	}
	acl.Operations(operations...).AllowHosts()
	if !grant {
		results, err := g.admin.DeleteACLs(g.Context(), acl.Deny().DenyHosts())
		if err != nil || len(results) == 0 || results[0].Err != nil || len(results[0].Deleted) == 0 {
			g.Fatalf("taking back %q: %v %v", words, results, err)
		}
		return
	}
	results, err := g.admin.CreateACLs(g.Context(), acl)
	if err != nil {
		g.Fatalf("%q: %v", words, err)
	}
	for _, r := range results {
		if r.Err != nil {
			g.Fatalf("%q: %v", words, r.Err)
		}
	}
}

// lineOf is the call of kafka-acls.sh for one right of a role.
func (g *guarded) lineOf(role topics.UserRole, r topics.Right) []string {
	rights := kafkaRights([]topics.Right{r})
	return shellWords(g.T, rights[0].line(&Config{Brokers: []string{"b"}}, "User:"+g.namespace+"-"+string(role)))
}

// without takes a right from a role for as long as it tries what is to fail. What the right implies it keeps.
func (g *guarded) without(role topics.UserRole, r topics.Right, try func()) {
	g.Helper()
	implied := r
	switch r.Operation {
	case kmsg.ACLOperationRead, kmsg.ACLOperationWrite:
		implied.Operation = kmsg.ACLOperationDescribe
	case kmsg.ACLOperationAlterConfigs:
		implied.Operation = kmsg.ACLOperationDescribeConfigs
	}
	if implied != r {
		g.change(g.lineOf(role, implied), true)
		defer g.change(g.lineOf(role, implied), false)
	}
	g.change(g.lineOf(role, r), false)
	defer g.change(g.lineOf(role, r), true)
	try()
}

// as calls the command line as the user of a role.
func (g *guarded) as(role topics.UserRole, args ...string) result {
	return onhand(g.T, g.users[role], args...)
}

func (g *guarded) mustAs(role topics.UserRole, args ...string) result {
	g.Helper()
	r := g.as(role, args...)
	if r.code != 0 {
		g.Fatalf("%s: onhand %s: exit code %d\n%s%s", role, strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r
}

// shellWords takes a line apart as a POSIX shell does, variables aside.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	word, quote, begun := "", rune(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word += string(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == ' ':
			if begun {
				words = append(words, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(c), true
		}
	}
	if quote != 0 {
		t.Fatalf("an open quote in %q", line)
	}
	if begun {
		words = append(words, word)
	}
	return slices.Clip(words)
}
