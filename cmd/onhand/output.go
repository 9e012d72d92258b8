package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// addJSONFlag gives a reading command its --json.
func addJSONFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON, for programs")
}

// printJSON writes the value on lines of its own, indented.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

// printJSONLine writes the value on one line.
func printJSONLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

// table collects rows and prints them in columns. Columns whose head begins with > are right-aligned.
type table struct {
	heads []string
	right []bool
	rows  [][]string
}

func newTable(heads ...string) *table {
	t := &table{right: make([]bool, len(heads))}
	for i, head := range heads {
		text, right := strings.CutPrefix(head, ">")
		t.heads, t.right[i] = append(t.heads, text), right
	}
	return t
}

// add appends a row, its cells printed as fmt.Sprint does.
func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

// print writes the head and the rows, two spaces between columns, no space at the end of a line.
func (t *table) print(w io.Writer) error {
	widths := make([]int, len(t.heads))
	lines := append([][]string{t.heads}, t.rows...)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				b.WriteString(pad + cell + "  ")
			} else {
				b.WriteString(cell + pad + "  ")
			}
		}
		text.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// closeRead ends what was read alone: nothing is lost where that does not succeed.
func closeRead(c io.Closer) { _ = c.Close() }

// plural is the number with the word, and an s behind it unless it is one.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
