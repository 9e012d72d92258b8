package cache

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"onhand/processor/availability"
)

// refused opens a store that cannot be, and checks what the error says and does not say.
func refused(t *testing.T, url string, o Options, want string) {
	t.Helper()
	if o.Namespace == "" {
		o.Namespace = "test"
	}
	r, err := Open(t.Context(), url, o)
	if err == nil {
		_ = r.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, not an error with %q", err, want)
	} else if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error has the password: %v", err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	m := miniredis.RunT(t)
	stopped := miniredis.RunT(t)
	gone := stopped.Addr()
	stopped.Close()
	refused(t, "redis://u:hunter2@"+gone, Options{}, "nothing listens there")
	refused(t, "redis+sentinel://u:hunter2@"+gone+"/m?sentinel_password=hunter2", Options{}, "nothing listens there")
	refused(t, "redis+cluster://u:hunter2@"+gone, Options{}, "nothing listens there")
	refused(t, "redis://u:hunter2@no-such-host.invalid", Options{}, "check the host name")
	refused(t, "redis+sentinel://"+m.Addr()+"/main", Options{}, "the server is no Sentinel")
	refused(t, pretending(t, map[string]func(*server.Peer){"SELECT": fault("ERR DB index is out of range")})+"/99", Options{}, "no database of that number")
	refused(t, "rediss://"+m.Addr(), Options{}, "use redis for rediss")
	refused(t, "rediss://"+m.Addr()+"?ca=/no/such/file", Options{}, "reading ca")
	refused(t, "rediss://"+m.Addr()+"?cert=/no/such/file&key=/none", Options{}, "reading cert and key")
	for _, namespace := range []string{"a{b", "a}b", "a:b", "a b", strings.Repeat("a", 65), "ä"} {
		refused(t, "redis://"+m.Addr(), Options{Namespace: namespace}, "namespace")
	}
	refused(t, "redis://"+m.Addr(), Options{PoolSize: -1}, "below zero")

	m.RequireUserAuth("onhand", "right")
	refused(t, "redis://"+m.Addr(), Options{}, "wants a password")
	refused(t, "redis://onhand:hunter2@"+m.Addr(), Options{}, "check user and password")
	openRedis(t, "redis://onhand:right@"+m.Addr(), Options{})
}

// pretending is a server that answers some commands as another would.
func pretending(t *testing.T, answers map[string]func(*server.Peer)) string {
	t.Helper()
	m := miniredis.RunT(t)
	m.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
		answer, ok := answers[strings.ToUpper(command)]
		if ok {
			answer(c)
		}
		return ok
	})
	return "redis://" + m.Addr()
}

func bulk(text string) func(*server.Peer)  { return func(c *server.Peer) { c.WriteBulk(text) } }
func fault(text string) func(*server.Peer) { return func(c *server.Peer) { c.WriteError(text) } }
func policy(name string) func(*server.Peer) {
	return func(c *server.Peer) { c.WriteStrings([]string{"maxmemory-policy", name}) }
}

func TestOpenRefusesAServerThatMayEvict(t *testing.T) {
	const noConfig, noPermission = "ERR unknown command 'CONFIG'", "NOPERM this user has no permissions to run it"
	for _, c := range []struct {
		name         string
		info, config func(*server.Peer)
		want         string // nothing: it opens
	}{
		{"CONFIG says so", bulk("# Memory\r\nmaxmemory_policy:noeviction\r\n"), policy("allkeys-lru"), "set maxmemory-policy noeviction"},
		{"CONFIG is not there, INFO says so", bulk("# Memory\r\nmaxmemory_policy:volatile-ttl\r\n"), fault(noConfig), "set maxmemory-policy noeviction"},
		{"CONFIG is forbidden, INFO says so", bulk("# Memory\r\nmaxmemory_policy:allkeys-random\r\n"), fault(noPermission), "set maxmemory-policy noeviction"},
		{"both are forbidden", fault(noPermission), fault(noPermission), "lacks the right +info"},
		{"CONFIG says it does not", bulk("# Memory\r\n"), policy("noeviction"), ""},
		{"CONFIG is not there, INFO says it does not", bulk("# Memory\r\nmaxmemory_policy:noeviction\r\n"), fault(noConfig), ""},
		{"neither says anything", bulk("# Clients\r\nconnected_clients:1\r\n"), fault(noConfig), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := pretending(t, map[string]func(*server.Peer){"INFO": c.info, "CONFIG": c.config})
			if c.want != "" {
				refused(t, url, Options{}, c.want)
				return
			}
			openRedis(t, url, Options{})
		})
	}
}

