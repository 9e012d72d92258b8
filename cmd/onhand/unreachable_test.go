package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// soon fails the test where a command took so long that a person would have given up.
func soon(t *testing.T, call func() result) result {
	t.Helper()
	began := time.Now()
	r := call()
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("it took %s", took)
	}
	return r
}

// everyKafkaCommand is one call of each command that needs Kafka.
func everyKafkaCommand(t *testing.T) [][]string {
	graph, feed := writeFile(t, "graph.yaml", testGraph), writeFile(t, "feed.ndjson", storyFeed)
	return [][]string{
		{"topics", "plan"}, {"topics", "apply"}, {"topics", "verify"}, {"graph", "plan", graph}, {"graph", "publish", graph}, {"graph", "show"},
		{"graph", "status"}, {"status"}, {"import", feed}, {"import", "--dry-run", feed}, {"reserve", "S", "1", "--group", "EAST"},
		{"release", "S", "--reservation", "r"}, {"watch"}, {"run", "--admin", "127.0.0.1:0"},
	}
}

func TestKafkaThatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	environ := []string{"ONHAND_BROKERS=" + unusedAddress(t)}
	for _, args := range everyKafkaCommand(t) {
		soon(t, func() result { return onhand(t, environ, args...) }).want(t, exitFailure, "no Kafka broker answers at 127.0.0.1:", "connection refused", "--brokers (ONHAND_BROKERS)")
	}
	soon(t, func() result { return onhand(t, []string{"ONHAND_BROKERS=no-such-host.invalid:9092"}, "status") }).
		want(t, exitFailure, `no host of the name "no-such-host.invalid"`, "correct --brokers")
}

func TestKafkaThatSaysNothingIsSaid(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	soon(t, func() result { return onhand(t, []string{"ONHAND_BROKERS=" + listener.Addr().String()}, "status") }).
		want(t, exitFailure, "no Kafka broker answers at 127.0.0.1:", "--brokers (ONHAND_BROKERS)")
}

func TestMissingTopicsAndWrongNamespacesAreSaid(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	for _, args := range everyKafkaCommand(t) {
		if args[0] == "topics" {
			continue
		}
		s.onhand(args...).want(t, exitFailure, "are missing", s.namespace+".stock-deltas", "onhand topics apply", "--namespace")
	}
	s.setUp()
	s.onhand("status", "--namespace", "nobody").want(t, exitFailure, `namespace "nobody" has no topics in this Kafka; it has those of `+s.namespace, "--namespace")
	s.onhand("import", writeFile(t, "feed.ndjson", storyFeed)).want(t, exitFailure, "has no location graph", "onhand graph publish FILE")
	s.onhand("graph", "show").want(t, exitFailure, "has no location graph")
	s.onhand("get", "S").want(t, exitFailure, "holds nothing of namespace "+s.namespace, "onhand run")
}

func TestTopicsThatDoNotGoTogetherAreSaid(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 3, 1, nil, s.namespace+".dead-letters"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 4, 1, nil, s.namespace+".stock-deltas"); err != nil {
		t.Fatal(err)
	}
	s.onhand("topics", "plan", "--partitions", "4").want(t, 0, "dead-letters has 3 partitions, want 4")
	s.onhand("topics", "verify", "--partitions", "4").want(t, exitFailure, "dead-letters has 3 partitions, want 4", "delete them where they are empty")
	s.onhand("topics", "verify", "--json").want(t, exitFailure, `"kind": "partitions"`, `"kind": "missing"`)
	for _, name := range []string{"reservation-events", "availability-updates", "reservation-results"} {
		if _, err := admin.CreateTopic(t.Context(), 4, 1, nil, s.namespace+"."+name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, s.namespace+".location-graph"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"run", "--admin", "127.0.0.1:0"}} {
		s.onhand(args...).want(t, exitFailure, "do not go together", "dead-letters has 3 partitions", "onhand topics plan")
	}
	s.onhand("topics", "plan", "--partitions", "-1").want(t, exitUsage, "partitions -1")
}

func TestRegistryThatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	there := s.environ
	s.environ = append(s.environ[:1:1], "ONHAND_REGISTRY=http://"+unusedAddress(t), s.environ[2], s.environ[3])
	for _, args := range [][]string{
		{"schemas", "register"}, {"schemas", "check"}, {"import", writeFile(t, "feed.ndjson", storyFeed)}, {"reserve", "S", "1", "--group", "EAST"},
		{"graph", "show"}, {"run", "--admin", "127.0.0.1:0"},
	} {
		soon(t, func() result { return s.onhand(args...) }).want(t, exitFailure, "the schema registry at http://127.0.0.1:", "does not answer", "--registry (ONHAND_REGISTRY)")
	}
	s.environ = there
	other := append(there[:3:3], "ONHAND_NAMESPACE="+s.namespace+"x")
	onhand(t, other, "topics", "apply", "--partitions", "4").want(t, 0)
	onhand(t, other, "run", "--admin", "127.0.0.1:0").want(t, exitFailure, "not registered", "onhand schemas register")
	onhand(t, other, "schemas", "check").want(t, exitFailure, "not registered", "onhand schemas register")
}

func TestRedisThatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	s.environ[2] = "ONHAND_REDIS=redis://u:hush@" + unusedAddress(t)
	for _, args := range [][]string{{"get", "S"}, {"run", "--admin", "127.0.0.1:0"}} {
		r := soon(t, func() result { return s.onhand(args...) })
		r.want(t, exitFailure, "127.0.0.1:", "nothing listens there", "--redis (ONHAND_REDIS)")
		if strings.Contains(r.err, "hush") {
			t.Errorf("the password is printed: %s", r.err)
		}
	}
	s.onhand("status").want(t, 0, "?", "Redis is not shown")

	redis := miniredis.RunT(t)
	redis.RequireUserAuth("u", "right")
	s.environ[2] = "ONHAND_REDIS=redis://u:wrong@" + redis.Addr()
	s.onhand("get", "S").want(t, exitFailure, "WRONGPASS", "--redis (ONHAND_REDIS)")
}

// testCertificate writes a certificate for 127.0.0.1 that is its own authority.
func testCertificate(t *testing.T) (pair tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"kafka.test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func TestKafkaWithPasswordAndTLS(t *testing.T) {
	t.Parallel()
	pair, ca := testCertificate(t)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "u", "right"), kfake.Superuser("PLAIN", "p", "right"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	base := []string{"ONHAND_BROKERS=" + kafka.ListenAddrs()[0]}
	with := func(more ...string) []string { return append(base[:1:1], more...) }
	login := []string{"ONHAND_SECURITY_TLS=true", "ONHAND_SECURITY_CA=" + ca, "ONHAND_SECURITY_USER=u", "ONHAND_SECURITY_MECHANISM=SCRAM-SHA-256"}
	for _, test := range []struct {
		environ []string
		code    int
		want    []string
	}{
		{with(append(login, "ONHAND_SECURITY_PASSWORD=right")...), 0, []string{"is missing, want 64 partitions"}},
		{with("ONHAND_SECURITY_TLS=true", "ONHAND_SECURITY_CA="+ca, "ONHAND_SECURITY_USER=p", "ONHAND_SECURITY_MECHANISM=PLAIN", "ONHAND_SECURITY_PASSWORD=right"), 0, nil},
		{with(append(login, "ONHAND_SECURITY_PASSWORD=wrong")...), exitFailure, []string{"ONHAND_SECURITY_PASSWORD"}},
		{with("ONHAND_SECURITY_TLS=true", "ONHAND_SECURITY_CA="+ca, "ONHAND_SECURITY_USER=p", "ONHAND_SECURITY_MECHANISM=PLAIN", "ONHAND_SECURITY_PASSWORD=wrong"), exitFailure, []string{"ONHAND_SECURITY_PASSWORD"}},
		{with("ONHAND_SECURITY_TLS=true", "ONHAND_SECURITY_CA="+ca), exitFailure, []string{"--security-mechanism"}},
		{with("ONHAND_SECURITY_TLS=true"), exitFailure, []string{"is not trusted", "--security-ca"}},
		{with("ONHAND_SECURITY_TLS=true", "ONHAND_SECURITY_CA="+ca, "ONHAND_SECURITY_SERVER_NAME=other.test"), exitFailure, []string{"is for another name", "--security-server-name"}},
		{with(), exitFailure, []string{"--security-tls"}},
	} {
		soon(t, func() result { return onhand(t, test.environ, "topics", "plan") }).want(t, test.code, test.want...)
	}
	plain := fakeStage(t)
	onhand(t, append(plain.environ, "ONHAND_SECURITY_TLS=true"), "topics", "plan").want(t, exitFailure, "leave --security-tls out")
	empty := writeFile(t, "empty.pem", "nothing")
	onhand(t, append(base, "ONHAND_SECURITY_TLS=true", "ONHAND_SECURITY_CA="+empty), "topics", "plan").want(t, exitFailure, "has no certificate in it")
}

func TestAdminAddressInUseIsSaid(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	onhand(t, nil, "run", "--admin", listener.Addr().String()).want(t, exitFailure, "address already in use", "--admin (ONHAND_ADMIN)")
}
