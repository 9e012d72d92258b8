package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// environmentPrefix begins every environment variable of ours.
const environmentPrefix = "ONHAND_"

// configVariable names the file where the flag --config does not.
const configVariable = environmentPrefix + "CONFIG"

// foreignPrefixes begin variables that are not settings, though they begin with environmentPrefix: of tests, and those
// that Kubernetes sets in every pod beside a service of the name onhand.
var foreignPrefixes = []string{"ONHAND_TEST_", "ONHAND_CI_", "ONHAND_SERVICE_", "ONHAND_PORT"}

// sourced is a Config, and for each key where its value comes from.
type sourced struct {
	*Config
	sources map[string]string
}

// A layer is one source of settings, each above the ones before.
type layer struct {
	name   func(key string) string // where the key stands, for people
	values *koanf.Koanf
}

// loadConfig reads the settings from defaults, the file, the environment and the flags, each above the one before. flags
// has the texts of flags that were given, by key. An error is every problem found, joined.
func loadConfig(path string, environ []string, flags map[string]string) (*sourced, error) {
	fromFile, err := fileLayer(path, environ)
	if err != nil {
		return nil, err
	}
	fromEnvironment, err := environmentLayer(environ)
	problems := []error{err}
	fromFlags := layer{name: func(key string) string { return "flag --" + mustSetting(key).flag() }, values: koanf.New(".")}
	given := make(map[string]any, len(flags))
	for key, text := range flags {
		given[key] = text
	}
	if err := fromFlags.values.Load(confmap.Provider(given, "."), nil); err != nil {
		return nil, fmt.Errorf("reading flags: %w", err)
	}
	c := &sourced{Config: defaultConfig(), sources: make(map[string]string)}
	for _, s := range settings {
		c.sources[s.key] = "default"
	}
	for _, l := range []layer{fromFile, fromEnvironment, fromFlags} {
		problems = append(problems, c.take(l)...)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// take overwrites with the layer and returns the problems of its keys and values.
func (c *sourced) take(l layer) (problems []error) {
	for _, key := range l.values.Keys() {
		s, ok := findSetting(key)
		if !ok {
			problems = append(problems, &Problem{Field: l.name(key), Rule: "is no setting" + didYouMean(key, settingKeys())})
			continue
		}
		c.sources[key] = l.name(key)
		text, err := settingText(l.values.Get(key))
		if err == nil {
			err = s.value(c.Config).parse(text)
		}
		if err != nil {
			if s.secret {
				text = hidden
			}
			problems = append(problems, &Problem{Field: l.name(key), Value: SecretURL(text).String(), Rule: err.Error()})
		}
	}
	return problems
}

// settingText is the text of a value as a YAML file may write it.
func settingText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case []any:
		texts := make([]string, len(v))
		for i, one := range v {
			texts[i] = fmt.Sprint(one)
		}
		return strings.Join(texts, ","), nil
	case map[string]any:
		return "", errors.New("must be one value, not a block of them")
	}
	return fmt.Sprint(v), nil
}

func settingKeys() []string {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.key
	}
	return keys
}

func mustSetting(key string) setting {
	s, ok := findSetting(key)
	if !ok {
		panic("no setting " + key) // flags are made from settings
	}
	return s
}

// configBytesMax bounds a file of settings: all of them take some 5 kB.
const configBytesMax = 1 << 20

// fileLayer reads the YAML file, where one is named.
func fileLayer(path string, environ []string) (layer, error) {
	l := layer{values: koanf.New(".")}
	for _, pair := range environ {
		if name, text, _ := strings.Cut(pair, "="); name == configVariable && path == "" {
			path = text
		}
	}
	l.name = func(key string) string { return path + ": " + key }
	if path == "" {
		return l, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return l, hinted(fmt.Errorf("reading the configuration %s: %w", path, errors.Unwrap(err)),
			"name an existing file with --config or "+configVariable)
	}
	if info.Size() > configBytesMax {
		return l, hinted(fmt.Errorf("reading the configuration %s: it has %s, and may have %s", path, formatBytes(info.Size()), formatBytes(configBytesMax)),
			"name the right file with --config or "+configVariable)
	}
	if err := l.values.Load(file.Provider(path), yaml.Parser()); err != nil {
		return l, hinted(fmt.Errorf("reading the configuration %s: %w", path, err), "`onhand config print` shows the form of the file")
	}
	return l, nil
}

// environmentLayer reads the variables. The error is every variable that is no setting.
func environmentLayer(environ []string) (layer, error) {
	l := layer{name: func(key string) string { return "environment " + mustSetting(key).variable() }, values: koanf.New(".")}
	keys := make(map[string]string, len(settings))
	variables := []string{configVariable}
	for _, s := range settings {
		keys[s.variable()] = s.key
		variables = append(variables, s.variable())
	}
	var unknown []error
	provider := env.Provider(".", env.Opt{
		Prefix:      environmentPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, text string) (string, any) {
			key, ok := keys[name]
			foreign := name == configVariable || slices.ContainsFunc(foreignPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
			if !ok && !foreign {
				unknown = append(unknown, &Problem{Field: "environment " + name, Rule: "is no setting" + didYouMean(name, variables)})
			}
			return key, text
		},
	})
	if err := l.values.Load(provider, nil); err != nil {
		return l, fmt.Errorf("reading the environment: %w", err)
	}
	return l, errors.Join(unknown...)
}

// didYouMean is a question that names the word nearest to the one given, or nothing where none is near.
func didYouMean(word string, words []string) string {
	best, distance := "", max(2, len(word)/4)+1
	for _, w := range words {
		if d := editDistance(strings.ToLower(word), strings.ToLower(w)); d < distance {
			best, distance = w, d
		}
	}
	if best == "" {
		// A key without its block is too far from itself: user for security.user.
		for _, w := range words {
			if strings.HasSuffix(strings.ToLower(w), "."+strings.ToLower(word)) {
				best = w
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance is how many letters must be put in, taken out or replaced to make one word of the other.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
