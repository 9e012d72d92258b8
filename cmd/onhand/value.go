package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is one setting's place in a Config, with its rule.
type value interface {
	// parse reads the text into its place. The error is the rule that the text breaks.
	parse(text string) error
	// check is the rule that what stands there breaks, or nil.
	check() error
	// String is the text that parse reads, with secrets as ***.
	String() string
	// json is what stands for it in JSON and YAML, with secrets as ***.
	json() any
}

// hidden is what a secret prints as.
const hidden = "***"

// Secret is a text that prints as ***. Convert it to string where it is used.
type Secret string

// String is *** unless the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// MarshalText is String, so that no encoder shows the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretURL is a URL whose password prints as ***. Convert it to string where it is used.
type SecretURL string

// String is the URL with *** for every password in it.
func (s SecretURL) String() string {
	text := string(s)
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			user, _, secret := strings.Cut(rest[:at], ":")
			if secret {
				user += ":" + hidden
			}
			text = scheme + "://" + user + rest[at:]
		}
	}
	head, query, ok := strings.Cut(text, "?")
	if !ok {
		return text
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		if key, _, _ := strings.Cut(part, "="); strings.Contains(strings.ToLower(key), "password") {
			parts[i] = key + "=" + hidden
		}
	}
	return head + "?" + strings.Join(parts, "&")
}

// MarshalText is String, so that no encoder shows the password.
func (s SecretURL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// textValue is a text with a rule of its own.
type textValue struct {
	place *string
	rule  func(string) error
}

func (v textValue) parse(text string) error { *v.place = text; return v.check() }
func (v textValue) String() string          { return *v.place }
func (v textValue) json() any               { return *v.place }
func (v textValue) check() error {
	if v.rule == nil {
		return nil
	}
	return v.rule(*v.place)
}

// secretValue is any text; it is empty or secret.
type secretValue struct{ place *Secret }

func (v secretValue) parse(text string) error { *v.place = Secret(text); return nil }
func (v secretValue) check() error            { return nil }
func (v secretValue) String() string          { return v.place.String() }
func (v secretValue) json() any               { return v.place.String() }

// urlValue is a URL of one of the schemes.
type urlValue struct {
	place   *SecretURL
	schemes []string
}

func (v urlValue) parse(text string) error { *v.place = SecretURL(text); return v.check() }
func (v urlValue) String() string          { return v.place.String() }
func (v urlValue) json() any               { return v.place.String() }
func (v urlValue) check() error {
	scheme, rest, ok := strings.Cut(string(*v.place), "://")
	if !ok || !slices.Contains(v.schemes, scheme) {
		return fmt.Errorf("must be a URL that begins with %s", orList(suffixed(v.schemes, "://")))
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	if host, _, _ := strings.Cut(rest, "/"); host == "" {
		return errors.New("must name a host")
	}
	return nil
}

// listValue is a list of host:port.
type listValue struct{ place *[]string }

func (v listValue) parse(text string) error {
	*v.place = nil
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*v.place = append(*v.place, part)
		}
	}
	return v.check()
}

func (v listValue) String() string { return strings.Join(*v.place, ",") }
func (v listValue) json() any      { return *v.place }

func (v listValue) check() error {
	if len(*v.place) == 0 {
		return errors.New("must name at least one host:port")
	}
	for _, hostPort := range *v.place {
		if err := checkHostPort(hostPort, 1); err != nil {
			return fmt.Errorf("must be host:port, several separated by commas; %q %w", hostPort, err)
		}
	}
	return nil
}

// checkHostPort says why a text is no host:port with a port from lowest to 65535.
func checkHostPort(text string, lowest int) error {
	u, err := url.Parse("tcp://" + text)
	if err != nil || u.Host != text || u.User != nil {
		return errors.New("is not host:port")
	}
	if u.Port() == "" {
		return errors.New("has no port")
	}
	if port, err := strconv.Atoi(u.Port()); err != nil || port < lowest || port > 65535 {
		return fmt.Errorf("has no port from %d to 65535", lowest)
	}
	return nil
}

// intValue is a whole number from low to high.
type intValue struct {
	place     *int
	low, high int
}

func (v intValue) parse(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("must be a whole number from %d to %d", v.low, v.high)
	}
	*v.place = n
	return v.check()
}

func (v intValue) String() string { return strconv.Itoa(*v.place) }
func (v intValue) json() any      { return *v.place }

func (v intValue) check() error {
	if *v.place < v.low || *v.place > v.high {
		return fmt.Errorf("must be from %d to %d", v.low, v.high)
	}
	return nil
}

// boolValue is true or false.
type boolValue struct{ place *bool }

func (v boolValue) parse(text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("must be true or false")
	}
	*v.place = b
	return nil
}

func (v boolValue) check() error   { return nil }
func (v boolValue) String() string { return strconv.FormatBool(*v.place) }
func (v boolValue) json() any      { return *v.place }

// durationValue is a time from low to high.
type durationValue struct {
	place     *time.Duration
	low, high time.Duration
}

func (v durationValue) parse(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("must be a time with its unit, such as %s", shortDuration(v.low))
	}
	*v.place = d
	return v.check()
}

func (v durationValue) String() string { return shortDuration(*v.place) }
func (v durationValue) json() any      { return shortDuration(*v.place) }

func (v durationValue) check() error {
	if *v.place < v.low || *v.place > v.high {
		return fmt.Errorf("must be from %s to %s", shortDuration(v.low), shortDuration(v.high))
	}
	return nil
}

// shortDuration is the duration without its zero units: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// choiceValue is one of a few words.
type choiceValue struct {
	place   *string
	choices []string
}

func (v choiceValue) parse(text string) error { *v.place = text; return v.check() }
func (v choiceValue) String() string          { return *v.place }
func (v choiceValue) json() any               { return *v.place }
func (v choiceValue) check() error {
	if !slices.Contains(v.choices, *v.place) {
		return fmt.Errorf("must be %s", orList(v.choices))
	}
	return nil
}

// bytesValue is a number of bytes from low to high.
type bytesValue struct {
	place     *int64
	low, high int64
}

// byteUnits are the units of a number of bytes, the longest names first.
var byteUnits = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

func (v bytesValue) parse(text string) error {
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n > v.high/unit.bytes {
			break
		}
		*v.place = n * unit.bytes
		return v.check()
	}
	return fmt.Errorf("must be a number of bytes such as 512MiB, from %s to %s", formatBytes(v.low), formatBytes(v.high))
}

func (v bytesValue) String() string { return formatBytes(*v.place) }
func (v bytesValue) json() any      { return formatBytes(*v.place) }

func (v bytesValue) check() error {
	if *v.place < v.low || *v.place > v.high {
		return fmt.Errorf("must be from %s to %s", formatBytes(v.low), formatBytes(v.high))
	}
	return nil
}

// formatBytes is the number in the largest unit that divides it: 512MiB.
func formatBytes(n int64) string {
	for _, unit := range []int{2, 1, 0} {
		if u := byteUnits[unit]; n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// orList joins words as "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func suffixed(words []string, suffix string) []string {
	long := make([]string, len(words))
	for i, word := range words {
		long[i] = word + suffix
	}
	return long
}
