package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"onhand/processor/availability"
)

// A member is one name of a JSON object with the text of its value.
type member struct {
	name  string
	value []byte // one JSON value without white space around it
}

// appendMembers appends the members of a JSON object. An error says what is wrong with the text, for people.
func appendMembers(members []member, text []byte) ([]member, error) {
	if !json.Valid(text) {
		return members, syntaxError(text)
	}
	if text[0] != '{' {
		return members, errors.New("an entry is a JSON object, in braces")
	}
	// The text is valid, so that every value ends where its brackets and quotes say.
	for at := 1; ; {
		at = skipSpace(text, at)
		if text[at] == '}' {
			return members, nil
		}
		if text[at] == ',' {
			at = skipSpace(text, at+1)
		}
		end := valueEnd(text, at)
		name, err := unquote(text[at:end])
		if err != nil {
			return members, err
		}
		if slices.ContainsFunc(members, func(m member) bool { return m.name == name }) {
			return members, fmt.Errorf("%s stands twice in the entry; leave one out", name)
		}
		at = skipSpace(text, skipSpace(text, end)+1)
		end = valueEnd(text, at)
		members = append(members, member{name: name, value: text[at:end]})
		at = end
	}
}

// appendElements appends the values of a valid JSON array.
func appendElements(elements [][]byte, text []byte) [][]byte {
	for at := 1; ; {
		at = skipSpace(text, at)
		if text[at] == ']' {
			return elements
		}
		if text[at] == ',' {
			at = skipSpace(text, at+1)
		}
		end := valueEnd(text, at)
		elements = append(elements, text[at:end])
		at = end
	}
}

func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n') {
		at++
	}
	return at
}

// valueEnd is where the valid JSON value that begins at at ends.
func valueEnd(text []byte, at int) int {
	depth := 0
	for ; at < len(text); at++ {
		switch text[at] {
		case '"':
			for at++; text[at] != '"'; at++ {
				if text[at] == '\\' {
					at++
				}
			}
			if depth == 0 {
				return at + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
			if depth < 0 {
				return at
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return at
			}
		}
	}
	return at
}

// syntaxError says where a text stops being JSON, and what it may be instead.
func syntaxError(text []byte) error {
	var into any
	err := json.Unmarshal(text, &into)
	var syntax *json.SyntaxError
	switch {
	case bytes.HasPrefix(text, []byte("//")) || bytes.HasPrefix(text, []byte("#")):
		return errors.New("a comment is not JSON; leave it out")
	case errors.As(err, &syntax) && text[0] == '{' && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return errors.New("the entry ends before its last brace; each entry must stand on a single line")
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at column %d: %s; each entry must be one JSON object on a single line", syntax.Offset, syntax.Error())
	}
	return errors.New("not JSON; each entry must be one JSON object on a single line")
}

// unquote is the text of a valid JSON string.
func unquote(quoted []byte) (string, error) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return "", errors.New("must be a text in quotes")
	}
	if !utf8.Valid(quoted) {
		return "", errors.New("must be UTF-8")
	}
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", fmt.Errorf("must be a text: %w", err)
	}
	return text, nil
}

// cleared says that a value stands there only to delete what is known: null, "" and [].
func cleared(v []byte) bool {
	return string(v) == "null" || string(v) == `""` || len(v) > 1 && v[0] == '[' && v[skipSpace(v, 1)] == ']'
}

// parseNumber reads a valid JSON value as an exact decimal number.
func parseNumber(text []byte) (availability.Quantity, error) {
	if c := text[0]; c != '-' && (c < '0' || c > '9') {
		return 0, errors.New("must be a number, without quotes")
	}
	plain, err := plainDecimal(string(text))
	if err != nil {
		return 0, err
	}
	q, err := availability.ParseQuantity(plain)
	if err != nil {
		return 0, fmt.Errorf("%w; round it to thousandths within ±%s", err, availability.MaxQuantity)
	}
	return q, nil
}

// plainDecimal writes a JSON number without its exponent: 1.25e1 is 12.5.
func plainDecimal(number string) (string, error) {
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return number, nil
	}
	exponent, err := strconv.Atoi(strings.TrimPrefix(number[i+1:], "+"))
	if err != nil || exponent < -40 || exponent > 40 {
		return "", fmt.Errorf("%s has an exponent out of range; write the number out", number)
	}
	digits, negative := strings.CutPrefix(number[:i], "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if exponent >= 0 {
		fraction += strings.Repeat("0", max(0, exponent-len(fraction)))
		whole, fraction = whole+fraction[:exponent], fraction[exponent:]
	} else {
		whole = strings.Repeat("0", max(0, 1-exponent-len(whole))) + whole
		whole, fraction = whole[:len(whole)+exponent], whole[len(whole)+exponent:]+fraction
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative {
		whole = "-" + whole
	}
	return whole, nil
}

// parseDate reads a valid JSON value as a time in RFC 3339. What is finer than a microsecond is cut off.
func parseDate(quoted []byte) (availability.Instant, error) {
	text, err := unquote(quoted)
	if err != nil {
		return 0, err
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("%q is no date such as 2026-01-31T08:00:00Z or 2026-01-31T08:00:00.250-07:00", text)
	}
	return availability.Instant(at.UnixMicro()), nil
}
