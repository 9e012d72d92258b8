package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/topics"
)

// TestTheRightsSufficeAndNoneIsTooMany makes users by what topics acl prints, and lets each do its work. Then every right
// is taken away in turn, but for what it implies: some command of the role must fail and say which it was.
func TestTheRightsSufficeAndNoneIsTooMany(t *testing.T) {
	onGuardedStages(t, func(g *guarded) {
		g.grantAll()
		g.createWithout()
		g.mustAs(topics.UserOperator, "topics", "verify")
		g.mustAs(topics.UserOperator, "schemas", "register")
		file := writeFile(g.T, "graph.yaml", testGraph)
		g.mustAs(topics.UserOperator, "graph", "plan", file)
		g.mustAs(topics.UserOperator, "graph", "publish", file, "--no-wait")
		processor, admin := g.startProcessor()
		commands := g.everybodyWorks(file)
		for _, role := range topics.UserRoles() {
			names, err := topics.NamesOf(g.namespace)
			if err != nil {
				g.Fatal(err)
			}
			rights, _ := names.RightsOfRole(role, topics.RightsOptions{InstancePrefix: "one"})
			for _, r := range rights {
				switch {
				case role == topics.UserProcessor:
					g.without(role, r, func() { g.processorWaits(admin, r) })
					g.goesOn(admin, r)
				case role == topics.UserStorefront && r.Resource == kmsg.ACLResourceTypeGroup:
					g.without(role, r, func() { g.storefrontFails() })
				case r.Operation == kmsg.ACLOperationCreate: // createWithout
				case r.Operation == kmsg.ACLOperationAlterConfigs:
					g.spoil(r.Name)
					g.without(role, r, func() { g.someFails(role, r, [][]string{{"topics", "apply"}}) })
					g.mustAs(role, "topics", "apply")
				default:
					g.without(role, r, func() { g.someFails(role, r, commands[role]) })
				}
			}
		}
		for _, rule := range []string{"hset", "evalsha", "append"} {
			g.storeRefuses(admin, rule)
		}
		if code := processor.end(); code != 0 {
			_, text := processor.output()
			g.Errorf("the processor ends with %d\n%s", code, text)
		}
	})
}

