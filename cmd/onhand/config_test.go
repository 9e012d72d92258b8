package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfigSourcesStandAboveEachOther(t *testing.T) {
	path := writeFile(t, "onhand.yaml", `
brokers: [a:1, b:2]
namespace: file
sessions: 3
cacheBytes: 1GiB
dedupeWindow: 48h
requireEffectiveDate: false
security:
  mechanism: PLAIN
  user: u
  password: "  from file: 1  "
`)
	environ := []string{"ONHAND_CONFIG=" + path, "ONHAND_NAMESPACE=environment", "ONHAND_SESSIONS=4", "PATH=/bin",
		"ONHAND_TEST_BROKERS=x", "ONHAND_SERVICE_HOST=10.0.0.1", "ONHAND_PORT_9464_TCP=tcp://10.0.0.1:9464"}
	c, err := loadConfig("", environ, map[string]string{"sessions": "5"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Brokers, []string{"a:1", "b:2"}) || c.Namespace != "environment" || c.Sessions != 5 || c.CacheBytes != 1<<30 ||
		c.DedupeWindow != 48*time.Hour || c.RequireEffectiveDate || c.Security.Password != "  from file: 1  " || c.MovementHorizon != 72*time.Hour {
		t.Errorf("%+v", c.Config)
	}
	for key, source := range map[string]string{
		"brokers": path + ": brokers", "security.user": path + ": security.user", "namespace": "environment ONHAND_NAMESPACE",
		"sessions": "flag --sessions", "movementHorizon": "default",
	} {
		if c.sources[key] != source {
			t.Errorf("source of %s is %q, want %q", key, c.sources[key], source)
		}
	}
}

func TestConfigDefaultsAreGood(t *testing.T) {
	if err := defaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for _, s := range settings {
		if s.effect == "" || s.bounds == "" {
			t.Errorf("%s says not what it does or what it may be", s.key)
		}
		if s.secret && s.fallback != "" {
			t.Errorf("%s is a secret with a default", s.key)
		}
	}
}

func TestConfigProblemsAreAllTold(t *testing.T) {
	const good = "namespace: acme\nsecurity: {tls: true, mechanism: SCRAM-SHA-512, user: u, password: p}\nredis: redis+sentinel://u:p@a:1,b:2/m\nadmin: ':0'\n"
	for _, test := range []struct {
		yaml, environ string
		want          []string // one text for each problem
	}{
		{good, "", nil},
		{"", "ONHAND_BROKERS=[::1]:9092,b:2", nil},
		{"brokers: ''", "", []string{"must name at least one host:port"}},
		{"brokers: a", "", []string{`"a" has no port`}},
		{"brokers: a:0", "", []string{"has no port from 1 to 65535"}},
		{"brokers: 'http://a:1'", "", []string{"is not host:port"}},
		{"registry: a:1", "", []string{"must be a URL that begins with http:// or https://"}},
		{"redis: 'http://a:1'", "", []string{"must be a URL that begins with redis://"}},
		{"redis: 'redis:///0'", "", []string{"must name a host"}},
		{"namespace: a/b", "", []string{"must be 1 to 64 letters"}},
		{"instance: a b", "", []string{"must have only letters"}},
		{"admin: 9464", "", []string{"has no port"}},
		{"sessions: 0", "", []string{"must be from 1 to 16"}},
		{"sessions: many", "", []string{"must be a whole number from 1 to 16"}},
		{"batchRecordsMax: 20001", "", []string{"must be from 1 to 20000"}},
		{"cacheBytes: 15MiB", "", []string{"must be from 16MiB to 1024GiB"}},
		{"cacheBytes: 99999999999GiB", "", []string{"must be a number of bytes"}},
		{"cacheBytes: lots", "", []string{"must be a number of bytes such as 512MiB"}},
		{"dedupeWindow: 24", "", []string{"must be a time with its unit"}},
		{"dedupeWindow: 1m", "", []string{"must be from 1h to 168h"}},
		{"requireEffectiveDate: maybe", "", []string{"must be true or false"}},
		{"logLevel: loud", "", []string{"must be debug, info, warn or error"}},
		{"namespace: {a: 1}", "", []string{"namespace.a is no setting"}},
		{"namespce: a", "", []string{"namespce is no setting; did you mean namespace?"}},
		{"user: a", "", []string{"user is no setting; did you mean security.user?"}},
		{"", "ONHAND_NAMESPCE=a", []string{"ONHAND_NAMESPCE is no setting; did you mean ONHAND_NAMESPACE?"}},
		{"", "ONHAND_XYZZY=a", []string{"environment ONHAND_XYZZY is no setting"}},
		{"security: {mechanism: PLAIN}", "", []string{"security.user must be set with PLAIN"}},
		{"security: {mechanism: PLAIN, user: u}", "", []string{"security.password must be set with PLAIN"}},
		{"security: {user: u}", "", []string{"security.mechanism is \"none\" and must be PLAIN"}},
		{"security: {serverName: a}", "", []string{"security.tls is \"false\" and must be true"}},
		{"security: {tls: true, cert: config_test.go}", "", []string{"security.key must be set where security.cert is"}},
		{"security: {ca: /nowhere}", "", []string{"must be a file that can be read: no such file"}},
		{"sessions: 0\nlogLevel: loud\nxyzzy: 1\nnamespace: a/b", "ONHAND_XYZZY=a",
			[]string{"xyzzy is no setting", "must be from 1 to 16", "must be debug", "must be 1 to 64", "ONHAND_XYZZY"}},
	} {
		_, err := loadConfig(writeFile(t, "onhand.yaml", test.yaml), []string{test.environ}, nil)
		problems := problemsOf(err)
		if len(problems) != len(test.want) {
			t.Errorf("%s %s: %d problems, want %d:\n%v", test.yaml, test.environ, len(problems), len(test.want), err)
			continue
		}
		for _, want := range test.want {
			if !slices.ContainsFunc(problems, func(p *Problem) bool { return strings.Contains(p.Error(), want) }) {
				t.Errorf("%s %s: no problem %q in\n%v", test.yaml, test.environ, want, err)
			}
		}
	}
}

func TestConfigFilesThatCannotBeRead(t *testing.T) {
	onhand(t, nil, "config", "check", "--config", "/nowhere.yaml").want(t, exitFailure, "reading the configuration /nowhere.yaml: no such file", "--config")
	onhand(t, nil, "config", "check", "--config", writeFile(t, "c.yaml", "a: b: c")).want(t, exitFailure, "reading the configuration", "onhand config print")
}

func TestSecretsAreNotPrinted(t *testing.T) {
	environ := []string{
		"ONHAND_SECURITY_MECHANISM=PLAIN", "ONHAND_SECURITY_USER=u", "ONHAND_SECURITY_PASSWORD=hush",
		"ONHAND_REDIS=rediss+sentinel://u:hu@sh@a:1,b:2/m?db=1&sentinel_username=s&sentinel_password=hush",
		"ONHAND_REGISTRY=http://u:hush@a:1/base",
	}
	for _, args := range [][]string{{"config", "print"}, {"config", "print", "--json"}} {
		r := onhand(t, environ, args...)
		r.want(t, 0, "***", "rediss+sentinel://u:***@a:1,b:2/m?db=1", "sentinel_username=s", "sentinel_password=***", "http://u:***@a:1/base")
		if strings.Contains(r.out+r.err, "hush") || strings.Contains(r.out+r.err, "sh@") {
			t.Errorf("a secret is printed:\n%s", r.out)
		}
	}
	r := onhand(t, append(environ, "ONHAND_REGISTRY=ftp://u:hush@a:1"), "config", "check")
	r.want(t, exitUsage, "ftp://u:***@a:1")
	if strings.Contains(r.out+r.err, "hush") {
		t.Errorf("a secret is printed:\n%s", r.err)
	}
}

func TestConfigPrintIsAConfigFile(t *testing.T) {
	environ := []string{"ONHAND_NAMESPACE=acme", "ONHAND_BROKERS=a:1,b:2", "ONHAND_CACHE_BYTES=1GiB", "ONHAND_SECURITY_TLS=true", "ONHAND_REQUIRE_EFFECTIVE_DATE=false"}
	first := onhand(t, environ, "config", "print", "--sessions", "2")
	first.want(t, 0, "# environment ONHAND_NAMESPACE", "# flag --sessions", "# default")
	again, err := loadConfig(writeFile(t, "onhand.yaml", first.out), nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, first.out)
	}
	want, err := loadConfig("", environ, map[string]string{"sessions": "2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if got, want := s.value(again.Config).String(), s.value(want.Config).String(); got != want {
			t.Errorf("%s is %s after a round trip, want %s", s.key, got, want)
		}
	}
}

