package main

import (
	"context"
	"log/slog"
	"time"

	"onhand/cache"
	"onhand/schemas"
	"onhand/topics"
)

// keptSchemas are the schemas that processes of the namespace have met, kept in Redis: a processor that starts while the
// registry is down goes on with them. That they cannot be read or written is no reason to stop.
type keptSchemas struct {
	store *cache.Redis
	log   *slog.Logger
}

// keepTimeout bounds one exchange about a schema.
const keepTimeout = 2 * time.Second

func (k keptSchemas) read(ctx context.Context) map[int]string {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	texts, err := k.store.Schemas(ctx)
	if err != nil {
		k.log.Warn("schemas known from before cannot be read", "err", err)
	}
	return texts
}

func (k keptSchemas) keep(ctx context.Context, id int, text string) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if err := k.store.LearnSchema(ctx, id, text); err != nil {
		k.log.Warn("schema is not kept; a start while the registry is down will not know it", "id", id, "err", err)
	}
}

// decoder decodes with the registry's schemas, and keeps those it meets.
func (k keptSchemas) decoder(ctx context.Context, registry *schemas.Registry) *schemas.Decoder {
	return schemas.NewDecoder(registry, schemas.DecoderOptions{
		Preload: k.read(ctx),
		Learned: func(id int, text string) { k.keep(ctx, id, text) },
	})
}

// own keeps the schemas of this binary, by the name of their record.
func (k keptSchemas) own(ctx context.Context, namespace string, byRecord map[string]int) {
	kept := k.read(ctx)
	for _, s := range schemas.Subjects(namespace) {
		if id := byRecord[s.Record]; kept[id] != s.Text {
			k.keep(ctx, id, s.Text)
		}
	}
}

// ids finds the ids of this binary's schemas among those kept.
func (k keptSchemas) ids(ctx context.Context, namespace string) (topics.IDs, bool) {
	byText := make(map[string]int)
	for id, text := range k.read(ctx) {
		byText[text] = id
	}
	byRecord := make(map[string]int)
	for _, s := range schemas.Subjects(namespace) {
		byRecord[s.Record] = byText[s.Text]
	}
	ids, err := topics.IDsOf(byRecord)
	return ids, err == nil
}