// storeRefuses takes a right in Redis from the processor while it works. It says which, waits, and goes on.
func (g *guarded) storeRefuses(admin, rule string) {
	g.Helper()
	if !g.guards {
		return
	}
	user := g.namespace + "-" + string(topics.UserProcessor)
	set := func(rule string) {
		if err := g.redis.Do(g.Context(), "ACL", "SETUSER", user, rule).Err(); err != nil {
			g.Fatal(err)
		}
	}
	set("-" + rule)
	g.mustAs(topics.UserStock, g.filled([]string{"import", "FEED"})...)
	last := ""
	eventually(g.T, "the processor is told to wait for +"+rule, func() bool {
		var code int
		code, last = httpGet(g.T, admin+"/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(last, "lacks the right +"+rule)
	})
	set("+" + rule)
	g.goesOn(admin, topics.Right{})
}

// patienceMax is how long the processor, or a command, may take to be told of a right that was granted or taken.
const patienceMax = 30 * time.Second

// startProcessor is that of stage, as the user who may do it.
func (g *guarded) startProcessor() (*running, string) {
	g.Helper()
	everybody := g.environ
	g.environ = g.users[topics.UserProcessor]
	defer func() { g.environ = everybody }()
	return g.stage.startProcessor()
}

// createWithout creates the topics, each once without the right to.
func (g *guarded) createWithout() {
	g.Helper()
	names, err := topics.NamesOf(g.namespace)
	if err != nil {
		g.Fatal(err)
	}
	for _, name := range names.All() {
		r := topics.Right{Resource: kmsg.ACLResourceTypeTopic, Name: name, Operation: kmsg.ACLOperationCreate}
		g.without(topics.UserOperator, r, func() {
			g.someFails(topics.UserOperator, r, [][]string{{"topics", "apply", "--partitions", "2"}})
		})
	}
	g.mustAs(topics.UserOperator, "topics", "apply", "--partitions", "2")
}

// spoil gives a topic a setting that topics apply corrects.
func (g *guarded) spoil(topic string) {
	g.Helper()
	value := "1048576"
	responses, err := g.admin.AlterTopicConfigs(g.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, topic)
	if err != nil || responses[0].Err != nil {
		g.Fatal(responses, err)
	}
}

// everybodyWorks runs every command as the role that it is for, and returns those that can be run again.
func (g *guarded) everybodyWorks(graphFile string) map[topics.UserRole][][]string {
	g.Helper()
	g.mustAs(topics.UserStock, "import", writeFile(g.T, "feed.ndjson", storyFeed)).want(g.T, 0, "3 published")
	g.mustAs(topics.UserOrders, "reserve", "SHIRT", "4", "--group", "EAST", "--reservation", "order-1")
	g.mustAs(topics.UserOrders, "transfer", "SHIRT", "4", "--reservation", "order-1", "--group", "EAST", "--to-location", "NJ-1")
	g.mustAs(topics.UserOrders, "fulfill", "SHIRT", "3", "--reservation", "order-1", "--location", "NJ-1")
	g.mustAs(topics.UserOrders, "release", "SHIRT", "--reservation", "order-1")
	g.disturb()
	eventually(g.T, "the bad records are dead letters, also those that were sent on", func() bool {
		return strings.Contains(g.mustAs(topics.UserReader, "dlq", "ls", "--json").out, `"total": 4`)
	})
	looks := [][]string{
		{"status"}, {"graph", "show"}, {"graph", "status"}, {"dlq", "ls"}, {"watch", "--from-start", "--count", "1"}, {"audit"}, {"why", "SHIRT"},
	}
	for _, args := range append(looks, []string{"get", "SHIRT"}) {
		g.mustAs(topics.UserReader, args...)
	}
	g.follow()
	works := [][]string{
		{"topics", "plan"}, {"topics", "verify"}, {"topics", "apply"}, {"graph", "plan", graphFile, "--levels"}, {"graph", "show"}, {"graph", "status"},
		{"status"}, {"dlq", "ls"}, {"audit"}, {"why", "SHIRT"}, {"dlq", "replay", "--all"}, {"snapshot", "DIR"}, {"graph", "publish", "NEXT"},
	}
	for _, args := range works {
		g.mustAs(topics.UserOperator, g.filled(args)...)
	}
	return map[topics.UserRole][][]string{
		topics.UserOperator: works, topics.UserReader: looks, topics.UserStorefront: {{"watch", "--from-start", "--count", "1"}},
		topics.UserStock: {{"import", "FEED"}}, topics.UserOrders: {{"reserve", "HAT", "0.001", "--group", "EAST", "--timeout", "5s"}},
	}
}

// filled puts what a command needs anew each time into its arguments.
func (g *guarded) filled(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg {
		case "NEXT":
			args[i] = writeFile(g.T, "graph.yaml", strings.Replace(testGraph, "New Jersey", fmt.Sprint("New Jersey ", time.Now().UnixNano()), 1))
		case "DIR":
			args[i] = g.TempDir()
		case "FEED":
			now := time.Now().UTC()
			args[i] = writeFile(g.T, "feed.ndjson", fmt.Sprintf("{\"location\":\"NJ-1\",\"mode\":\"UPDATE\"}\n{\"recordId\":\"%d\",\"sku\":\"HAT\",\"onHand\":%d,\"effectiveDate\":%q}\n",
				now.UnixNano(), 1000+now.UnixMicro()%1000, now.Format(time.RFC3339Nano)))
		}
	}
	return args
}

// someFails runs the commands until one fails for the right that was taken. A command that is not told yet of the change
// may still succeed.
func (g *guarded) someFails(role topics.UserRole, r topics.Right, commands [][]string) {
	g.Helper()
	want := topics.Rights{r}.String()
	seen := ""
	began := time.Now()
	for time.Since(began) < patienceMax {
		for _, args := range commands {
			failed := g.as(role, g.filled(args)...)
			said := failed.out + failed.err // why tells the number all the same
			if strings.Contains(said, fmt.Sprintf("user %q lacks %s: ", g.namespace+"-"+string(role), want)) && strings.Contains(said, "onhand topics acl") {
				return
			}
			if failed.code != 0 {
				seen = said
			}
		}
	}
	g.Errorf("%s without %s: no command fails for it; last: %s", role, want, seen)
}