func TestConfigPrintJSON(t *testing.T) {
	r := onhand(t, nil, "config", "print", "--json", "--namespace", "acme")
	var list []settingJSON
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != len(settings) || list[3].Key != "namespace" || list[3].Value != "acme" || list[3].Source != "flag --namespace" {
		t.Errorf("%+v", list)
	}
	onhand(t, nil, "config", "check", "--json").want(t, 0, `"good": true`)
	onhand(t, nil, "config", "check", "--json", "--sessions", "99").want(t, exitUsage, `"field": "flag --sessions"`, `"value": "99"`, `"rule": "must be from 1 to 16"`)
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"nonsense"}, []string{"unknown command", "onhand help"}},
		{[]string{"config", "chekc"}, []string{`onhand config has no command "chekc"; did you mean check?`}},
		{[]string{"config"}, []string{"onhand config wants a command: check or print"}},
		{[]string{"config", "check", "--namespac", "a"}, []string{"unknown flag: --namespac; did you mean --namespace?"}},
		{[]string{"config", "check", "more"}, []string{"onhand config check wants no arguments, not 1"}},
		{[]string{"version", "--json=x"}, []string{"invalid argument"}},
	} {
		onhand(t, nil, test.args...).want(t, exitUsage, test.want...)
	}
	onhand(t, nil, "version").want(t, 0, "onhand ", "go1.")
	onhand(t, nil, "completion", "bash").want(t, 0, "bash completion")
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"abc", "abc", 0}} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestReportSaysTheWayOut(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		want string
	}{
		{nil, 0, ""},
		{fmt.Errorf("reading: %w", hinted(errors.New("no such thing"), "make one")), exitFailure, "onhand: reading: no such thing\n  make one\n"},
		{hinted(usagef("too much"), "less"), exitUsage, "onhand: too much\n  less\n"},
		{fmt.Errorf("polling: %w", context.Canceled), exitInterrupted, "onhand: interrupted\n"},
		{fmt.Errorf("copying: %w", interruptedf("%d were left", 3)), exitInterrupted, "onhand: interrupted; 3 were left\n"},
		{errReported, exitFailure, ""},
		{errors.Join(errors.New("one"), errors.New("two")), exitFailure, "onhand: one\n  two\n"},
	} {
		var out strings.Builder
		if code := report(&out, test.err); code != test.code || out.String() != test.want {
			t.Errorf("%v: code %d and %q, want %d and %q", test.err, code, out.String(), test.code, test.want)
		}
	}
}
