package schemas

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"
)

// Lookup finds schemas by id. A Registry is one. Schema returns the text of the schema; an error that wraps
// ErrUnknownSchema when there is none of that id; one that wraps ErrWrongRecordType or ErrDecode when there is one that
// is not Avro or cannot be read; and any other error when it could not find out.
type Lookup interface {
	Schema(ctx context.Context, id int) (text string, err error)
}

// Static is a fixed set of schemas by id.
type Static map[int]string

// Schema is the text of the schema, or ErrUnknownSchema.
func (s Static) Schema(_ context.Context, id int) (string, error) {
	text, ok := s[id]
	if !ok {
		return "", ErrUnknownSchema
	}
	return text, nil
}

// DecoderOptions are the settings of a Decoder. The zero value is fit for use.
type DecoderOptions struct {
	// Preload holds schemas by id that need not be asked for, as Learned gave them in an earlier run. An entry that is
	// not a readable schema is left out, so that a damaged file costs no more than a request.
	Preload map[int]string
	// Learned, if set, is told every schema that was looked up and will be known from then on, once per id and never
	// concurrently. Values that wait for a schema wait for it too.
	Learned func(id int, text string)
	// SchemasMax bounds the schemas that are kept; default 1000. Values of further ones still decode, but each of them
	// asks Lookup again.
	SchemasMax int
	// UnknownFor is how long an id that Lookup called unknown is not asked for again; default 5 s. It keeps a producer
	// that frames with ids of another registry from costing a request per record.
	UnknownFor time.Duration
}

// known are the writers a decoder has met.
type known struct {
	writers atomic.Pointer[map[int]*writer] // copied for each addition, so readers need no lock
	options DecoderOptions
	lookup  Lookup

	asking  chan struct{}     // holds one token; whoever has it may look up, and use what follows
	unknown map[int]time.Time // ids that do not exist, and until when that is believed
}

func newKnown(lookup Lookup, options DecoderOptions) *known {
	if options.SchemasMax == 0 {
		options.SchemasMax = 1000
	}
	if options.UnknownFor == 0 {
		options.UnknownFor = 5 * time.Second
	}
	k := &known{options: options, lookup: lookup, asking: make(chan struct{}, 1), unknown: make(map[int]time.Time)}
	writers := make(map[int]*writer, len(options.Preload))
	for id, text := range options.Preload {
		if w := newWriter(id, text); w.err == nil && len(writers) < options.SchemasMax {
			writers[id] = w
		}
	}
	k.writers.Store(&writers)
	return k
}

// writer is the writer of that id. Goroutines that meet unknown ids look them up one after the other: without that, all
// tasks of a process that starts would ask the registry for the same id at once.
func (k *known) writer(ctx context.Context, id int) (*writer, error) {
	if w := (*k.writers.Load())[id]; w != nil {
		return w, nil
	}
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	if w := (*k.writers.Load())[id]; w != nil {
		return w, nil // another goroutine looked it up while this one waited
	}
	if until, ok := k.unknown[id]; ok && time.Now().Before(until) {
		return nil, ErrUnknownSchema
	}
	return k.learn(ctx, id)
}

// learn asks for a schema. The caller holds the token.
func (k *known) learn(ctx context.Context, id int) (*writer, error) {
	text, err := k.lookup.Schema(ctx, id)
	var w *writer
	switch {
	case err == nil:
		w = newWriter(id, text)
	case errors.Is(err, ErrUnknownSchema):
		if len(k.unknown) >= k.options.SchemasMax {
			clear(k.unknown)
		}
		k.unknown[id] = time.Now().Add(k.options.UnknownFor)
		return nil, err
	case errors.Is(err, ErrDecode) || errors.Is(err, ErrWrongRecordType):
		w = &writer{id: id, record: recordNone, err: err} // the registry has it, and it will never be one of ours
	case errors.Is(err, ErrUnavailable):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	before := *k.writers.Load()
	if len(before) >= k.options.SchemasMax {
		return w, nil
	}
	writers := maps.Clone(before)
	writers[id] = w
	k.writers.Store(&writers)
	delete(k.unknown, id)
	if k.options.Learned != nil && w.err == nil {
		k.options.Learned(id, text)
	}
	return w, nil
}
