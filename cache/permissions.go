package cache

import "fmt"

// Access is how much of the state a Redis user may touch.
type Access uint8

// What a user may do with the keys of a namespace.
const (
	ReadOnly  Access = iota // for commands that look
	ReadWrite               // for the processor, and for a restore
)

// The commands of a user, by what they are for. Scripts run with the rights of their caller: one who may not write may
// not write in a script either.
var (
	connectCommands = []string{"ping", "info"}
	readCommands    = []string{"eval", "evalsha", "exists", "get", "getrange", "hget", "hgetall", "hkeys", "hlen", "hmget", "scard", "smembers", "sscan", "strlen", "zcard", "zrangebyscore"}
	writeCommands   = []string{"append", "del", "hdel", "hset", "sadd", "set", "srem", "zadd", "zrem"}
	clusterCommands = []string{"cluster|slots", "asking"} // where the slots are; a slot on its way from node to node
)

// Permissions returns the rules that a Redis user needs to use the keys of one namespace at a URL of Open, and none that
// it does not need, as ACL SETUSER takes them after "reset": ACL SETUSER name reset on >password, then these. In a Redis
// Cluster every node needs the user, behind Sentinels every server.
func Permissions(url, namespace string, access Access) ([]string, error) {
	a, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if !namespaceForm.MatchString(namespace) {
		return nil, fmt.Errorf("namespace %q is not 1 to 64 of A–Z a–z 0–9 . _ -", namespace)
	}
	commands := append([]string{}, connectCommands...)
	if a.db != 0 {
		commands = append(commands, "select")
	}
	if a.deployment == cluster {
		commands = append(commands, clusterCommands...)
	}
	commands = append(commands, readCommands...)
	if access != ReadOnly {
		commands = append(commands, writeCommands...)
	}
	rules := []string{"~{" + namespace + ":*"}
	for _, command := range commands {
		rules = append(rules, "+"+command)
	}
	return rules, nil
}
