package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"onhand/schemas"
)

// graphFileBytesMax bounds a graph file. The record it becomes has at most 1 MiB.
const graphFileBytesMax = 8 << 20

// graphFile is a location graph as people write it: the fields of LocationGraph less those that publishing sets.
type graphFile struct {
	Locations []fileLocation `yaml:"locations" json:"locations"`
	Groups    []fileGroup    `yaml:"groups" json:"groups"`
}

// fileLocation is a location. What is nil has its default: the name is the reference, the flags are true.
type fileLocation struct {
	ExternalReference string  `yaml:"externalReference" json:"externalReference"`
	Name              *string `yaml:"name,omitempty" json:"name,omitempty"`
	LocationType      string  `yaml:"locationType,omitempty" json:"locationType,omitempty"`
	InventoryLocation *bool   `yaml:"inventoryLocation,omitempty" json:"inventoryLocation,omitempty"`
	Sync              *bool   `yaml:"sync,omitempty" json:"sync,omitempty"`
}

// fileGroup is a location group, with the defaults of fileLocation.
type fileGroup struct {
	ExternalReference string   `yaml:"externalReference" json:"externalReference"`
	Name              *string  `yaml:"name,omitempty" json:"name,omitempty"`
	Enabled           *bool    `yaml:"enabled,omitempty" json:"enabled,omitempty"`
	Sync              *bool    `yaml:"sync,omitempty" json:"sync,omitempty"`
	Locations         []string `yaml:"locations,flow" json:"locations"`
}

// graphFileFields are all names in a graph file, for suggestions; publishedFields are those that publishing sets.
var (
	graphFileFields = []string{"locations", "groups", "externalReference", "name", "locationType", "inventoryLocation", "sync", "enabled"}
	publishedFields = []string{"version", "publishedAt", "since"}
)

// readGraphFile reads a YAML or JSON file, or standard input for -. The graph has neither version nor publishedAt.
func (a *app) readGraphFile(path string) (schemas.LocationGraph, error) {
	in := a.in
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return schemas.LocationGraph{}, hinted(fmt.Errorf("reading the graph file %s: %w", path, pathReason(err)), "name "+kindNames[kindGraph]+", or - for standard input")
		}
		defer closeRead(file)
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, graphFileBytesMax+1))
	if err == nil && len(text) > graphFileBytesMax {
		err = fmt.Errorf("it is longer than %s", formatBytes(graphFileBytesMax))
	}
	if err != nil {
		return schemas.LocationGraph{}, hinted(fmt.Errorf("reading the graph file %s: %w", path, pathReason(err)), "name "+kindNames[kindGraph])
	}
	if err := wrongKind(text, kindGraph); err != nil {
		return schemas.LocationGraph{}, fmt.Errorf("reading the graph file %s: %w", path, err)
	}
	parsed, err := parseGraphFile(text)
	if err != nil {
		return schemas.LocationGraph{}, hinted(fmt.Errorf("reading the graph file %s: %w", path, err),
			"`onhand graph show` prints a file in the right form; `onhand graph plan --help` has an example")
	}
	return parsed.graph(), nil
}

// parseGraphFile refuses unknown and repeated fields, and more than one document.
func parseGraphFile(text []byte) (graphFile, error) {
	var f graphFile
	var err error
	// JSON is read as JSON: YAML minds tabs.
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err = d.Decode(&f); err == nil && d.More() {
			err = errors.New("there is more after the graph; a file holds one")
		}
	} else {
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		err = d.Decode(&f)
		if errors.Is(err, io.EOF) {
			return f, errors.New("it is empty")
		}
		if err == nil && !errors.Is(d.Decode(&graphFile{}), io.EOF) {
			err = errors.New("there is more after the graph; a file holds one")
		}
	}
	if err != nil {
		return f, explainFields(err)
	}
	if len(f.Locations) == 0 {
		return f, errors.New("it has no locations")
	}
	return f, nil
}

// unknownField finds the field in what the YAML and the JSON decoder say.
var unknownField = regexp.MustCompile(`(?:json: )?(?:unknown )?field "?([^" ]*)"?(?: not found in type main\.\w+)?`)

// explainFields says of unknown fields which was meant, or that publishing sets it.
func explainFields(err error) error {
	text := unknownField.ReplaceAllStringFunc(err.Error(), func(found string) string {
		name := unknownField.FindStringSubmatch(found)[1]
		for _, published := range publishedFields {
			if name == published {
				return fmt.Sprintf("field %q is set by publishing; leave it out", name)
			}
		}
		return fmt.Sprintf("field %q is unknown%s", name, didYouMean(name, graphFileFields))
	})
	text = strings.TrimPrefix(text, "yaml: unmarshal errors:\n  ")
	return errors.New(text) // the decoders' types say nothing to anyone
}

// graph fills in the defaults.
func (f *graphFile) graph() schemas.LocationGraph {
	var g schemas.LocationGraph
	for _, l := range f.Locations {
		g.Locations = append(g.Locations, schemas.Location{
			ExternalReference: l.ExternalReference, Name: orDefault(l.Name, l.ExternalReference), LocationType: l.LocationType,
			InventoryLocation: orDefault(l.InventoryLocation, true), Sync: orDefault(l.Sync, true),
		})
	}
	for _, p := range f.Groups {
		g.Groups = append(g.Groups, schemas.LocationGroup{
			ExternalReference: p.ExternalReference, Name: orDefault(p.Name, p.ExternalReference),
			Enabled: orDefault(p.Enabled, true), Sync: orDefault(p.Sync, true), Locations: p.Locations,
		})
	}
	return g
}

func orDefault[T any](v *T, otherwise T) T {
	if v == nil {
		return otherwise
	}
	return *v
}

// unlessDefault is nil for a value that need not be written.
func unlessDefault[T comparable](v, otherwise T) *T {
	if v == otherwise {
		return nil
	}
	return &v
}

// fileOf is the file that a published graph could come from.
func fileOf(g *schemas.LocationGraph) graphFile {
	var f graphFile
	for _, l := range g.Locations {
		f.Locations = append(f.Locations, fileLocation{
			ExternalReference: l.ExternalReference, Name: unlessDefault(l.Name, l.ExternalReference), LocationType: l.LocationType,
			InventoryLocation: unlessDefault(l.InventoryLocation, true), Sync: unlessDefault(l.Sync, true),
		})
	}
	for _, p := range g.Groups {
		f.Groups = append(f.Groups, fileGroup{
			ExternalReference: p.ExternalReference, Name: unlessDefault(p.Name, p.ExternalReference),
			Enabled: unlessDefault(p.Enabled, true), Sync: unlessDefault(p.Sync, true), Locations: p.Locations,
		})
	}
	return f
}
