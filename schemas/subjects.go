package schemas

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// ErrNotRegistered says that a subject has no schema.
var ErrNotRegistered = errors.New("not registered")

// A Subject is a place in the registry for the schema of one of our topics.
type Subject struct {
	Name   string // <namespace>.<topic>-value
	Topic  string // without the namespace
	Record string // name of the record
	Text   string // the embedded schema
}

// topics of the records, by record.
var topics = []string{"stock-deltas", "reservation-events", "reservation-results", "availability-updates", "location-graph"}

// Subjects are the subjects of a namespace, one for each record.
func Subjects(namespace string) []Subject {
	subjects := make([]Subject, len(records))
	for i := range records {
		subjects[i] = Subject{
			Name:   namespace + "." + topics[i] + "-value",
			Topic:  topics[i],
			Record: records[i],
			Text:   record(i).text(),
		}
	}
	return subjects
}

// Registered is a schema as it stands in the registry.
type Registered struct {
	ID      int // what values are framed with; the same text has the same id under every subject
	Version int // within the subject, from 1
	Text    string
}

// Register registers the schema under the subject and returns its id and its version there. A schema that is registered
// already is left as it is. It returns ErrIncompatible where the subject's compatibility level forbids the schema.
func (g *Registry) Register(ctx context.Context, subject, text string) (id, version int, err error) {
	if _, err := g.client.RegisterSchema(ctx, subject, sr.Schema{Schema: text}, -1, -1); err != nil {
		return 0, 0, fmt.Errorf("registering %s: %w", subject, explain(err))
	}
	found, err := g.find(ctx, subject, text)
	if err != nil {
		return 0, 0, err
	}
	return found.ID, found.Version, nil
}

// find is the schema under the subject, ErrNotRegistered where it is not there.
func (g *Registry) find(ctx context.Context, subject, text string) (Registered, error) {
	found, err := g.client.LookupSchema(ctx, subject, sr.Schema{Schema: text})
	if err = explain(err); errors.Is(err, errNotFound) {
		return Registered{}, fmt.Errorf("%s: %w", subject, ErrNotRegistered)
	}
	if err != nil {
		return Registered{}, fmt.Errorf("looking for schema under %s: %w", subject, err)
	}
	return Registered{ID: found.ID, Version: found.Version, Text: text}, nil
}

// Latest is the newest schema of the subject, ErrNotRegistered where it has none.
func (g *Registry) Latest(ctx context.Context, subject string) (Registered, error) {
	const latest = -1
	return g.version(ctx, subject, latest)
}

// Versions are all schemas of the subject, oldest first, none where it is not registered.
func (g *Registry) Versions(ctx context.Context, subject string) ([]Registered, error) {
	numbers, err := g.client.SubjectVersions(ctx, subject)
	if err = explain(err); errors.Is(err, errNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing versions of %s: %w", subject, err)
	}
	versions := make([]Registered, len(numbers))
	for i, number := range numbers {
		if versions[i], err = g.version(ctx, subject, number); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func (g *Registry) version(ctx context.Context, subject string, number int) (Registered, error) {
	found, err := g.client.SchemaByVersion(ctx, subject, number)
	if err = explain(err); errors.Is(err, errNotFound) {
		return Registered{}, fmt.Errorf("%s: %w", subject, ErrNotRegistered)
	}
	if err != nil {
		return Registered{}, fmt.Errorf("asking for %s: %w", subject, err)
	}
	text, err := avroText(found.Schema)
	if err != nil {
		return Registered{}, fmt.Errorf("%s version %d: %w", subject, found.Version, err)
	}
	return Registered{ID: found.ID, Version: found.Version, Text: text}, nil
}

// Compatibility is the level that guards the subject: its own, or the one for all subjects where it has none. Apicurio
// does not tell the two apart.
func (g *Registry) Compatibility(ctx context.Context, subject string) (sr.CompatibilityLevel, error) {
	level, own, err := g.level(ctx, subject)
	if err != nil || own {
		return level, err
	}
	level, _, err = g.level(ctx, sr.GlobalSubject)
	return level, err
}

// level is the subject's own level; own is false where it has none.
func (g *Registry) level(ctx context.Context, subject string) (level sr.CompatibilityLevel, own bool, err error) {
	result := g.client.Compatibility(ctx, subject)[0]
	if err = explain(result.Err); errors.Is(err, errNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("asking for compatibility of %q: %w", subject, err)
	}
	return result.Level, true, nil
}

// SetCompatibility sets the subject's own level. Some registries make an empty subject of a name they do not know.
func (g *Registry) SetCompatibility(ctx context.Context, subject string, level sr.CompatibilityLevel) error {
	result := g.client.SetCompatibility(ctx, sr.SetCompatibility{Level: level}, subject)[0]
	if result.Err != nil {
		return fmt.Errorf("setting compatibility of %s to %s: %w", subject, level, explain(result.Err))
	}
	return nil
}

// CheckCompatible asks the registry whether the schema may follow the newest one of the subject: ErrIncompatible if not,
// nil where there is none. What that means depends on the subject's level, and NONE allows everything.
func (g *Registry) CheckCompatible(ctx context.Context, subject, text string) error {
	const latest = -1
	result, err := g.client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, latest, sr.Schema{Schema: text})
	if err = explain(err); errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("checking compatibility of %s: %w", subject, err)
	}
	if !result.Is {
		return fmt.Errorf("%s: %w, says the registry: %s", subject, ErrIncompatible, shortened(fmt.Sprint(result.Messages)))
	}
	return nil
}

// canRead checks offline that what the writer's schema wrote can be read with the reader's: ErrIncompatible if not.
func canRead(reader, writer string) error {
	r, err := avro.Parse(reader)
	if err != nil {
		return fmt.Errorf("reading schema: %w", err)
	}
	w, err := avro.Parse(writer)
	if err != nil {
		return fmt.Errorf("%w: reading its schema: %w", ErrIncompatible, err)
	}
	if err := avro.CheckCompatibility(w, r); err != nil {
		return fmt.Errorf("%w: %w", ErrIncompatible, err)
	}
	return nil
}

// Unregister deletes every version of the subjects of a namespace. Ids that other subjects use stay. What is not there
// is passed over, so it may be called again.
func (g *Registry) Unregister(ctx context.Context, namespace string) error {
	for _, subject := range Subjects(namespace) {
		for _, how := range []sr.DeleteHow{sr.SoftDelete, sr.HardDelete} {
			if _, err := g.client.DeleteSubject(ctx, subject.Name, how); err != nil && !errors.Is(explain(err), errNotFound) {
				return fmt.Errorf("deleting %s: %w", subject.Name, explain(err))
			}
		}
	}
	return nil
}
