package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"onhand/topics"
)

// Config is everything that can be set from outside. Each field's default, unit, bounds and effect stand in settings;
// there is no other place for a default.
type Config struct {
	Brokers   []string
	Registry  SecretURL
	Redis     SecretURL
	Namespace string
	Security  Security

	Instance             string
	Admin                string
	Sessions             int
	Workers              int
	BatchRecordsMax      int
	CacheBytes           int64
	DedupeWindow         time.Duration
	MovementHorizon      time.Duration
	RequireEffectiveDate bool
	RegistryWait         time.Duration
	OverdueFutures       string
	LeaveOnStop          bool

	LogLevel  string
	LogFormat string
}

// Security is how connections to Kafka are protected. CA holds for a registry behind https as well.
type Security struct {
	Mechanism  string
	User       string
	Password   Secret
	TLS        bool
	CA         string
	Cert       string
	Key        string
	ServerName string
}

// What OverdueFutures may be.
const (
	keepFutures = "keep"
	dropFutures = "drop"
)

// noMechanism is the Security.Mechanism of a Kafka without passwords.
const noMechanism = "none"

// A setting describes one field of Config: where it stands in a file, and all a reader of the help needs to know.
type setting struct {
	key      string // in the file; the flag and the variable follow from it
	fallback string // default, as text
	bounds   string // what it may be, with its unit
	effect   string // one sentence
	run      bool   // of use to the processor alone: a flag of run and config
	secret   bool   // has no flag: other users of the machine see command lines
	value    func(*Config) value
}

// flag is the setting's flag: security.serverName is --security-server-name.
func (s setting) flag() string { return strings.Join(keyWords(s.key), "-") }

// variable is the setting's environment variable: security.serverName is ONHAND_SECURITY_SERVER_NAME.
func (s setting) variable() string {
	return environmentPrefix + strings.ToUpper(strings.Join(keyWords(s.key), "_"))
}

// keyWords are the lower-case words of a key.
func keyWords(key string) []string {
	var words []string
	for part := range strings.SplitSeq(key, ".") {
		from := 0
		for i := 1; i < len(part); i++ {
			if upper(part[i]) && !upper(part[i-1]) {
				words = append(words, strings.ToLower(part[from:i]))
				from = i
			}
		}
		words = append(words, strings.ToLower(part[from:]))
	}
	return words
}

func upper(c byte) bool { return c >= 'A' && c <= 'Z' }

// settings are all fields of Config, in the order they are printed.
var settings = append(connectionSettings, append(securitySettings, append(processorSettings, logSettings...)...)...)

var connectionSettings = []setting{
	{key: "brokers", fallback: "127.0.0.1:9092", bounds: "host:port, several separated by commas",
		effect: "Kafka brokers to ask for the others",
		value:  func(c *Config) value { return listValue{&c.Brokers} }},
	{key: "registry", fallback: "http://127.0.0.1:8081", bounds: "http:// or https://[user:password@]host:port[/path]",
		effect: "schema registry, any that is compatible with Confluent's",
		value:  func(c *Config) value { return urlValue{&c.Registry, []string{"http", "https"}} }},
	{key: "redis", fallback: "redis://127.0.0.1:6379/0", bounds: "redis://, redis+sentinel:// or redis+cluster://, rediss for TLS: redis://user:password@host:port/db, redis+sentinel://h1:p,h2:p/master, redis+cluster://h1:p,h2:p",
		effect: "Redis that holds the balances",
		value: func(c *Config) value {
			return urlValue{&c.Redis, []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}}
		}},
	{key: "namespace", fallback: "onhand", bounds: "1 to 64 letters, digits, . _ -",
		effect: "prefix of topics, subjects, Redis keys and the consumer group; one per tenant",
		value:  func(c *Config) value { return textValue{&c.Namespace, checkNamespace} }},
}