func TestOpenRefusesAServerOfAnotherKind(t *testing.T) {
	kind := func(mode string) string {
		return pretending(t, map[string]func(*server.Peer){"INFO": bulk("# Server\r\nredis_mode:" + mode + "\r\n"), "CONFIG": policy("noeviction")})
	}
	refused(t, kind("cluster"), Options{}, "use redis+cluster://")
	refused(t, kind("sentinel"), Options{}, "use redis+sentinel://")
	refused(t, kind("standalone\r\nrole:slave"), Options{}, "is a replica")
	openRedis(t, kind("standalone\r\nrole:master"), Options{})
	lone := pretending(t, map[string]func(*server.Peer){"CLUSTER": fault("ERR This instance has cluster support disabled")})
	refused(t, strings.Replace(lone, "redis://", "redis+cluster://", 1), Options{}, "use redis://")
}

// TestOpenSaysWhatSilenceMayMean: Redis waits for more of a command where TLS waits for an answer.
func TestOpenSaysWhatSilenceMayMean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			return here, nil
		}
		refused(t, "redis://127.0.0.1", Options{Dialer: silent}, "check host, port and firewalls")
		refused(t, "rediss://127.0.0.1", Options{Dialer: silent}, "use redis for rediss")
	})
}

func TestOpenWaitsForAServerThatStarts(t *testing.T) {
	answers := 0
	m := miniredis.RunT(t)
	m.Server().SetPreHook(func(c *server.Peer, _ string, _ ...string) bool {
		if answers++; answers > 3 {
			return false
		}
		c.WriteError("LOADING Redis is loading the dataset in memory")
		return true
	})
	openRedis(t, "redis://"+m.Addr(), Options{})

	m.SetError("LOADING Redis is loading the dataset in memory")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "redis://"+m.Addr(), Options{Namespace: "test"}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "LOADING") {
		t.Errorf("a server that stays so: %v", err)
	}
	m.SetError("")
}

// authority is a certificate authority of this test, and files with what it signed.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign writes name.pem and name.key. The authority signs itself first.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// serve starts a server with the certificate "server", which asks for one of this authority.
func (a *authority) serve(ask tls.ClientAuthType) *miniredis.Miniredis {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	m, err := miniredis.RunTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: ask, ClientCAs: clients})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(m.Close)
	return m
}

func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	ours.sign("server", &x509.Certificate{DNSNames: []string{"redis.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ours.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	m := ours.serve(tls.NoClientCert)
	ca := "ca=" + url.QueryEscape(ours.file("ca.pem"))
	open := func(m *miniredis.Miniredis, options string, o Options) {
		t.Helper()
		s, c := openRedis(t, "rediss://"+m.Addr()+"?"+options, o), chain{t: t}
		c.commit(s, c.next(stocked("a", counted("L1", 1))))
		equal(t, "stock", c.whole(s, "a")[0].Cells, []availability.Cell{counted("L1", 1)})
	}
	open(m, ca, Options{})
	open(m, ca+"&server_name=redis.example", Options{})
	open(m, "skip_verify=true", Options{})
	open(m, ca, Options{Dialer: new(net.Dialer).DialContext})
	refused(t, "rediss://"+m.Addr(), Options{}, "is not trusted: set ca")
	refused(t, "rediss://"+m.Addr()+"?ca="+url.QueryEscape(other.file("ca.pem")), Options{}, "is not trusted: set ca")
	refused(t, "rediss://"+m.Addr()+"?"+ca+"&server_name=other.example", Options{}, "set server_name")
	refused(t, "rediss://"+m.Addr()+"?"+ca+"&server_name=other.example", Options{Dialer: new(net.Dialer).DialContext}, "set server_name")
	refused(t, "rediss://"+m.Addr()+"?ca="+url.QueryEscape(ours.file("ca.key")), Options{}, "has no certificate")
	refused(t, "redis://"+m.Addr(), Options{}, "use rediss for redis")

	strict := ours.serve(tls.RequireAndVerifyClientCert)
	pair := "&cert=" + url.QueryEscape(ours.file("client.pem")) + "&key=" + url.QueryEscape(ours.file("client.key"))
	open(strict, ca+pair, Options{})
	refused(t, "rediss://"+strict.Addr()+"?"+ca, Options{}, "set cert and key")
}
