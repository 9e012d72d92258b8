package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is what one call of onhand did.
type result struct {
	code     int
	out, err string
}

// onhand calls the command line in this process, with no environment but the variables given as NAME=text. It ends a call
// that hangs with the test's own context.
func onhand(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	return onhandIn(t.Context(), "", environ, args...)
}

// onhandIn is onhand with a standard input, until ctx ends.
func onhandIn(ctx context.Context, in string, environ []string, args ...string) result {
	var out, err bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &out, err: &err, environ: environ}
	code := a.run(ctx, args)
	return result{code, out.String(), err.String()}
}

// wantCode fails the test unless the call ended so, and its output and errors hold the texts.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("%q is missing in\n%s%s", text, r.out, r.err)
		}
	}
}

// writeFile writes a file into a directory of the test and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
