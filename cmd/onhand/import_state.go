package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// stateHeadBytes is how much of a file tells it from another of the same size and time.
const stateHeadBytes = 1 << 20

// fileIdentity tells one content of a file from another.
type fileIdentity struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Head     string    `json:"sha256OfFirstMiB"`
}

// importState says how far the import of a file has come. It stands beside the file until the import is over.
type importState struct {
	Namespace string       `json:"namespace"`
	File      fileIdentity `json:"file"`
	Line      int          `json:"line"` // all lines up to it are published or refused
}

// identify reads what tells the file from others. The file is at its start before and after.
func identify(file *os.File) (fileIdentity, error) {
	info, err := file.Stat()
	if err != nil {
		return fileIdentity{}, fmt.Errorf("looking at %s: %w", file.Name(), err)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, file, stateHeadBytes); err != nil && !errors.Is(err, io.EOF) {
		return fileIdentity{}, fmt.Errorf("reading %s: %w", file.Name(), err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fileIdentity{}, fmt.Errorf("reading %s: %w", file.Name(), err)
	}
	return fileIdentity{Size: info.Size(), Modified: info.ModTime().UTC(), Head: hex.EncodeToString(sum.Sum(nil))}, nil
}

func (f fileIdentity) same(g fileIdentity) bool {
	return f.Size == g.Size && f.Modified.Equal(g.Modified) && f.Head == g.Head
}

// loadImportState returns the state at path, or a new one where there is none. One of another file or namespace is an
// error: to begin anew without being told would hide that the rest of that file was never imported.
func loadImportState(path, namespace string, file fileIdentity) (importState, error) {
	fresh := importState{Namespace: namespace, File: file}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("reading the progress in %s: %w", path, err)
	}
	var s importState
	err = json.Unmarshal(text, &s)
	switch {
	case err != nil || s.Line < 0:
		return fresh, hinted(fmt.Errorf("%s holds no progress of an import", path), "begin anew with --restart, or keep it elsewhere with --state")
	case s.Namespace != namespace:
		return fresh, hinted(fmt.Errorf("%s is of an import into namespace %s", path, s.Namespace), "begin anew with --restart, or name that namespace")
	case !s.File.same(file):
		return fresh, hinted(fmt.Errorf("the file has changed since line %d of it was imported", s.Line), "begin anew with --restart; records that were imported do no harm a second time")
	}
	return s, nil
}

// save replaces the file at path in one step, so that a crash leaves the old or the new one.
func (s importState) save(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing the progress: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return hinted(fmt.Errorf("writing the progress: %w", err), "keep it elsewhere with --state")
	}
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the progress to %s: %w", path, err), os.Remove(next.Name()))
	}
	return nil
}

// acknowledged finds the last line before which nothing is under way, from lines that end in any order.
type acknowledged struct {
	mu    sync.Mutex // guards all below
	lines []int      // under way, in the order of the file
	done  []bool
	last  int
}

// begin notes a line that is under way. Lines begin in their order.
func (a *acknowledged) begin(line int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
	a.done = append(a.done, false)
}

// end notes that a line is over.
func (a *acknowledged) end(line int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// Lines are few thousand, end mostly from the front, and stand in order.
	low, high := 0, len(a.lines)
	for low < high {
		if middle := (low + high) / 2; a.lines[middle] < line {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(a.lines) && a.lines[low] == line {
		a.done[low] = true
	}
	n := 0
	for n < len(a.done) && a.done[n] {
		a.last = a.lines[n]
		n++
	}
	a.lines, a.done = a.lines[n:], a.done[n:]
}

// line is the last line that is over together with all before it.
func (a *acknowledged) line() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}
