package schemas

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
)

// A Registration is what RegisterAll did for one subject.
type Registration struct {
	Subject          string `json:"subject"`
	Record           string `json:"record"`
	ID               int    `json:"id"`
	Version          int    `json:"version"`
	Created          bool   `json:"created"`          // the schema was not there before
	CompatibilitySet bool   `json:"compatibilitySet"` // to BACKWARD, as the subject had no level of its own or a weaker one
}

// RegisterAll registers the embedded schemas of a namespace and makes each subject at least BACKWARD compatible. A subject
// that is as it should be is left alone, so it may be called again. Before a schema is registered, it is checked offline
// against every version of its subject: registries differ in what they check. On an error it returns what is done so far.
func (g *Registry) RegisterAll(ctx context.Context, namespace string) ([]Registration, error) {
	var done []Registration
	for _, subject := range Subjects(namespace) {
		registration, err := g.register(ctx, subject)
		if err != nil {
			return done, err
		}
		done = append(done, registration)
	}
	return done, nil
}

func (g *Registry) register(ctx context.Context, subject Subject) (Registration, error) {
	did := Registration{Subject: subject.Name, Record: subject.Record}
	found, err := g.find(ctx, subject.Name, subject.Text)
	switch {
	case err == nil:
		did.ID, did.Version = found.ID, found.Version
	case errors.Is(err, ErrNotRegistered):
		if err := g.checkVersions(ctx, subject); err != nil {
			return did, err
		}
		if did.ID, did.Version, err = g.Register(ctx, subject.Name, subject.Text); err != nil {
			return did, err
		}
		did.Created = true
	default:
		return did, err
	}
	level, own, err := g.level(ctx, subject.Name)
	if err != nil {
		return did, err
	}
	// The level of a new subject may be the one for all subjects, told as its own; it is set, lest that one changes.
	inherited := !own || did.Created && level == sr.CompatBackward
	if !inherited && impliesBackward(level) {
		return did, nil
	}
	did.CompatibilitySet = true
	return did, g.SetCompatibility(ctx, subject.Name, sr.CompatBackward)
}

// checkVersions is ErrIncompatible where the embedded schema could not read what a version of the subject wrote.
func (g *Registry) checkVersions(ctx context.Context, subject Subject) error {
	versions, err := g.Versions(ctx, subject.Name)
	if err != nil {
		return err
	}
	for _, version := range versions {
		if err := canRead(subject.Text, version.Text); err != nil {
			return fmt.Errorf("%s version %d: %w", subject.Name, version.Version, err)
		}
	}
	return nil
}

// impliesBackward leaves stricter levels than BACKWARD to whoever set them.
func impliesBackward(level sr.CompatibilityLevel) bool {
	switch level {
	case sr.CompatBackward, sr.CompatBackwardTransitive, sr.CompatFull, sr.CompatFullTransitive:
		return true
	case sr.CompatNone, sr.CompatForward, sr.CompatForwardTransitive:
	}
	return false
}

// A Check is how one subject compares with the embedded schema.
type Check struct {
	Subject       string   `json:"subject"`
	Record        string   `json:"record"`
	ID            int      `json:"id"`            // of the newest version that equals the embedded schema, 0 where there is none
	Version       int      `json:"version"`       // of the same
	Latest        int      `json:"latest"`        // newest version of the subject, 0 where it is not registered
	Compatibility string   `json:"compatibility"` // level, empty where the subject is not registered
	Problems      []string `json:"problems"`      // what is wrong, for people; empty where all is well
}

// CheckAll compares the subjects of a namespace with the embedded schemas and changes nothing. What is wrong with a
// subject stands in its Check; the error is for what could not be found out.
func (g *Registry) CheckAll(ctx context.Context, namespace string) ([]Check, error) {
	var checks []Check
	for i, subject := range Subjects(namespace) {
		check, err := g.check(ctx, record(i), subject)
		if err != nil {
			return checks, err
		}
		checks = append(checks, check)
	}
	return checks, nil
}

func (g *Registry) check(ctx context.Context, of record, subject Subject) (Check, error) {
	check := Check{Subject: subject.Name, Record: subject.Record, Problems: []string{}}
	for _, released := range of.released() {
		check.problem(fmt.Sprintf("released version %d", released.version), canRead(subject.Text, released.text))
	}
	versions, err := g.Versions(ctx, subject.Name)
	if errors.Is(err, ErrWrongRecordType) || errors.Is(err, ErrDecode) {
		check.problem("registered versions", err)
		return check, nil
	}
	if err != nil {
		return check, err
	}
	if len(versions) == 0 {
		check.problem("embedded schema", ErrNotRegistered)
		return check, nil
	}
	for _, version := range versions {
		check.Latest = max(check.Latest, version.Version)
		at := fmt.Sprintf("registered version %d", version.Version)
		same, err := sameContract(subject.Text, version.Text)
		check.problem(at, err)
		if same {
			check.ID, check.Version = version.ID, version.Version
		}
		check.problem(at, canRead(subject.Text, version.Text))
	}
	if check.Version == 0 {
		check.problem("embedded schema", ErrNotRegistered)
	} else if check.Version != check.Latest {
		check.problem(fmt.Sprintf("registered version %d", check.Latest), errors.New("newer than the embedded schema"))
	}
	return g.checkLevel(ctx, subject, check)
}

// checkLevel adds what the registry itself has to say.
func (g *Registry) checkLevel(ctx context.Context, subject Subject, check Check) (Check, error) {
	level, err := g.Compatibility(ctx, subject.Name)
	if err != nil {
		return check, err
	}
	check.Compatibility = level.String()
	if !impliesBackward(level) {
		check.problem("compatibility level", fmt.Errorf("%s, want %s or stricter", level, sr.CompatBackward))
	}
	err = g.CheckCompatible(ctx, subject.Name, subject.Text)
	if err != nil && !errors.Is(err, ErrIncompatible) {
		return check, err
	}
	check.problem("registry", err)
	return check, nil
}

func (c *Check) problem(at string, err error) {
	if err != nil {
		c.Problems = append(c.Problems, fmt.Sprintf("%s: %v", at, err))
	}
}
