package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newConfigCommand(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "config",
		Short: "Check and print the settings",
		Long: `Check and print the settings as the other commands see them: flags above ONHAND_… variables above the
YAML file above defaults. Passwords print as ***.`,
	}, newConfigCheckCommand(a), newConfigPrintCommand(a))
}

func newConfigCheckCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Say every problem of the settings",
		Long:    "Say every problem of the settings. Nothing is connected to. The exit code is 0 if there is none, 2 if there are some.",
		Example: "  onhand config check --config onhand.yaml",
		Args:    arguments(),
	}
	addRunFlags(cmd)
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := a.config(cmd)
		if !*asJSON {
			if err == nil {
				fmt.Fprintln(a.out, "the configuration is good")
			}
			return err
		}
		if printed := printJSON(a.out, struct {
			Good     bool       `json:"good"`
			Problems []*Problem `json:"problems"`
		}{err == nil, problemsOf(err)}); printed != nil {
			return printed
		}
		if err != nil {
			return &usageError{errReported}
		}
		return nil
	}
	return cmd
}

// problemsOf lists the problems in an error of loadConfig; another error counts as one problem.
func problemsOf(err error) []*Problem {
	problems := []*Problem{}
	var problem *Problem
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
	case errors.As(err, &joined):
		for _, one := range joined.Unwrap() {
			problems = append(problems, problemsOf(one)...)
		}
	case errors.As(err, &problem):
		problems = append(problems, problem)
	default:
		problems = append(problems, &Problem{Field: "config", Rule: err.Error()})
	}
	return problems
}

func newConfigPrintCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the settings and where each comes from",
		Long: `Print the settings as a YAML file, each with what it does, what it may be and where its value comes
from. The output may be edited and given to --config; passwords print as *** and must be put in again.`,
		Example: "  onhand config print > onhand.yaml\n  ONHAND_NAMESPACE=acme onhand config print --json",
		Args:    arguments(),
	}
	addRunFlags(cmd)
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.out, c.list())
		}
		return c.print(a.out)
	}
	return cmd
}

// settingJSON is one setting as config print --json shows it.
type settingJSON struct {
	Key     string `json:"key"`
	Value   any    `json:"value"`
	Source  string `json:"source"`
	Default string `json:"default"`
	Bounds  string `json:"bounds"`
	Effect  string `json:"effect"`
}

func (c *sourced) list() []settingJSON {
	list := make([]settingJSON, len(settings))
	for i, s := range settings {
		list[i] = settingJSON{Key: s.key, Value: s.value(c.Config).json(), Source: c.sources[s.key], Default: s.fallback, Bounds: s.bounds, Effect: s.effect}
	}
	return list
}

// print writes a YAML file that loadConfig reads.
func (c *sourced) print(w io.Writer) error {
	var b strings.Builder
	block := ""
	for _, s := range settings {
		indent, key := "", s.key
		if outer, inner, ok := strings.Cut(s.key, "."); ok {
			indent, key = "  ", inner
			if outer != block {
				fmt.Fprintf(&b, "%s:\n", outer)
			}
			block = outer
		}
		fmt.Fprintf(&b, "%s# %s: %s\n", indent, s.effect, s.bounds)
		fmt.Fprintf(&b, "%s%s: %s # %s\n", indent, key, yamlScalar(s.value(c.Config)), c.sources[s.key])
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// yamlScalar is the value on one line. Text stands in double quotes, which YAML reads as Go writes them.
func yamlScalar(v value) string {
	switch v.(type) {
	case intValue, boolValue:
		return v.String()
	}
	return fmt.Sprintf("%q", v.String())
}
