package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// module is the import path that ours begin with.
const module = "onhand"

// root is the repository, seen from the directory the tests of this package run in.
const root = "../.."

// source is one Go file of the repository, parsed with its comments.
type source struct {
	path string // from the root, with slashes: "cache/load.go"
	fset *token.FileSet
	file *ast.File
	text string
}

// dir is the package's directory from the root: "processor/availability".
func (s source) dir() string { return path.Dir(s.path) }

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// parseSource parses one file's text; the checks are tested with it as well as run with it.
func parseSource(t *testing.T, name, text string) source {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parsing %s: %v", name, err)
	}
	return source{path: name, fset: fset, file: file, text: text}
}

// readSources parses every Go file of the repository, in the order of their paths. It reads the files itself: the
// answer of another program would come from the test cache after the files have changed.
func readSources(t *testing.T) []source {
	t.Helper()
	var sources []source
	for _, name := range readTree(t) {
		if strings.HasSuffix(name, ".go") {
			sources = append(sources, parseSource(t, name, readText(t, name)))
		}
	}
	if len(sources) == 0 {
		t.Fatal("no Go file found; is the root right?")
	}
	return sources
}

// readTree lists the repository's files, from the root, with slashes, sorted, without those in dot directories and
// testdata.
func readTree(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata") {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			names = append(names, filepath.ToSlash(name[len(root)+1:]))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("reading the repository: %v", err)
	}
	return names
}

// readText reads a file by its path from the root.
func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return string(text)
}

// imports lists a file's imports by path, in the order they stand in.
func (s source) imports() []string {
	paths := make([]string, len(s.file.Imports))
	for i, spec := range s.file.Imports {
		paths[i] = strings.Trim(spec.Path.Value, `"`)
	}
	return paths
}

// commentsAt returns the comment that ends on the line above pos and the one on its line.
func (s source) commentsAt(pos token.Pos) []string {
	var lines []string
	for _, group := range s.file.Comments {
		if end := s.line(group.End()); end != s.line(pos)-1 && end != s.line(pos) {
			continue
		}
		for _, comment := range group.List {
			lines = append(lines, comment.Text)
		}
	}
	return lines
}

// wantFindings fails the test unless each finding holds the wanted text at the same place in the list.
func wantFindings(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("finding %d is missing; want one with %q", i, want[i])
		case i >= len(want):
			t.Errorf("finding %q; want none", got[i])
		case !strings.Contains(got[i], want[i]):
			t.Errorf("finding %q; want %q in it", got[i], want[i])
		}
	}
}

// sharedFiles parses the files once more into one file set, as the type checker wants them.
func sharedFiles(files []source) (*token.FileSet, []*ast.File) {
	fset := token.NewFileSet()
	parsed := make([]*ast.File, len(files))
	for i, s := range files {
		// The text was parsed before, so that it can be parsed again.
		parsed[i], _ = parser.ParseFile(fset, s.path, s.text, parser.ParseComments|parser.SkipObjectResolution)
	}
	return fset, parsed
}
