package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// devRegistryBodyBytesMax bounds a request to the registry: many times the longest schema, far below what hurts.
const devRegistryBodyBytesMax = 4 << 20

// devRegistry is a schema registry in memory that remembers by a journal: each request that changed something is a line
// of a file, and a start takes the same requests in the same order again. Ids are given in order, so that they come out
// the same and records of an earlier run can still be read.
type devRegistry struct {
	handler http.Handler
	keeps   bool

	mu      sync.Mutex
	journal *os.File        // nil: nothing is kept, or closed
	known   map[string]bool // journal lines since the last DELETE: the same change again changes nothing
}

// devRegistryChange is one line of the journal.
type devRegistryChange struct {
	Method string          `json:"method"`
	URI    string          `json:"uri"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// openDevRegistry returns a registry with the content of the journal, which is created if it is not there. An empty name
// keeps nothing. A last line cut short, by a process that was killed, is dropped; any other that is unreadable is an error.
func openDevRegistry(name string) (*devRegistry, error) {
	r := &devRegistry{handler: srfake.NewRegistry().Handler(), known: map[string]bool{}}
	if name == "" {
		return r, nil
	}
	journal, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the registry's journal: %w", err)
	}
	if err := r.replay(journal); err != nil {
		return nil, errors.Join(hinted(fmt.Errorf("reading the registry's journal %s: %w", name, err), "begin anew with another directory, --data"), journal.Close())
	}
	r.journal, r.keeps = journal, true
	return r, nil
}

// replay takes the changes of the journal and leaves the file at the end of its last whole line.
func (r *devRegistry) replay(journal *os.File) error {
	text, err := io.ReadAll(journal)
	if err != nil {
		return err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	number := 0
	for line := range bytes.Lines(whole) {
		number++
		var change devRegistryChange
		if err := json.Unmarshal(line, &change); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		request, err := http.NewRequest(change.Method, change.URI, bytes.NewReader(change.Body)) //nolint:noctx // served in memory, at once
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		answer := heldResponse{header: http.Header{}, status: http.StatusOK}
		r.handler.ServeHTTP(&answer, request)
		if answer.status >= http.StatusBadRequest {
			return fmt.Errorf("line %d: %s %s was answered with status %d", number, change.Method, change.URI, answer.status)
		}
		r.remember(change.Method, string(line))
	}
	if err := journal.Truncate(int64(len(whole))); err != nil {
		return err
	}
	_, err = journal.Seek(int64(len(whole)), io.SeekStart)
	return err
}

// ServeHTTP answers as a Confluent-compatible registry does. A change is in the journal before its answer is on the way.
func (r *devRegistry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if !r.keeps || !changesRegistry(request) {
		r.handler.ServeHTTP(w, request)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, devRegistryBodyBytesMax))
	if err != nil {
		http.Error(w, "reading the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := heldResponse{header: w.Header(), status: http.StatusOK}
	r.handler.ServeHTTP(&answer, request)
	if answer.status < http.StatusBadRequest {
		if err := r.keep(devRegistryChange{request.Method, request.URL.RequestURI(), body}); err != nil {
			http.Error(w, "keeping the change: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes()) // a client that has gone needs no answer
}

// changesRegistry tells a change from a question: some questions have a body, and are asked by POST.
func changesRegistry(request *http.Request) bool {
	switch request.Method {
	case http.MethodPut, http.MethodDelete:
		return true
	case http.MethodPost:
		return strings.HasSuffix(request.URL.Path, "/versions") && !strings.Contains(request.URL.Path, "/compatibility/")
	default:
		return false
	}
}

func (r *devRegistry) keep(change devRegistryChange) error {
	if len(change.Body) == 0 {
		change.Body = nil
	}
	line, err := json.Marshal(change)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if r.known[string(line)] {
		return nil
	}
	if r.journal == nil {
		return os.ErrClosed
	}
	if _, err := r.journal.Write(line); err != nil {
		return err
	}
	r.remember(change.Method, string(line))
	return nil
}

func (r *devRegistry) remember(method, line string) {
	if method == http.MethodDelete {
		clear(r.known)
		return
	}
	r.known[line] = true
}

// Close closes the journal.
func (r *devRegistry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.journal == nil {
		return nil
	}
	err := r.journal.Close()
	r.journal = nil
	return err
}

// heldResponse keeps an answer until the change it tells of is in the journal.
type heldResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldResponse) Header() http.Header         { return h.header }
func (h *heldResponse) WriteHeader(status int)      { h.status = status }
func (h *heldResponse) Write(p []byte) (int, error) { return h.body.Write(p) }
