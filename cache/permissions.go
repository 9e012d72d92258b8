package cache

// permissions are the commands that the scripts, the other reads, and the clients use.
var permissions = []string{
	"eval", "evalsha", // the scripts, which use those up to append
	"get", "set", "getrange", "exists", "del", "hlen", "hget", "hmget", "hgetall", "hset", "hdel", "scard", "sadd", "srem", "zcard", "zadd", "zrem", "strlen", "append",
	"smembers", "sscan", "hkeys", "zrangebyscore", "unlink",
	"ping", "info", "config|get", "select", // Open
	"cluster|slots", "asking", "command", "readonly", // Redis Cluster
}

// Permissions returns the rules of a Redis user who may use the keys of one namespace and nothing else, as ACL SETUSER
// takes them: ACL SETUSER onhand on >password, then these. CONFIG GET may be left out where INFO is there.
func Permissions(namespace string) []string {
	rules := []string{"resetkeys", "~{" + namespace + ":*", "resetchannels", "-@all"}
	for _, command := range permissions {
		rules = append(rules, "+"+command)
	}
	return rules
}