// disturb sends a bad record and a misplaced one to each input, and a count, which make the processor use its rights.
func (g *guarded) disturb() {
	g.Helper()
	var records []*kgo.Record
	for _, input := range []string{".stock-deltas", ".reservation-events"} {
		for partition := range int32(2) { // one of them is the wrong one
			records = append(records, &kgo.Record{Topic: g.namespace + input, Partition: partition, Key: []byte("BAD"), Value: []byte("no Avro")})
		}
	}
	if err := g.kafka.ProduceSync(g.Context(), records...).FirstErr(); err != nil {
		g.Fatal(err)
	}
}

// processorWaits makes the processor use every right it has, and waits until it says that it waits for the one that it
// has not.
func (g *guarded) processorWaits(admin string, r topics.Right) {
	g.Helper()
	want := topics.Rights{r}.String()
	if r.Resource == kmsg.ACLResourceTypeTransactionalId {
		want = strings.TrimSuffix(want, "one") // it is told by the name of the instance
	}
	if r.Name == g.topics().AvailabilityUpdates && r.Operation == kmsg.ACLOperationRead {
		g.beginnerWaits(want)
		return
	}
	g.disturb()
	g.mustAs(topics.UserStock, g.filled([]string{"import", "FEED"})...)
	g.as(topics.UserOrders, "reserve", "HAT", "0.001", "--group", "EAST", "--timeout", "1ms")
	g.forget(g.Context())
	last := ""
	for began := time.Now(); time.Since(began) < patienceMax && sleep(g.Context(), 20*time.Millisecond) == nil; {
		code, body := httpGet(g.T, admin+"/readyz")
		if code == http.StatusServiceUnavailable && strings.Contains(body, "lacks "+want) {
			return
		}
		last = body
	}
	g.Errorf("the processor without %s is not told to wait for it; last: %s", want, last)
}

// beginnerWaits starts another processor, which says what it waits for before it joins the group.
func (g *guarded) beginnerWaits(want string) {
	g.Helper()
	everybody := g.environ
	g.environ = g.users[topics.UserProcessor]
	defer func() { g.environ = everybody }()
	beginner := g.start("run", "--admin", "127.0.0.1:0", "--instance", "one-more")
	defer beginner.end()
	eventually(g.T, "a processor that begins says that it waits", func() bool {
		_, text := beginner.output()
		return strings.Contains(text, "lacks "+want)
	})
}

// goesOn waits until the processor has done everything that it could not.
func (g *guarded) goesOn(admin string, r topics.Right) {
	g.Helper()
	last := ""
	for began := time.Now(); time.Since(began) < patienceMax && sleep(g.Context(), 20*time.Millisecond) == nil; {
		code, body := httpGet(g.T, admin+"/readyz")
		var state struct {
			Tasks []storedTask `json:"tasks"`
		}
		shown := g.mustAs(topics.UserReader, "status", "--json").out
		if err := json.Unmarshal([]byte(shown), &state); err != nil {
			g.Fatal(err)
		}
		idle := code == http.StatusOK
		for _, task := range state.Tasks {
			idle = idle && task.Redis != nil && task.Redis.Behind == 0 && task.Inputs[0].Committed > 0 && task.Inputs[0].Lag <= 1 && task.Inputs[1].Lag <= 1
		}
		if idle {
			return
		}
		last = body + shown
	}
	g.Fatalf("with %s again the processor does not go on: %s", r, last)
}

// follow consumes availability-updates with a group, as a storefront does.
func (g *guarded) follow() {
	g.Helper()
	client := g.storefront()
	defer client.Close()
	eventually(g.T, "the storefront has a level", func() bool {
		fetches := client.PollFetches(g.Context())
		if err := fetches.Err(); err != nil {
			g.Fatal(err)
		}
		return fetches.NumRecords() > 0
	})
	if err := client.CommitUncommittedOffsets(g.Context()); err != nil {
		g.Fatal(err)
	}
}

