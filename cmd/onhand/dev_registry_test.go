package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ask sends one request to a registry and returns its status and body.
func ask(t *testing.T, r *devRegistry, method, uri, body string) (status int, answer string) {
	t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(body)))
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, strings.TrimSpace(string(text))
}

func reopen(t *testing.T, name string) *devRegistry {
	t.Helper()
	r, err := openDevRegistry(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

const (
	schemaA = `{"schema":"{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}"}`
	schemaB = `{"schema":"{\"type\":\"record\",\"name\":\"B\",\"fields\":[]}"}`
)

func TestDevRegistryGivesTheSameIDsAfterARestart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "registry.ndjson")
	first := reopen(t, name)
	for _, request := range [][3]string{
		{http.MethodPost, "/subjects/a-value/versions", schemaA},
		{http.MethodPost, "/subjects/b-value/versions", schemaB},
		{http.MethodPut, "/config/b-value", `{"compatibility":"BACKWARD"}`},
		{http.MethodDelete, "/subjects/a-value", ""},
		{http.MethodPost, "/subjects/c-value/versions", strings.Replace(schemaA, "A", "C", 1)},
	} {
		if status, answer := ask(t, first, request[0], request[1], request[2]); status != http.StatusOK {
			t.Fatalf("%v: status %d, %s", request, status, answer)
		}
	}
	second := reopen(t, name)
	for _, uri := range []string{"/subjects", "/subjects/b-value/versions/1", "/subjects/c-value/versions/1", "/config/b-value", "/subjects/a-value/versions/1"} {
		statusBefore, before := ask(t, first, http.MethodGet, uri, "")
		if status, after := ask(t, second, http.MethodGet, uri, ""); status != statusBefore || after != before {
			t.Errorf("%s: %d %s after a restart, %d %s before", uri, status, after, statusBefore, before)
		}
	}
	_, last := ask(t, second, http.MethodPost, "/subjects/d-value/versions", strings.Replace(schemaA, "A", "D", 1))
	if !strings.Contains(last, `"id":4`) {
		t.Errorf("a fourth schema after a restart got %s, want id 4", last)
	}
}

func TestDevRegistryKeepsOnlyChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "registry.ndjson")
	r := reopen(t, name)
	lines := func() int {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
	ask(t, r, http.MethodPost, "/subjects/a-value/versions", schemaA)
	ask(t, r, http.MethodPost, "/subjects/a-value/versions", schemaA)
	ask(t, r, http.MethodPost, "/subjects/a-value", schemaA)
	ask(t, r, http.MethodPost, "/compatibility/subjects/a-value/versions", schemaB)
	ask(t, r, http.MethodGet, "/subjects", "")
	if n := lines(); n != 1 {
		t.Errorf("%d lines after one change, repeated, and questions, want 1", n)
	}
	if status, _ := ask(t, r, http.MethodPost, "/subjects/a-value/versions", `{"schema":`); status < http.StatusBadRequest || lines() != 1 {
		t.Errorf("status %d and %d lines after a request that was refused, want an error and 1 line", status, lines())
	}
}

func TestDevRegistryDropsALineCutShort(t *testing.T) {
	name := filepath.Join(t.TempDir(), "registry.ndjson")
	ask(t, reopen(t, name), http.MethodPost, "/subjects/a-value/versions", schemaA)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(whole, whole[:len(whole)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := reopen(t, name)
	ask(t, r, http.MethodPost, "/subjects/b-value/versions", schemaB)
	if _, answer := ask(t, reopen(t, name), http.MethodGet, "/subjects", ""); answer != `["a-value","b-value"]` {
		t.Errorf("subjects are %s, want a-value and b-value", answer)
	}
	if err := os.WriteFile(name, append([]byte("nonsense\n"), whole...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDevRegistry(name); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a damaged line gives %v, want an error that names it", err)
	}
}