var securitySettings = []setting{
	{key: "security.mechanism", fallback: noMechanism, bounds: "none, PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
		effect: "how Kafka checks the password",
		value: func(c *Config) value {
			return choiceValue{&c.Security.Mechanism, []string{noMechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}}
		}},
	{key: "security.user", bounds: "a name; needed with a mechanism", effect: "user name for Kafka",
		value: func(c *Config) value { return textValue{&c.Security.User, nil} }},
	{key: "security.password", bounds: "a text; needed with a mechanism", effect: "password for Kafka", secret: true,
		value: func(c *Config) value { return secretValue{&c.Security.Password} }},
	{key: "security.tls", fallback: "false", bounds: "true or false", effect: "speak TLS to Kafka",
		value: func(c *Config) value { return boolValue{&c.Security.TLS} }},
	{key: "security.ca", bounds: "a PEM file; empty: the certificates of the system",
		effect: "certificate authorities that Kafka and an https registry are checked against",
		value:  func(c *Config) value { return textValue{&c.Security.CA, readableFile} }},
	{key: "security.cert", bounds: "a PEM file, together with security.key", effect: "certificate to show to Kafka",
		value: func(c *Config) value { return textValue{&c.Security.Cert, readableFile} }},
	{key: "security.key", bounds: "a PEM file, together with security.cert", effect: "private key of that certificate",
		value: func(c *Config) value { return textValue{&c.Security.Key, readableFile} }},
	{key: "security.serverName", bounds: "a host name; empty: the broker's own",
		effect: "name that Kafka's certificate must be for",
		value:  func(c *Config) value { return textValue{&c.Security.ServerName, nil} }},
}

var processorSettings = []setting{
	{key: "instance", bounds: "1 to 200 letters, digits, . _ -; empty: the host name", run: true,
		effect: "name of this process, stable over restarts and unique in the namespace",
		value:  func(c *Config) value { return textValue{&c.Instance, checkInstance} }},
	{key: "admin", fallback: "127.0.0.1:9464", bounds: "host:port; port 0: any free one, which is printed", run: true,
		effect: "address of /metrics, /healthz and /readyz",
		value: func(c *Config) value {
			return textValue{&c.Admin, func(text string) error { return checkHostPort(text, 0) }}
		}},
	{key: "sessions", fallback: "1", bounds: "1 to 16", run: true,
		effect: "members of the consumer group in this process; each has its own transactions",
		value:  func(c *Config) value { return intValue{&c.Sessions, 1, 16} }},
	{key: "workers", fallback: "0", bounds: "0 to 256; 0: as many as the process has processors", run: true,
		effect: "tasks of a session that are folded at the same time",
		value:  func(c *Config) value { return intValue{&c.Workers, 0, 256} }},
	{key: "batchRecordsMax", fallback: "8000", bounds: "1 to 20000 records", run: true,
		effect: "records of a task that are folded into one commit at most; more is faster when behind and slower to appear",
		value:  func(c *Config) value { return intValue{&c.BatchRecordsMax, 1, 20_000} }},
	{key: "cacheBytes", fallback: "512MiB", bounds: "16MiB to 1024GiB", run: true,
		effect: "memory of this process for balances, so that a warm SKU needs no read from Redis",
		value:  func(c *Config) value { return bytesValue{&c.CacheBytes, 16 << 20, 1 << 40} }},
	{key: "dedupeWindow", fallback: "24h", bounds: "1h to 168h", run: true,
		effect: "how long the ids of adjustments and requests are remembered, so that a repeat is not counted twice",
		value:  func(c *Config) value { return durationValue{&c.DedupeWindow, time.Hour, 168 * time.Hour} }},
	{key: "movementHorizon", fallback: "72h", bounds: "1h to 2160h", run: true,
		effect: "how late a count may come and still keep the movements after it",
		value:  func(c *Config) value { return durationValue{&c.MovementHorizon, time.Hour, 2160 * time.Hour} }},
	{key: "requireEffectiveDate", fallback: "true", bounds: "true or false", run: true,
		effect: "refuse counts without an effective date; false takes the record's timestamp for it",
		value:  func(c *Config) value { return boolValue{&c.RequireEffectiveDate} }},
	{key: "registryWait", fallback: "1h", bounds: "1s to 168h", run: true,
		effect: "how long a task waits for a registry that cannot be asked before it calls a schema unknown",
		value:  func(c *Config) value { return durationValue{&c.RegistryWait, time.Second, 168 * time.Hour} }},
	{key: "overdueFutures", fallback: keepFutures, bounds: "keep or drop", run: true,
		effect: "what becomes of a future when its date comes: keep it until it is replaced, or drop it within a second",
		value:  func(c *Config) value { return choiceValue{&c.OverdueFutures, []string{keepFutures, dropFutures}} }},
	{key: "leaveOnStop", fallback: "false", bounds: "true or false", run: true,
		effect: "give the tasks to other instances at once when told to stop; false keeps them for this one, which may be back within the session time-out",
		value:  func(c *Config) value { return boolValue{&c.LeaveOnStop} }},
}

