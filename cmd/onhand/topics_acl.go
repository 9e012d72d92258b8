package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"onhand/cache"
	"onhand/topics"
)

// aclFlags are the flags of topics acl.
type aclFlags struct {
	roles          []string
	principals     []string
	redisUsers     []string
	instancePrefix string
	group          string
	asJSON         *bool
}

func newTopicsACLCommand(a *app) *cobra.Command {
	f := &aclFlags{}
	cmd := &cobra.Command{
		Use:   "acl",
		Short: "Print the rights in Kafka and Redis that each user needs",
		Long: `Print the rights that suffice for each role, and none that it does not need, as lines for a shell: kafka-acls.sh for
Kafka and ACL SETUSER for Redis. It asks nobody and changes nothing. The roles:

  processor   onhand run
  operator    topics, schemas, location graph, dead letters, audit
  stock       sources of stock deltas: WMS, ERP, onhand import
  orders      sources of reservation events, which read their results; onhand reserve and the like
  storefront  consumers of availability-updates
  reader      commands that only look: get, watch, status, audit, dlq ls

A Redis user is made anew by its line, with the password that the variable in it holds. In a Redis Cluster every node
needs it, behind Sentinels every server. The transactional ids of the processor begin with the namespace, a dot and
the name of the instance: where these begin alike, say how (--instance-prefix), and other ids stay closed to it.`,
		Example: `  onhand topics acl --instance-prefix onhand-
  onhand topics acl --role processor --principal User:CN=onhand --redis-user onhand
  onhand topics acl --principal stock=User:wms --principal orders=User:shop --json`,
		Args: arguments(),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&f.roles, "role", nil, "only these roles, several separated by commas: "+orList(roleNames()))
	flags.StringArrayVar(&f.principals, "principal", nil, "Kafka `principal` of a role, as ROLE=User:name, or User:name with one --role (default User:NAMESPACE-ROLE)")
	flags.StringArrayVar(&f.redisUsers, "redis-user", nil, "Redis `user` of a role, as ROLE=name, or name with one --role (default NAMESPACE-ROLE)")
	flags.StringVar(&f.instancePrefix, "instance-prefix", "", "what the names of all instances begin with")
	flags.StringVar(&f.group, "group-prefix", "", "what the consumer groups of storefronts begin with (default NAMESPACE.storefront)")
	f.asJSON = addJSONFlag(cmd)
	must(cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		users, err := f.users(c.Config)
		if err != nil {
			return err
		}
		if *f.asJSON {
			return printJSON(a.out, users)
		}
		return printACL(a.out, c.Config, users)
	}
	return cmd
}

// must panics over what cannot be: a completion for a flag that does not exist.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func roleNames() []string {
	var names []string
	for _, role := range topics.UserRoles() {
		names = append(names, string(role))
	}
	return names
}

// userRights is what one role needs.
type userRights struct {
	Role      topics.UserRole `json:"role"`
	Commands  []string        `json:"commands"` // of onhand that it may then run against Kafka; empty: none is needed
	Principal string          `json:"principal"`
	Kafka     []kafkaRight    `json:"kafka"`
	Redis     *redisRights    `json:"redis"` // null: it needs no Redis
}

// kafkaRight is one resource and what may be done with it, spelled as kafka-acls.sh does.
type kafkaRight struct {
	Resource   string   `json:"resource"` // topic, group or transactional-id
	Name       string   `json:"name"`
	Pattern    string   `json:"pattern"` // literal or prefixed
	Operations []string `json:"operations"`
}

// redisRights is a Redis user, as ACL SETUSER takes it after "reset" and its password.
type redisRights struct {
	User  string   `json:"user"`
	Rules []string `json:"rules"`
}

// redisAccess is which roles use Redis, and how.
var redisAccess = map[topics.UserRole]cache.Access{
	topics.UserProcessor: cache.ReadWrite, topics.UserOperator: cache.ReadOnly, topics.UserReader: cache.ReadOnly,
}

