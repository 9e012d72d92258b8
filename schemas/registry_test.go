package schemas

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// newFake is a registry in memory and a client of it.
func newFake(t testing.TB, options ...srfake.Option) (*srfake.Registry, *Registry) {
	t.Helper()
	fake := srfake.New(options...)
	t.Cleanup(fake.Close)
	return fake, newClient(t, fake.URL(), RegistryOptions{RetryWait: time.Millisecond})
}

func newClient(t testing.TB, url string, options RegistryOptions) *Registry {
	t.Helper()
	g, err := NewRegistry(url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func TestSchemasByID(t *testing.T) {
	fake, g := newFake(t)
	id, version, err := g.Register(t.Context(), "s-value", recordStockDelta.text())
	if err != nil || version != 1 {
		t.Fatalf("version %d, %v", version, err)
	}
	text, err := g.Schema(t.Context(), id)
	if err != nil || text != recordStockDelta.text() {
		t.Fatalf("got %s, %v", text, err)
	}
	if _, err := g.Schema(t.Context(), 4711); !errors.Is(err, ErrUnknownSchema) || errors.Is(err, ErrUnavailable) {
		t.Errorf("an id that does not exist: %v", err)
	}
	var into StockDelta
	if err := NewDecoder(g, DecoderOptions{}).DecodeStockDelta(t.Context(), deltaValue(id), &into); err != nil {
		t.Errorf("decoding by way of the registry: %v", err)
	}
	fake.Close()
	if _, err := g.Schema(t.Context(), id); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a registry that is down: %v", err)
	}
}

// answering is a server that answers every request alike and counts them.
func answering(t testing.TB, status int, body string) (string, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(status)
		if _, err := w.Write([]byte(body)); err != nil {
			t.Log(err) // the client cut a long answer off
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, &asked
}

func TestAnswersOfARegistry(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		err    error
		says   string
		asked  int64
	}{
		{"unknown id", 404, `{"error_code":40403,"message":"Schema not found"}`, ErrUnknownSchema, "id 5", 1},
		{"wrong base path", 404, `<html>`, ErrUnavailable, "base path", 1},
		{"wrong base path of Apicurio", 404, `{"error_code":404,"message":"Could not find resource"}`, ErrUnavailable, "base path", 1},
		{"unauthorized", 401, `{"error_code":40101,"message":"Unauthorized"}`, ErrUnavailable, "401", 1},
		{"forbidden", 403, ``, ErrUnavailable, "403", 1},
		{"overloaded", 429, ``, ErrUnavailable, "429", 3},
		{"broken", 500, `{"error_code":50001,"message":"Error in the backend"}`, ErrUnavailable, "Error in the backend", 3},
		{"page of HTML", 502, strings.Repeat("<p>", 1000), ErrUnavailable, "…", 3},
		{"no JSON", 200, `<html>`, ErrUnavailable, "decode", 1},
		{"endless", 200, `{"schema":"` + strings.Repeat("x", responseBytesMax) + `"}`, ErrUnavailable, "too large", 1},
		{"Protobuf", 200, `{"schema":"syntax","schemaType":"PROTOBUF"}`, ErrWrongRecordType, "PROTOBUF", 1},
		{"references", 200, `{"schema":"{}","references":[{"name":"a","subject":"money","version":1}]}`, ErrDecode, "money", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, asked := answering(t, c.status, c.body)
			g := newClient(t, url, RegistryOptions{RetriesMax: 2, RetryWait: time.Millisecond})
			_, err := g.Schema(t.Context(), 5)
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %v and in it %q", err, c.err, c.says)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if n := asked.Load(); n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
		})
	}
}

func TestShortOutagesAreRiddenOut(t *testing.T) {
	var failures atomic.Int64
	failures.Store(2)
	fake, g := newFake(t)
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if failures.Add(-1) < 0 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, _, err := g.Register(t.Context(), "s-value", recordStockDelta.text()); err != nil {
		t.Fatal(err)
	}
}

func TestCallsEnd(t *testing.T) {
	stuck := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(stuck) })
	g := newClient(t, server.URL, RegistryOptions{Timeout: 20 * time.Millisecond, RetriesMax: -1})
	if _, err := g.Schema(t.Context(), 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a server that does not answer: %v", err)
	}
	g = newClient(t, server.URL, RegistryOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := g.Schema(ctx, 1); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled call: %v", err)
	}
}

// TestARequestGivenUpIsNoError stops a caller in the middle of a request, as a processor that is stopped while it starts.
func TestARequestGivenUpIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	var logged bytes.Buffer
	g := newClient(t, server.URL, RegistryOptions{RetryWait: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if _, err := g.Schema(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
	if logged.Len() > 0 {
		t.Errorf("given up: %s", &logged)
	}
	server.Close()
	if _, err := g.Schema(t.Context(), 1); !errors.Is(err, ErrUnavailable) || !strings.Contains(logged.String(), "level=ERROR") {
		t.Errorf("a registry that is down: %v; logged %q", err, &logged)
	}
}

func TestBasePathAndCredentialsOfTheURL(t *testing.T) {
	var path, user, password string
	status := http.StatusUnauthorized
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		user, password, _ = r.BasicAuth()
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	var logged bytes.Buffer
	g := newClient(t, strings.Replace(server.URL, "https://", "https://reader:p%40ss@", 1)+"/apis/ccompat/v7/", RegistryOptions{
		RetriesMax: -1,
		TLS:        as[*http.Transport](server.Client().Transport).TLSClientConfig,
		Logger:     slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	_, err := g.Schema(t.Context(), 12)
	if !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if path != "/apis/ccompat/v7/schemas/ids/12" || user != "reader" || password != "p@ss" {
		t.Errorf("asked %s as %s:%s", path, user, password)
	}
	status = http.StatusNotFound // its message names the URL
	_, notFound := g.Schema(t.Context(), 12)
	server.Close() // and so does that of a connection refused
	_, refused := g.Schema(t.Context(), 12)
	if all := fmt.Sprint(err, notFound, refused, logged.String()); strings.Contains(all, "p@ss") || strings.Contains(all, "p%40ss") {
		t.Errorf("the password shows: %s", all)
	}
	if logged.Len() == 0 {
		t.Error("nothing was logged")
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := newClient(t, server.URL, RegistryOptions{RetriesMax: -1}).Schema(t.Context(), 12)
	if unknown := new(x509.UnknownAuthorityError); !errors.Is(err, ErrUnavailable) || !errors.As(err, unknown) {
		t.Errorf("a certificate nobody signed: %v", err)
	}
}

func TestURLsThatAreNone(t *testing.T) {
	for _, url := range []string{"", "localhost:8081", "ftp://host", "http://", "http://u:secret@host:port", "http://u:secret@ho st"} {
		if _, err := NewRegistry(url, RegistryOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestUnregisteredSubjectsAreGone(t *testing.T) {
	_, g := newFake(t)
	for _, namespace := range []string{"gone", "stays"} {
		if _, err := g.RegisterAll(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := g.Unregister(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range Subjects("gone") {
		if _, err := g.Latest(t.Context(), subject.Name); !errors.Is(err, ErrNotRegistered) {
			t.Errorf("%s: %v", subject.Name, err)
		}
	}
	for _, subject := range Subjects("stays") {
		if latest, err := g.Latest(t.Context(), subject.Name); err != nil || latest.Text != subject.Text {
			t.Errorf("%s, of another namespace: %v", subject.Name, err)
		}
	}
}
