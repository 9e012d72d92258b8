package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"onhand/schemas"
)

func newSchemasCommand(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "schemas",
		Short: "Register, check and show the Avro schemas",
		Long:  "Register, check and show the Avro schemas of the namespace's topics. This binary has them built in.",
	}, newSchemasRegisterCommand(a), newSchemasCheckCommand(a), newSchemasShowCommand(a))
}

// withRegistry calls what with the client of the registry.
func (a *app) withRegistry(cmd *cobra.Command, what func(context.Context, *Config, *schemas.Registry) error) error {
	c, err := a.config(cmd)
	if err != nil {
		return err
	}
	registry, err := openRegistry(c.Config, a.quietLogger(c.Config))
	if err != nil {
		return err
	}
	defer registry.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 4*requestTimeout)
	defer cancel()
	return what(ctx, c.Config, registry)
}

func newSchemasRegisterCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Register the schemas and make their subjects BACKWARD compatible",
		Long: `Register the schemas of this binary under <namespace>.<topic>-value and make each subject at least BACKWARD
compatible. It may be run again. A schema that could not read what an earlier version wrote is refused.`,
		Example: "  onhand schemas register --registry http://registry:8081",
		Args:    arguments(),
	}
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withRegistry(cmd, func(ctx context.Context, c *Config, registry *schemas.Registry) error {
			done, err := registry.RegisterAll(ctx, c.Namespace)
			if *asJSON && err == nil {
				return printJSON(a.out, done)
			}
			for _, r := range done {
				var did []string
				if r.Created {
					did = append(did, "registered")
				}
				if r.CompatibilitySet {
					did = append(did, "made BACKWARD compatible")
				}
				if did == nil {
					did = []string{"unchanged"}
				}
				fmt.Fprintf(a.out, "%s: version %d, id %d, %s\n", r.Subject, r.Version, r.ID, strings.Join(did, ", "))
			}
			return explainRegistry(c, err)
		})
	}
	return cmd
}

func newSchemasCheckCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare the registry with the schemas of this binary",
		Long: `Compare the registry with the schemas of this binary, and check that these can read every version that was
ever registered or released. The exit code is 0 if all is well, 1 if not.`,
		Example: "  onhand schemas check && onhand run",
		Args:    arguments(),
	}
	asJSON := addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withRegistry(cmd, func(ctx context.Context, c *Config, registry *schemas.Registry) error {
			checks, err := registry.CheckAll(ctx, c.Namespace)
			if err != nil {
				return explainRegistry(c, err)
			}
			bad := 0
			for _, check := range checks {
				bad += len(check.Problems)
			}
			if *asJSON {
				err = printJSON(a.out, checks)
			} else {
				err = a.printChecks(checks)
			}
			if err != nil || bad == 0 {
				return err
			}
			if !*asJSON {
				return hinted(fmt.Errorf("%s in the schemas", plural(bad, "problem")),
					"`onhand schemas register` registers what is missing and sets the compatibility")
			}
			return errReported
		})
	}
	return cmd
}

func (a *app) printChecks(checks []schemas.Check) error {
	t := newTable("SUBJECT", ">ID", ">VERSION", ">LATEST", "COMPATIBILITY", "STATE")
	for _, check := range checks {
		state := "good"
		if len(check.Problems) > 0 {
			state = strings.Join(check.Problems, "; ")
		}
		t.add(check.Subject, check.ID, check.Version, check.Latest, check.Compatibility, state)
	}
	return t.print(a.out)
}

func newSchemasShowCommand(a *app) *cobra.Command {
	var names []string
	for _, s := range schemas.Subjects("") {
		names = append(names, s.Record)
	}
	cmd := &cobra.Command{
		Use:       "show [RECORD]",
		Short:     "Print the schemas of this binary",
		Long:      "Print the Avro schema of one record, or of all, as this binary has it built in:\n" + strings.Join(names, ", ") + ".",
		Example:   "  onhand schemas show StockDelta > StockDelta.avsc",
		ValidArgs: names,
	}
	asJSON := addJSONFlag(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("onhand schemas show wants one record, not %d", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.config(cmd)
		if err != nil {
			return err
		}
		shown := schemas.Subjects(c.Namespace)
		if len(args) == 1 {
			if shown = subjectsOf(shown, args[0]); shown == nil {
				return usagef("there is no record %q%s", args[0], didYouMean(args[0], names))
			}
		}
		return a.showSchemas(shown, *asJSON)
	}
	return cmd
}

// subjectsOf are those of the record, none if there is no such record.
func subjectsOf(subjects []schemas.Subject, record string) (found []schemas.Subject) {
	for _, s := range subjects {
		if s.Record == record {
			found = append(found, s)
		}
	}
	return found
}

func (a *app) showSchemas(subjects []schemas.Subject, asJSON bool) error {
	type shown struct {
		Subject string          `json:"subject"`
		Record  string          `json:"record"`
		Schema  json.RawMessage `json:"schema"`
	}
	var list []shown
	for _, s := range subjects {
		list = append(list, shown{s.Name, s.Record, json.RawMessage(s.Text)})
		if asJSON {
			continue
		}
		var text bytes.Buffer
		if err := json.Indent(&text, []byte(s.Text), "", "  "); err != nil {
			return fmt.Errorf("printing %s: %w", s.Record, err)
		}
		fmt.Fprintln(a.out, text.String())
	}
	if asJSON {
		return printJSON(a.out, list)
	}
	return nil
}
