package schemas

import (
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// Registries differ, so what the contract asks of one is asked of each: the one in memory, and a real one where
// ONHAND_TEST_REGISTRY names its URL.
func TestContractWithTheRegistryInMemory(t *testing.T) {
	_, g := newFake(t)
	testContract(t, g)
}

// As Apicurio is until it is told otherwise: no subject is guarded.
func TestContractWithoutAGuard(t *testing.T) {
	_, g := newFake(t, srfake.WithGlobalCompat(sr.CompatNone))
	testContract(t, g)
}

func TestContractWithARealRegistry(t *testing.T) {
	url := os.Getenv("ONHAND_TEST_REGISTRY")
	if url == "" {
		return // the fakes above stand in; a run with services fails unless this one is used
	}
	testContract(t, newClient(t, url, RegistryOptions{}))
}

func testContract(t *testing.T, g *Registry) {
	namespace := "test-" + strings.ToLower(rand.Text()) // registries keep subjects for ever
	checkNothingRegistered(t, g, namespace)
	first, err := g.RegisterAll(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[int]bool)
	for i, done := range first {
		if done.Subject != namespace+"."+topics[i]+"-value" || done.Record != records[i] || done.Version != 1 || !done.Created || !done.CompatibilitySet {
			t.Errorf("first time: %+v", done)
		}
		ids[done.ID] = true
	}
	if len(ids) != len(records) {
		t.Errorf("%d records have %d ids", len(records), len(ids))
	}
	again, err := g.RegisterAll(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	for i, done := range again {
		if done.ID != first[i].ID || done.Version != 1 || done.Created || done.CompatibilitySet {
			t.Errorf("second time: %+v, first time %+v", done, first[i])
		}
	}
	checks, err := g.CheckAll(t.Context(), namespace)
	if err != nil || len(checks) != len(records) {
		t.Fatalf("%d checks, %v", len(checks), err)
	}
	for i, check := range checks {
		if len(check.Problems) > 0 || check.ID != first[i].ID || check.Latest != 1 || check.Compatibility != "BACKWARD" {
			t.Errorf("%+v", check)
		}
	}
	checkDecoding(t, g, first)
	checkEvolution(t, g, namespace)
}

func checkNothingRegistered(t *testing.T, g *Registry, namespace string) {
	t.Helper()
	checks, err := g.CheckAll(t.Context(), namespace)
	if err != nil || len(checks) != len(records) {
		t.Fatalf("%d checks, %v", len(checks), err)
	}
	for _, check := range checks {
		if check.ID != 0 || len(check.Problems) != 1 || !strings.Contains(check.Problems[0], "not registered") {
			t.Errorf("%+v", check)
		}
	}
	subject := Subjects(namespace)[0]
	if _, err := g.Latest(t.Context(), subject.Name); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("latest of nothing: %v", err)
	}
	if versions, err := g.Versions(t.Context(), subject.Name); err != nil || len(versions) != 0 {
		t.Errorf("versions of nothing: %v, %v", versions, err)
	}
	if err := g.CheckCompatible(t.Context(), subject.Name, subject.Text); err != nil {
		t.Errorf("compatible with nothing: %v", err)
	}
	if _, err := g.Schema(t.Context(), 1<<30); !errors.Is(err, ErrUnknownSchema) {
		t.Errorf("an id that does not exist: %v", err)
	}
}

// checkDecoding takes the ids of the registry through encoder, registry and decoder.
func checkDecoding(t *testing.T, g *Registry, registrations []Registration) {
	t.Helper()
	d := NewDecoder(g, DecoderOptions{})
	r := newRandom(t)
	for i, c := range codecs(t) {
		rec, back := c.draw(r), c.empty()
		if err := c.decode(d, c.append(nil, registrations[i].ID, rec), back); err != nil {
			t.Errorf("%s: %v", c.record, err)
		} else if jsonOf(t, back) != jsonOf(t, rec) {
			t.Errorf("%s: another record came back", c.record)
		}
		w := (*d.known.writers.Load())[registrations[i].ID]
		if w == nil || w.generic != nil {
			t.Errorf("%s: the registry's text takes the slow path", c.record)
		}
	}
}

// checkEvolution registers a later version that we can read, and one that we cannot, past our own checks.
func checkEvolution(t *testing.T, g *Registry, namespace string) {
	t.Helper()
	deltas, events := Subjects(namespace)[recordStockDelta], Subjects(namespace)[recordReservationEvent]

	wider := withField(t, deltas.Text, `{"name":"shelf","type":["null","string"],"default":null}`)
	id, version, err := g.Register(t.Context(), deltas.Name, wider)
	if err != nil || version != 2 {
		t.Fatalf("registering a wider schema: version %d, %v", version, err)
	}
	var into StockDelta
	value := append(deltaValue(id), 2, 4, 'A', '1')
	if err := NewDecoder(g, DecoderOptions{}).DecodeStockDelta(t.Context(), value, &into); err != nil || into.SKU != sampleDelta().SKU {
		t.Errorf("reading what a wider schema wrote: %s, %v", jsonOf(t, into), err)
	}
	latest, err := g.Latest(t.Context(), deltas.Name)
	if err != nil || latest.ID != id || latest.Version != 2 {
		t.Errorf("latest: %+v, %v", latest, err)
	}
	done, err := g.RegisterAll(t.Context(), namespace)
	if err != nil || done[recordStockDelta].Created || done[recordStockDelta].Version != 1 {
		t.Errorf("a newer version made us register ours again: %+v, %v", done, err)
	}

	if err := g.SetCompatibility(t.Context(), events.Name, sr.CompatNone); err != nil {
		t.Fatal(err)
	}
	unreadable := strings.Replace(events.Text, `"name":"sku","type":"string"`, `"name":"sku","type":"int"`, 1)
	if _, _, err := g.Register(t.Context(), events.Name, unreadable); err != nil {
		t.Fatal(err)
	}
	checks, err := g.CheckAll(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	wantProblems(t, checks[recordStockDelta], "registered version 2: newer")
	wantProblems(t, checks[recordReservationEvent], "registered version 2: incompatible", "sku", "level: NONE", "version 2: newer")
	wantProblems(t, checks[recordLocationGraph])
}

// withField adds a field at the end of a record's text.
func withField(t testing.TB, text, field string) string {
	t.Helper()
	wider, ok := strings.CutSuffix(text, "]}")
	if !ok {
		t.Fatalf("fields are not the last of %s", text)
	}
	return wider + "," + field + "]}"
}

func wantProblems(t *testing.T, check Check, says ...string) {
	t.Helper()
	all := strings.Join(check.Problems, "\n")
	for _, want := range says {
		if !strings.Contains(all, want) {
			t.Errorf("%s: want %q among\n%s", check.Subject, want, all)
		}
	}
	if len(says) == 0 && all != "" {
		t.Errorf("%s: %s", check.Subject, all)
	}
}

// A subject that holds what we cannot read is left alone, whatever its registry thinks: the one in memory calls every
// schema compatible.
func TestIncompatibleSubjectsAreRefusedOffline(t *testing.T) {
	_, g := newFake(t)
	subject := Subjects("acme")[recordReservationResult]
	earlier := strings.Replace(subject.Text, `"name":"granted"`, `"name":"given"`, 1)
	if _, _, err := g.Register(t.Context(), subject.Name, earlier); err != nil {
		t.Fatal(err)
	}
	done, err := g.RegisterAll(t.Context(), "acme")
	if !errors.Is(err, ErrIncompatible) || !strings.Contains(err.Error(), subject.Name) || !strings.Contains(err.Error(), "granted") {
		t.Errorf("got %v", err)
	}
	if len(done) != int(recordReservationResult) {
		t.Errorf("%d subjects done, want those before %s", len(done), subject.Name)
	}
	versions, err := g.Versions(t.Context(), subject.Name)
	if err != nil || len(versions) != 1 {
		t.Errorf("%d versions, %v: something was registered", len(versions), err)
	}
	checks, err := g.CheckAll(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	wantProblems(t, checks[recordReservationResult], "registered version 1: incompatible", "granted", "embedded schema: not registered")
}

func TestStricterLevelsAreKept(t *testing.T) {
	_, g := newFake(t)
	subject := Subjects("acme")[0]
	if err := g.SetCompatibility(t.Context(), subject.Name, sr.CompatFullTransitive); err != nil {
		t.Fatal(err)
	}
	if _, err := g.RegisterAll(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	level, err := g.Compatibility(t.Context(), subject.Name)
	if err != nil || level != sr.CompatFullTransitive {
		t.Errorf("got %s, %v", level, err)
	}
}

// What the registry itself refuses is ErrIncompatible and no outage: waiting would not help.
func TestRefusalsOfTheRegistry(t *testing.T) {
	fake, g := newFake(t)
	answer := func(status int, body string) {
		fake.ClearInterceptors()
		fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.WriteHeader(status)
			if _, err := w.Write([]byte(body)); err != nil {
				t.Error(err)
			}
			return true
		})
	}
	answer(http.StatusConflict, `{"error_code":409,"message":"reader field granted"}`)
	if _, _, err := g.Register(t.Context(), "s-value", `"string"`); !errors.Is(err, ErrIncompatible) || errors.Is(err, ErrUnavailable) {
		t.Errorf("conflict: %v", err)
	}
	answer(http.StatusUnprocessableEntity, `{"error_code":42201,"message":"not Avro"}`)
	if _, _, err := g.Register(t.Context(), "s-value", `{`); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "not Avro") {
		t.Errorf("invalid schema: %v", err)
	}
	answer(http.StatusOK, `{"is_compatible":false,"messages":["reader field granted"]}`)
	if err := g.CheckCompatible(t.Context(), "s-value", `"string"`); !errors.Is(err, ErrIncompatible) || !strings.Contains(err.Error(), "granted") {
		t.Errorf("incompatible: %v", err)
	}
}

// A subject that holds something else than Avro is a problem to report, not a reason to give up on the others.
func TestForeignSubjectsAreReported(t *testing.T) {
	fake, g := newFake(t)
	if _, err := g.RegisterAll(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	subject := Subjects("acme")[recordStockDelta].Name
	fake.SeedSchema(subject, 2, 99, sr.Schema{Schema: `syntax = "proto3";`, Type: sr.TypeProtobuf})
	checks, err := g.CheckAll(t.Context(), "acme")
	if err != nil || len(checks) != len(records) {
		t.Fatalf("%d checks, %v", len(checks), err)
	}
	wantProblems(t, checks[recordStockDelta], "PROTOBUF")
	wantProblems(t, checks[recordLocationGraph])
}