// users are the rights of the roles that the flags choose.
func (f *aclFlags) users(c *Config) ([]userRights, error) {
	names, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return nil, err
	}
	roles := topics.UserRoles()
	if len(f.roles) > 0 {
		roles = nil
	}
	for _, name := range f.roles {
		role := topics.UserRole(name)
		if !slices.Contains(topics.UserRoles(), role) {
			return nil, usagef("--role %q is not %s%s", name, orList(roleNames()), didYouMean(name, roleNames()))
		}
		roles = append(roles, role)
	}
	if err := checkInstance(f.instancePrefix); err != nil {
		return nil, usagef("--instance-prefix %w", err)
	}
	var users []userRights
	for _, role := range roles {
		user := userRights{Role: role, Principal: "User:" + c.Namespace + "-" + string(role)}
		if user.Principal, err = pick("--principal", f.principals, role, roles, user.Principal); err != nil {
			return nil, err
		}
		rights, commands := names.RightsOfRole(role, topics.RightsOptions{InstancePrefix: f.instancePrefix, StorefrontGroup: f.group})
		user.Commands, user.Kafka = commands, kafkaRights(rights)
		if user.Redis, err = f.redis(c, role, roles); err != nil {
			return nil, err
		}
		users = append(users, user)
	}
	return users, nil
}

func (f *aclFlags) redis(c *Config, role topics.UserRole, roles []topics.UserRole) (*redisRights, error) {
	access, ok := redisAccess[role]
	if !ok {
		return nil, nil
	}
	name, err := pick("--redis-user", f.redisUsers, role, roles, c.Namespace+"-"+string(role))
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(name, " \t\r\n\x00") || name == "" {
		return nil, usagef("--redis-user %q: the name of a Redis user has no spaces", name)
	}
	rules, err := cache.Permissions(string(c.Redis), c.Namespace, access)
	if err != nil {
		return nil, hinted(err, "correct --redis (ONHAND_REDIS)")
	}
	return &redisRights{User: name, Rules: rules}, nil
}

// pick finds what a flag of the form ROLE=value says of a role. A value without role is for the one role that is asked for.
func pick(flag string, values []string, role topics.UserRole, roles []topics.UserRole, fallback string) (string, error) {
	found := fallback
	for _, text := range values {
		name, value, ok := strings.Cut(text, "=")
		if !ok || !slices.Contains(topics.UserRoles(), topics.UserRole(name)) {
			if len(roles) != 1 {
				return "", usagef("%s %q says no role; write ROLE=%s, or choose one --role", flag, text, text)
			}
			name, value = string(role), text
		}
		if topics.UserRole(name) == role {
			found = value
		}
	}
	return found, nil
}

// kafkaRights puts the rights of one resource together.
func kafkaRights(rights []topics.Right) []kafkaRight {
	var list []kafkaRight
	for i, r := range rights {
		next := kafkaRight{Resource: r.ResourceName(), Name: r.Name, Pattern: "literal"}
		if r.Prefixed {
			next.Pattern = "prefixed"
		}
		if i > 0 && rights[i-1].Resource == r.Resource && rights[i-1].Name == r.Name && rights[i-1].Prefixed == r.Prefixed {
			last := &list[len(list)-1]
			last.Operations = append(last.Operations, r.OperationName())
			continue
		}
		next.Operations = []string{r.OperationName()}
		list = append(list, next)
	}
	return list
}

// printACL writes a script for a shell.
func printACL(w io.Writer, c *Config, users []userRights) error {
	var text strings.Builder
	for i, user := range users {
		if i > 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "# %s\n", user.Role)
		for _, right := range user.Kafka {
			fmt.Fprintln(&text, right.line(c, user.Principal))
		}
		if user.Redis != nil {
			fmt.Fprintln(&text, user.Redis.line(user.Role))
		}
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// line is the call of kafka-acls.sh that grants the right.
func (r *kafkaRight) line(c *Config, principal string) string {
	words := []string{"kafka-acls.sh", "--bootstrap-server", strings.Join(c.Brokers, ","), "--command-config", "admin.properties",
		"--add", "--allow-principal", principal}
	for _, operation := range r.Operations {
		words = append(words, "--operation", operation)
	}
	words = append(words, "--"+r.Resource, r.Name)
	if r.Pattern != "literal" {
		words = append(words, "--resource-pattern-type", r.Pattern)
	}
	return shellLine(words)
}

// line is the call of redis-cli that makes the user. Its password comes from a variable, without which it fails.
func (r *redisRights) line(role topics.UserRole) string {
	password := fmt.Sprintf(`">${%s_PASSWORD:?}"`, strings.ToUpper(string(role)))
	return shellLine([]string{"redis-cli", "ACL", "SETUSER", r.User, "reset", "on"}) + " " + password + " " + shellLine(r.Rules)
}

// shellLine quotes words for a POSIX shell where they need it.
func shellLine(words []string) string {
	quoted := slices.Clone(words)
	for i, word := range words {
		plain := strings.IndexFunc(word, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("+-_./:,=@", c)
		})
		if plain >= 0 || word == "" {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
