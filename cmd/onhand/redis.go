package main

import (
	"context"
	"errors"
	"fmt"

	"onhand/cache"
	"onhand/processor/availability"
)

// redisUserHint is the way out for a user whom Redis refuses.
const redisUserHint = "correct the user in --redis (ONHAND_REDIS), or grant it what `onhand topics acl` prints"

// openRedis connects to Redis and checks that it can be used. onRetry may be nil. The caller closes it.
func openRedis(ctx context.Context, c *Config, onRetry func(error)) (*cache.Redis, error) {
	asking, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	store, err := cache.Open(asking, string(c.Redis), cache.Options{Namespace: c.Namespace, DialTimeout: connectTimeout, OnRetry: onRetry})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, availability.ErrDenied) {
			return nil, hinted(err, redisUserHint)
		}
		return nil, hinted(err, "correct --redis (ONHAND_REDIS), or start Redis there")
	}
	return store, nil
}

// askRedis calls what with a limit: the store itself waits for a Redis that is down as long as it may.
func askRedis(ctx context.Context, store *cache.Redis, what func(context.Context) error) error {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := what(asking)
	switch {
	case err == nil || ctx.Err() != nil:
		return errors.Join(err, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return hinted(fmt.Errorf("asking %s: %w", store, err), "see that Redis runs and that --redis (ONHAND_REDIS) names it")
	case errors.Is(err, availability.ErrDenied):
		return hinted(err, redisUserHint)
	}
	return err
}