func (g *guarded) storefront() *kgo.Client {
	return g.client(topics.UserStorefront, kgo.ConsumerGroup(g.namespace+".storefront-eu"), kgo.ConsumeTopics(g.namespace+".availability-updates"),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

func (g *guarded) storefrontFails() {
	g.Helper()
	client := g.storefront()
	defer client.Close()
	eventually(g.T, "a storefront without its group is refused", func() bool { return topics.IsDenied(client.PollFetches(g.Context()).Err()) })
}

// TestEveryCommandHasItsRights looks for commands that nobody has thought of the rights of.
func TestEveryCommandHasItsRights(t *testing.T) {
	names, err := topics.NamesOf("acme")
	if err != nil {
		t.Fatal(err)
	}
	// Those that ask nothing of Kafka, and those with a Kafka of their own: bench makes and deletes a namespace.
	without := []string{"bench", "config", "completion", "dev", "get", "help", "schemas", "topics acl", "version"}
	paths := make(map[string]bool)
	var walk func(*cobra.Command)
	walk = func(command *cobra.Command) {
		for _, below := range command.Commands() {
			walk(below)
		}
		path := strings.TrimPrefix(command.CommandPath(), "onhand ")
		first, _, _ := strings.Cut(path, " ")
		if command.HasSubCommands() || slices.Contains(without, path) || slices.Contains(without, first) {
			return
		}
		paths[path] = true
		if len(names.RightsOfCommand(path, topics.RightsOptions{})) == 0 {
			t.Errorf("onhand %s has no rights; add what it does to activities in topics/rights.go", path)
		}
	}
	walk(newRootCommand(&app{}))
	for _, role := range topics.UserRoles() {
		_, commands := names.RightsOfRole(role, topics.RightsOptions{})
		for _, path := range commands {
			if command, _, _ := strings.Cut(path, " --"); !paths[command] {
				t.Errorf("%s may run onhand %s, which does not exist", role, path)
			}
		}
	}
}

func TestRightsArePrintedForTheShell(t *testing.T) {
	t.Parallel()
	environ := []string{"ONHAND_NAMESPACE=acme", "ONHAND_BROKERS=k1:9092,k2:9092", "ONHAND_REDIS=redis+cluster://r1:1,r2:2"}
	onhand(t, environ, "topics", "acl", "--role", "processor", "--principal", "User:CN=o'n,OU=x y", "--redis-user", "proc", "--instance-prefix", "onhand-").want(t, 0,
		`kafka-acls.sh --bootstrap-server k1:9092,k2:9092 --command-config admin.properties --add --allow-principal 'User:CN=o'\''n,OU=x y' --operation Read --operation Write --topic acme.stock-deltas`,
		`--operation Write --transactional-id acme.onhand- --resource-pattern-type prefixed`, `redis-cli ACL SETUSER proc reset on ">${PROCESSOR_PASSWORD:?}" '~{acme:*' +ping`, "'+cluster|slots' +asking")
	r := onhand(t, environ, "topics", "acl", "--role", "stock,storefront", "--principal", "stock=User:wms", "--group-prefix", "shop-", "--json")
	r.want(t, 0, `"principal": "User:wms"`, `"principal": "User:acme-storefront"`, `"name": "shop-"`, `"redis": null`)
	if strings.Contains(r.out, "acme.dead-letters") {
		t.Errorf("a source of stock has rights to dead letters: %s", r.out)
	}
	onhand(t, environ, "topics", "acl", "--role", "procesor").want(t, exitUsage, "did you mean processor?")
	onhand(t, environ, "topics", "acl", "--principal", "User:x").want(t, exitUsage, "says no role", "ROLE=User:x")
	onhand(t, environ, "topics", "acl", "--role", "reader", "--redis-user", "a b").want(t, exitUsage, "has no spaces")
	onhand(t, environ, "topics", "acl", "--instance-prefix", "a/b").want(t, exitUsage, "--instance-prefix")
}
