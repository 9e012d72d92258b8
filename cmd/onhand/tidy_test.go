package main_test

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// functionLines is the length a function must not pass, from its signature to its closing brace: what one looks at
// without scrolling.
const functionLines = 70

// fileLines is the length above which a file is mentioned, and nothing more.
const fileLines = 400

// topLevel is all that stands at the top of the repository beside dotfiles. built is what the go command and git make
// there.
var (
	topLevel = []string{"README.md", "cache", "cmd", "deploy", "go.mod", "go.sum", "processor", "schemas", "topics"}
	built    = []string{"onhand", "*.test", "*.out"}
)

// grabBags are package names that say nothing of what is inside.
var grabBags = []string{"common", "core", "helpers", "internal", "misc", "models", "pkg", "shared", "types", "util", "utils"}

// avoided is a word that must not appear, in whatever case, and what to write instead.
type avoided struct {
	word    *regexp.Regexp
	instead string
}

// wordsToAvoid are looked for in Go comments and strings and in documents, stringsToAvoid in Go strings alone,
// picturesToAvoid in comments and documents: a string may be a test of one.
var wordsToAvoid = []avoided{
	{avoid("robust|seamless|seamlessly|comprehensive|comprehensively|production-ready|enterprise-grade|blazing|blazingly"), "the fact that made you think so, with its number"},
	{avoid("leverag(?:e|es|ing)|utili[sz](?:e|es|ing)"), "use"},
}

var stringsToAvoid = []avoided{
	{avoid("failed to|unable to|error (?:while|occurred)"), `what was being done, as a gerund: "reading the checkpoint: …"`},
}

var picturesToAvoid = []avoided{
	{regexp.MustCompile(`[\x{1F000}-\x{1FAFF}\x{2705}\x{2728}\x{274C}\x{26A0}\x{FE0F}]`), "the word"},
}

func avoid(words string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(?:` + words + `)\b`) }

var (
	todo     = regexp.MustCompile(`\b(?:TODO|FIXME|XXX|HACK)\b`)
	todoForm = regexp.MustCompile(`\bTODO\([a-z][a-z0-9-]*\): \S.*, (?:when|once|after|before|with|by) \S`)
	banner   = regexp.MustCompile(`^//\s*[-=*#~_]{4,}`)
)

func TestFunctionsFitOnAScreen(t *testing.T) {
	for _, s := range readSources(t) {
		for _, finding := range longFunctions(s) {
			t.Error(finding)
		}
	}
}

func TestCommentsAreTidy(t *testing.T) {
	for _, s := range readSources(t) {
		if s.path == "cmd/onhand/tidy_test.go" {
			continue // It shows what is untidy.
		}
		for _, finding := range untidyComments(s) {
			t.Error(finding)
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, finding := range silentPackages(readSources(t)) {
		t.Error(finding)
	}
}

func TestWordsAreOurs(t *testing.T) {
	for _, s := range readSources(t) {
		if s.path == "cmd/onhand/tidy_test.go" {
			continue // It names them.
		}
		for _, finding := range wordsInCode(s) {
			t.Error(finding)
		}
	}
	for _, name := range readTree(t) {
		if slices.Contains([]string{".md", ".yaml", ".yml"}, path.Ext(name)) {
			for _, finding := range wordsIn(name, 1, readText(t, name), slices.Concat(wordsToAvoid, picturesToAvoid)) {
				t.Error(finding)
			}
		}
	}
}

func TestLongFilesAreMentioned(t *testing.T) {
	for _, s := range readSources(t) {
		if lines := strings.Count(s.text, "\n"); lines > fileLines {
			t.Logf("%s has %d lines; is there a second noun in it?", s.path, lines)
		}
	}
}

func TestDocumentsNameFilesThatExist(t *testing.T) {
	tree := readTree(t)
	for _, document := range []string{"README.md", "processor/DESIGN.md", "deploy/RUNBOOK.md"} {
		if !slices.Contains(tree, document) {
			t.Errorf("%s does not exist; the layout promises it to its readers", document)
			continue
		}
		for _, finding := range deadNames(document, readText(t, document), tree) {
			t.Error(finding)
		}
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatalf("reading the repository: %v", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) && !matchesAny(built, name) {
			t.Errorf("%s stands at the top of the repository; put it under one of %s", name, strings.Join(topLevel, " "))
		}
	}
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// longFunctions says which functions of a file are longer than functionLines.
func longFunctions(s source) []string {
	var findings []string
	for _, declaration := range s.file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := s.line(function.End()) - s.line(function.Pos()) + 1; lines > functionLines {
			findings = append(findings, fmt.Sprintf("%s:%d: %s has %d lines, at most %d fit on a screen; let it decide and "+
				"call leaves that compute; in a test, move the table or the steps into a function", s.path,
				s.line(function.Pos()), function.Name.Name, lines, functionLines))
		}
	}
	return findings
}

// untidyComments says which comments of a file are open promises without a form, or rulers.
func untidyComments(s source) []string {
	var findings []string
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			at := fmt.Sprintf("%s:%d: ", s.path, s.line(comment.Pos()))
			switch text := comment.Text; {
			case todo.MatchString(text) && !todoForm.MatchString(text):
				findings = append(findings, at+"write TODO(name): what, when it becomes due; or do it now")
			case banner.MatchString(text):
				findings = append(findings, at+"a ruler divides a file; a file with one noun needs none, split it")
			}
		}
	}
	return findings
}