var logSettings = []setting{
	{key: "logLevel", fallback: "info", bounds: "debug, info, warn or error", effect: "least severe log line that is written",
		value: func(c *Config) value { return choiceValue{&c.LogLevel, []string{"debug", "info", "warn", "error"}} }},
	{key: "logFormat", fallback: "text", bounds: "text or json", effect: "form of log lines",
		value: func(c *Config) value { return choiceValue{&c.LogFormat, []string{"text", "json"}} }},
}

// findSetting returns the setting of that key.
func findSetting(key string) (setting, bool) {
	for _, s := range settings {
		if s.key == key {
			return s, true
		}
	}
	return setting{}, false
}

// defaultConfig is a Config of nothing but defaults.
func defaultConfig() *Config {
	c := &Config{}
	for _, s := range settings {
		if s.fallback != "" {
			if err := s.value(c).parse(s.fallback); err != nil {
				panic(fmt.Errorf("default of %s: %w", s.key, err)) // the table is wrong; a test reads all of it
			}
		}
	}
	return c
}

// A Problem is one setting that breaks its rule.
type Problem struct {
	Field string `json:"field"`
	Value string `json:"value"` // secrets as ***
	Rule  string `json:"rule"`
}

// Error is the problem as one sentence.
func (p *Problem) Error() string {
	if p.Value == "" {
		return fmt.Sprintf("%s %s", p.Field, p.Rule)
	}
	return fmt.Sprintf("%s is %q and %s", p.Field, p.Value, p.Rule)
}

// Validate returns every problem, each a *Problem, joined.
func (c *Config) Validate() error {
	var problems []error
	for _, s := range settings {
		v := s.value(c)
		if err := v.check(); err != nil {
			problems = append(problems, &Problem{Field: s.key, Value: v.String(), Rule: err.Error()})
		}
	}
	return errors.Join(append(problems, c.Security.relations()...)...)
}

// relations returns the problems of fields that do not go together.
func (s *Security) relations() (problems []error) {
	refuse := func(field, value, rule string) {
		problems = append(problems, &Problem{Field: "security." + field, Value: value, Rule: rule})
	}
	switch {
	case s.Mechanism == noMechanism && s.User != "":
		refuse("mechanism", s.Mechanism, "must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 where there is a user")
	case s.Mechanism != noMechanism && s.User == "":
		refuse("user", "", "must be set with "+s.Mechanism)
	case s.Mechanism != noMechanism && s.Password == "":
		refuse("password", "", "must be set with "+s.Mechanism)
	}
	if !s.TLS && (s.Cert != "" || s.ServerName != "") {
		refuse("tls", "false", "must be true where security.cert or security.serverName is set")
	}
	if (s.Cert == "") != (s.Key == "") {
		refuse("key", s.Key, "must be set where security.cert is, and only there")
	}
	return problems
}

// instance is the Instance, or the host name where there is none.
func (c *Config) instance() (string, error) {
	if c.Instance != "" {
		return c.Instance, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", hinted(fmt.Errorf("reading the host name: %w", err), "name this process with --instance")
	}
	return name, nil
}

// workers is Workers, or one for each processor where it is 0.
func (c *Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// level is the LogLevel as log/slog has it.
func (c *Config) level() slog.Level {
	var level slog.Level
	// Validate allows only names that UnmarshalText knows; for any other, the zero level is Info.
	_ = level.UnmarshalText([]byte(c.LogLevel))
	return level
}

// checkNamespace says what a namespace must be, where it is not.
func checkNamespace(name string) error {
	if topics.CheckNamespace(name) != nil || len(name) > 64 { // Redis keys repeat it, so that the cache asks for a short one
		return errors.New("must be 1 to 64 letters, digits, . _ - and begin and end with a letter or a digit")
	}
	return nil
}

func checkInstance(name string) error {
	if len(name) > 200 {
		return errors.New("must have at most 200 characters")
	}
	for _, c := range []byte(name) {
		if !upper(c) && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return errors.New("must have only letters, digits, . _ and -")
		}
	}
	return nil
}

func readableFile(name string) error {
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("must be a file that can be read: %w", errors.Unwrap(err))
	}
	return file.Close()
}
