package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDocumentsShowCommandsThatExist reads the command lines that documents show and looks for their commands and flags
// in the program.
func TestDocumentsShowCommandsThatExist(t *testing.T) {
	program := newRootCommand(&app{})
	for _, name := range []string{"README.md", "processor/DESIGN.md", "deploy/RUNBOOK.md", "deploy/CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("reading %s: %v", name, err)
			continue
		}
		for _, line := range shownCommands(string(text)) {
			if problem := commandProblem(program, line); problem != "" {
				t.Errorf("%s shows `onhand %s`: %s; correct the document or the command", name, line, problem)
			}
		}
	}
}

// shownCommand matches a command line in a code span, or in a line of its own in a block, without the program's name.
var shownCommand = regexp.MustCompile("(?m)`(?:go run \\./cmd/)?onhand ([^`\n]+)`|^(?:\\$ )?(?:.*&& |.*\\| )?(?:go run \\./cmd/)?onhand ([a-z-].*)$")

// shownCommands lists the command lines in the code of a document.
func shownCommands(text string) []string {
	var lines []string
	block := false
	for _, row := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(row), "```") {
			block = !block
			continue
		}
		for _, match := range shownCommand.FindAllStringSubmatch(row, -1) {
			if match[1] != "" || block {
				lines = append(lines, match[1]+match[2])
			}
		}
	}
	return lines
}

// commandProblem says which word of a command line is no command, or which flag its command does not have. What follows
// a shell operator or a comment is not looked at.
func commandProblem(program *cobra.Command, line string) string {
	command := program
	for _, word := range strings.Fields(line) {
		word = strings.Trim(word, "[],")
		flag, isFlag := strings.CutPrefix(word, "--")
		flag, _, _ = strings.Cut(flag, "=")
		switch {
		case strings.ContainsAny(word, "|&;<>#…"):
			return ""
		case isFlag && flag != "help" && command.Flags().Lookup(flag) == nil && command.InheritedFlags().Lookup(flag) == nil:
			return fmt.Sprintf("%s has no flag --%s", command.CommandPath(), flag)
		case isFlag || !command.HasSubCommands() || strings.ToUpper(word) == word:
		default:
			next, _, err := command.Find([]string{word})
			if err != nil || next == command {
				return fmt.Sprintf("%s has no command %q", command.CommandPath(), word)
			}
			command = next
		}
	}
	return ""
}

func TestCommandsThatDoNotExistAreSeen(t *testing.T) {
	text := "Text `onhand get SKU` and `onhand gone`, `get`.\nonhand keeps levels true.\n\n```\n" +
		"$ onhand get SKU --place P   # a comment\nexport A=1 && onhand graph publish FILE | cat\ngo run ./cmd/onhand graph --deep\n```\n"
	get := &cobra.Command{Use: "get SKU", Run: func(*cobra.Command, []string) {}}
	get.Flags().String("place", "", "")
	graph := &cobra.Command{Use: "graph"}
	graph.AddCommand(&cobra.Command{Use: "publish FILE", Run: func(*cobra.Command, []string) {}})
	program := &cobra.Command{Use: "onhand"}
	program.AddCommand(get, graph)

	want := []struct{ line, problem string }{
		{"get SKU", ""},
		{"gone", `onhand has no command "gone"`},
		{"get SKU --place P   # a comment", ""},
		{"graph publish FILE | cat", ""},
		{"graph --deep", "onhand graph has no flag --deep"},
	}
	got := shownCommands(text)
	if len(got) != len(want) {
		t.Fatalf("found %q; want %d command lines", got, len(want))
	}
	for i, w := range want {
		if got[i] != w.line || commandProblem(program, got[i]) != w.problem {
			t.Errorf("command line %d is %q with %q; want %q with %q", i, got[i], commandProblem(program, got[i]), w.line, w.problem)
		}
	}
}
