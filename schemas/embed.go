package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// A record is one of the five, by its position in records.
type record int

const (
	recordStockDelta record = iota
	recordReservationEvent
	recordReservationResult
	recordAvailabilityUpdate
	recordLocationGraph
	recordNone // a schema of none of ours
)

// records are the names of the records, each that of its file and of the record in it.
var records = []string{"StockDelta", "ReservationEvent", "ReservationResult", "AvailabilityUpdate", "LocationGraph"}

func (r record) String() string { return records[r] }

//go:embed *.avsc released/*/*.avsc
var files embed.FS

// text is the embedded schema on one line, as it is registered.
func (r record) text() string {
	return compact(records[r] + ".avsc")
}

// released are the schemas of the record that were ever released, oldest first.
func (r record) released() []release {
	paths, err := fs.Glob(files, "released/v*/"+records[r]+".avsc")
	if err != nil {
		panic(err) // the pattern is constant and well-formed
	}
	releases := make([]release, 0, len(paths))
	for _, path := range paths {
		n, err := strconv.Atoi(strings.TrimPrefix(strings.Split(path, "/")[1], "v"))
		if err != nil {
			panic(fmt.Errorf("reading version of %s: %w", path, err))
		}
		releases = append(releases, release{version: n, text: compact(path)})
	}
	slices.SortFunc(releases, func(a, b release) int { return a.version - b.version })
	return releases
}

// A release is one released version of one record.
type release struct {
	version int
	text    string
}

// compact reads an embedded schema and takes the white space out. The files are part of the program and tested, so one
// that cannot be read is a broken build.
func compact(path string) string {
	raw, err := files.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		panic(fmt.Errorf("reading %s: %w", path, err))
	}
	return line.String()
}
