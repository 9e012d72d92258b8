package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"onhand/schemas"
)

// openRegistry makes the client of the schema registry. Nothing is asked yet. The caller closes it.
func openRegistry(c *Config, log *slog.Logger) (*schemas.Registry, error) {
	options := schemas.RegistryOptions{Timeout: 3 * time.Second, RetriesMax: 1, RetryWait: 100 * time.Millisecond, Logger: log}
	if strings.HasPrefix(string(c.Registry), "https:") {
		config, err := (&Security{CA: c.Security.CA, Cert: c.Security.Cert, Key: c.Security.Key}).tlsConfig()
		if err != nil {
			return nil, err
		}
		options.TLS = config
	}
	registry, err := schemas.NewRegistry(string(c.Registry), options)
	if err != nil {
		return nil, hinted(err, "correct --registry (ONHAND_REGISTRY)")
	}
	return registry, nil
}

// explainRegistry adds the way out to an error of the registry.
func explainRegistry(c *Config, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return err
	case strings.Contains(err.Error(), "status 401") || strings.Contains(err.Error(), "status 403"):
		return hinted(fmt.Errorf("the schema registry at %s refuses the password: %w", c.Registry, err),
			"put user:password into --registry (ONHAND_REGISTRY)")
	case errors.Is(err, schemas.ErrUnavailable):
		return hinted(fmt.Errorf("the schema registry at %s does not answer: %w", c.Registry, err),
			"start it, or say where it is with --registry (ONHAND_REGISTRY)")
	case errors.Is(err, schemas.ErrNotRegistered):
		return hinted(err, "register the schemas with `onhand schemas register`, or check --namespace and --registry")
	case errors.Is(err, schemas.ErrIncompatible):
		return hinted(err, "`onhand schemas check` compares what is registered with what this binary needs")
	}
	return err
}

// schemaID is the id of the embedded schema of a topic, which values are framed with. Nothing is registered.
func schemaID(ctx context.Context, c *Config, registry *schemas.Registry, topic string) (int, error) {
	for _, subject := range schemas.Subjects(c.Namespace) {
		if subject.Topic != topic {
			continue
		}
		latest, err := registry.Latest(ctx, subject.Name)
		if err != nil {
			return 0, explainRegistry(c, err)
		}
		if sameJSON(latest.Text, subject.Text) {
			return latest.ID, nil
		}
		return olderSchemaID(ctx, c, registry, subject.Name)
	}
	return 0, fmt.Errorf("topic %s has no schema", topic)
}

// olderSchemaID finds the id where the newest schema of the subject is not ours, or is ours in another spelling.
func olderSchemaID(ctx context.Context, c *Config, registry *schemas.Registry, subject string) (int, error) {
	checks, err := registry.CheckAll(ctx, c.Namespace)
	if err != nil {
		return 0, explainRegistry(c, err)
	}
	for _, check := range checks {
		if check.Subject == subject && check.ID != 0 {
			return check.ID, nil
		}
	}
	return 0, explainRegistry(c, fmt.Errorf("the schema of this binary under %s: %w", subject, schemas.ErrNotRegistered))
}

// sameJSON compares two texts but for white space.
func sameJSON(a, b string) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, []byte(a)) == nil && json.Compact(&y, []byte(b)) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// newDecoder decodes what the topics hold with the schemas of the registry.
func newDecoder(registry *schemas.Registry) *schemas.Decoder {
	return schemas.NewDecoder(registry, schemas.DecoderOptions{})
}
