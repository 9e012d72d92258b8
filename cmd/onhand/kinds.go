package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
)

// fileKind is what a file is, as its first bytes tell.
type fileKind int

const (
	kindUnknown fileKind = iota
	kindGzip
	kindBinary
	kindFeed
	kindGraph
	kindManifest
	kindSnapshot
)

// kindHeadBytes is how much of a file is looked at.
const kindHeadBytes = 4 << 10

// graphLine is a line that a graph file in YAML has.
var graphLine = regexp.MustCompile(`(?m)^(locations|groups):`)

// kindOf looks at the first bytes of a file. What it does not know may be good all the same.
func kindOf(head []byte) fileKind {
	head = head[:min(len(head), kindHeadBytes)]
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return kindGzip
	case bytes.HasPrefix(head, []byte("onhand-snapshot")):
		return kindSnapshot
	case bytes.IndexByte(head, 0) >= 0: // in no text that any command reads
		return kindBinary
	}
	keys := firstKeys(head)
	has := func(key string) bool { return slices.Contains(keys, key) }
	switch {
	case has("format") && has("checksum"):
		return kindManifest
	case has("locations") || has("groups") || keys == nil && graphLine.Match(head):
		return kindGraph
	case has("recordId") || has("sku") || has("location") && has("mode"):
		return kindFeed
	}
	return kindUnknown
}

// firstKeys are the keys of the JSON object that a text begins with, as far as it goes; nil: it begins with none.
func firstKeys(head []byte) []string {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(head, byteOrderMark)))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil
	}
	keys := []string{}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			break
		}
		keys = append(keys, name)
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
	}
	return keys
}

// wrongKind says what a file is where it is not of the kind that is wanted; nil where it is, or may be.
func wrongKind(head []byte, want fileKind) error {
	kind := kindOf(head)
	if kind == want {
		return nil
	}
	switch kind {
	case kindGzip:
		return hinted(errors.New("it is compressed"), "unpack it first: `zcat FILE`, and - for standard input")
	case kindBinary:
		return hinted(errors.New("it is no text"), "name "+kindNames[want])
	case kindFeed:
		return hinted(errors.New("it is a feed of stock records"), fmt.Sprintf("`onhand import` publishes it; name %s here", kindNames[want]))
	case kindGraph:
		return hinted(errors.New("it is a location graph"), fmt.Sprintf("`onhand graph publish` publishes it; name %s here", kindNames[want]))
	case kindManifest, kindSnapshot:
		return hinted(errors.New("it is a part of a snapshot"), fmt.Sprintf("`onhand restore` brings its directory back; name %s here", kindNames[want]))
	case kindUnknown:
	}
	return nil
}

// kindNames are the kinds that commands want.
var kindNames = map[fileKind]string{kindFeed: "an NDJSON file, plain or gzip", kindGraph: "a graph file in YAML or JSON"}

// pathReason is why a file cannot be read, without its path.
func pathReason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// brokenGzip says that a compressed file was cut or damaged on its way.
func brokenGzip(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &corrupt)
}