// silentPackages says which packages have no comment that says what they are, or a name that says nothing.
func silentPackages(sources []source) []string {
	said := map[string]bool{}
	var dirs, findings []string
	for _, s := range sources {
		if s.test() {
			continue
		}
		if !slices.Contains(dirs, s.dir()) {
			dirs = append(dirs, s.dir())
		}
		if s.file.Doc != nil {
			said[s.dir()] = true
		}
	}
	for _, dir := range dirs {
		if !said[dir] {
			findings = append(findings, dir+": no file has a package comment; say what the package guarantees, then how it works")
		}
		if name := path.Base(dir); slices.Contains(grabBags, name) {
			findings = append(findings, fmt.Sprintf("%s: %q does not say what is inside; name it after what it does, or put the "+
				"code where it is used", dir, name))
		}
	}
	return findings
}

// wordsInCode looks for words to avoid in the comments and strings of a file.
func wordsInCode(s source) []string {
	var findings []string
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			words := slices.Concat(wordsToAvoid, picturesToAvoid)
			findings = append(findings, wordsIn(s.path, s.line(comment.Pos()), comment.Text, words)...)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok {
			words := slices.Concat(wordsToAvoid, stringsToAvoid)
			findings = append(findings, wordsIn(s.path, s.line(literal.Pos()), literal.Value, words)...)
		}
		return true
	})
	return findings
}

// wordsIn looks for words in a text that begins at a line of a file.
func wordsIn(name string, line int, text string, words []avoided) []string {
	var findings []string
	for i, row := range strings.Split(text, "\n") {
		for _, entry := range words {
			if word := entry.word.FindString(row); word != "" {
				findings = append(findings, fmt.Sprintf("%s:%d: instead of %q write %s", name, line+i, word, entry.instead))
			}
		}
	}
	return findings
}

// fileName matches what looks like a file of this repository in a document: Go files, documents and schemas by any
// name, others only with a folder before them, for an example may call its own files what it likes.
var fileName = regexp.MustCompile(
	`[A-Za-z0-9_.*/-]*[A-Za-z0-9_*-]\.(?:go|md|avsc|lua)\b|[A-Za-z0-9_.*-]+/[A-Za-z0-9_.*/-]*[A-Za-z0-9_*-]\.(?:yaml|yml|txt|json|ndjson|sh)\b`)

// webAddress is removed before file names are looked for.
var webAddress = regexp.MustCompile(`https?://\S+`)

// deadNames says which file names in a document are of no file in the tree: neither from the root, nor from the
// document, nor as the end of any path.
func deadNames(document, text string, tree []string) []string {
	var findings []string
	for i, row := range strings.Split(text, "\n") {
		for _, name := range fileName.FindAllString(webAddress.ReplaceAllString(row, ""), -1) {
			if !existsIn(tree, path.Join(path.Dir(document), name)) && !existsIn(tree, path.Clean(name)) {
				findings = append(findings, fmt.Sprintf("%s:%d: there is no %s; name the file that is meant", document, i+1, name))
			}
		}
	}
	return findings
}

// existsIn says whether the tree holds the name, or, where it is not anchored by a folder at the top, a path that ends
// in it. A star stands for any part of one element.
func existsIn(tree []string, name string) bool {
	depth := strings.Count(name, "/") + 1
	return slices.ContainsFunc(tree, func(file string) bool {
		parts := strings.Split(file, "/")
		if len(parts) < depth {
			return false
		}
		return matchesAny([]string{name}, strings.Join(parts[len(parts)-depth:], "/"))
	})
}

func TestUntidinessIsSeen(t *testing.T) {
	long := "package p\n\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", functionLines-1) + "}\n"
	wantFindings(t, longFunctions(parseSource(t, "p/a.go", long)), "p/a.go:3: f has 71 lines")
	wantFindings(t, longFunctions(parseSource(t, "p/a.go", strings.Replace(long, "\t_ = 1\n", "", 1))))

	const text = `package p

// TODO: more
// FIXME
// TODO(ann): read both, when the second format is written
// ----------
// a rocket 🚀
const a = "failed to read 🚀" // utilises nothing robust
`
	s := parseSource(t, "p/a.go", text)
	wantFindings(t, untidyComments(s), "p/a.go:3: write TODO(name)", "p/a.go:4: write TODO(name)", "p/a.go:6: a ruler")
	wantFindings(t, wordsInCode(s), `7: instead of "🚀"`, `8: instead of "robust"`, `8: instead of "utilises"`,
		`8: instead of "failed to"`)
	wantFindings(t, silentPackages([]source{s, parseSource(t, "x/util/a.go", "// Package util is one.\npackage util\n")}),
		"p: no file has a package comment", `"util" does not say`)
}

func TestDeadNamesAreSeen(t *testing.T) {
	tree := []string{"README.md", "cache/load.go", "deploy/alerts.yaml", "processor/DESIGN.md", "processor/availability/cell.go", "processor/task.go"}
	wantFindings(t, deadNames("processor/DESIGN.md", "`task.go`, `availability/cell.go`, cell.go, ../cache/load.go, cache/*.go, "+
		"my.yaml, deploy/alerts.yaml, [x](../README.md), https://example.org/none.md", tree))
	wantFindings(t, deadNames("README.md", "one `gone.go`\ntwo deploy/rules.yaml and cache/task.go", tree),
		"README.md:1: there is no gone.go", "README.md:2: there is no deploy/rules.yaml", "README.md:2: there is no cache/task.go")
}
