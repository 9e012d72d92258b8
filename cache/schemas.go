package cache

import (
	"context"
	"fmt"
	"strconv"
)

// Schemas of producers, by their id in the registry. They are kept beside the state, so that a process that starts while
// the registry is down can read what others have read before.

// schemasKey is a HASH of id to text. It is of no task, and may be deleted at any time. Its braces are those of the tasks'
// keys, for a user who may use nothing else.
func (r *Redis) schemasKey() string { return "{" + r.namespace + ":schemas}" }

// Schemas returns the schemas that LearnSchema has kept.
func (r *Redis) Schemas(ctx context.Context) (map[int]string, error) {
	kept, err := r.client.HGetAll(ctx, r.schemasKey()).Result()
	if err != nil {
		return nil, fmt.Errorf("reading schemas from Redis: %w", denied(err))
	}
	texts := make(map[int]string, len(kept))
	for field, text := range kept {
		if id, err := strconv.Atoi(field); err == nil {
			texts[id] = text
		}
	}
	return texts, nil
}

// LearnSchema keeps a schema. An id has one text for ever, so it does not matter who writes it last.
func (r *Redis) LearnSchema(ctx context.Context, id int, text string) error {
	if err := r.client.HSet(ctx, r.schemasKey(), strconv.Itoa(id), text).Err(); err != nil {
		return fmt.Errorf("keeping a schema in Redis: %w", denied(err))
	}
	return nil
}
