package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"onhand/topics"
)

// Bounds of what a hostile file may cost: memory that is asked for in all, and time, generous for a machine that is busy.
const (
	hostileBytes = 32 << 20
	hostilePer   = 2000 // bytes for each byte of the file
	hostileTime  = 10 * time.Second
)

// bounded calls what a file of so many bytes is read with, and fails if it asks for more memory or time than it may.
func bounded(t *testing.T, size int, read func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	read()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > hostileBytes+uint64(size)*hostilePer {
		t.Errorf("%d bytes asked for to read %d", bytes, size)
	}
	if took > hostileTime {
		t.Errorf("%s to read %d bytes", took, size)
	}
}

// bombs are YAML files that are small and mean much.
func bombs() []string {
	layers := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'k'; c++ {
		layers += strings.ReplaceAll("B: &B [*A,*A,*A,*A,*A,*A,*A,*A,*A]\n", "B", string(c))
		layers = strings.ReplaceAll(layers, "*A", "*"+string(c-1))
	}
	return []string{
		layers, layers + "locations: *k\n", strings.Repeat("[", 10_000), strings.Repeat("{\"locations\":", 5000), strings.Repeat("- ", 20_000),
		"locations: " + strings.Repeat("!!binary ", 1000), "a: &a {<<: *a}\n", "? ", "%YAML 9.9\n---\n",
	}
}

// FuzzGraphFile gives the reader of graph files any bytes: it refuses them or returns what can be compiled or is refused by
// its rules, within bounds.
func FuzzGraphFile(f *testing.F) {
	f.Add([]byte(testGraph))
	f.Add([]byte(`{"locations":[{"externalReference":"L","inventoryLocation":false}],"groups":[]}`))
	for _, bomb := range bombs() {
		f.Add([]byte(bomb))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		bounded(t, len(text), func() {
			parsed, err := parseGraphFile(text)
			if err != nil {
				if err.Error() == "" {
					t.Error("refused without a word")
				}
				return
			}
			g := parsed.graph()
			spec := topics.GraphSpec(&g)
			if _, err := spec.Compile(); err == nil && spec.Validate() != nil {
				t.Errorf("a graph that breaks rules compiles: %v", spec.Validate())
			}
		})
	})
}

// FuzzConfigFile gives the reader of settings any file: it refuses it, or every setting is one that Validate takes.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte("namespace: acme\nsecurity: {tls: true, mechanism: SCRAM-SHA-512, user: u, password: p}\nbrokers: [a:1, b:2]\n"))
	f.Add([]byte("cacheBytes: 99999999999999GiB\ndedupeWindow: -1h\nsessions: 1e9\n"))
	for _, bomb := range bombs() {
		f.Add([]byte(bomb))
	}
	path := filepath.Join(f.TempDir(), "onhand.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		bounded(t, len(text), func() {
			c, err := loadConfig(path, nil, nil)
			if err == nil && c.Validate() != nil {
				t.Errorf("settings are taken that are not valid: %v", c.Validate())
			}
			if err != nil && err.Error() == "" {
				t.Error("refused without a word")
			}
		})
	})
}

func TestSettingsOfAnUnlikelySizeAreRefused(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "onhand.yaml", strings.Repeat("# not settings\n", configBytesMax/10))
	onhand(t, nil, "config", "check", "--config", path).want(t, exitFailure, "and may have 1MiB", "--config")
}
