package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// Waits between attempts double from the first to the last, less a random quarter so that tasks do not come in step.
const (
	retryWaitMin = 10 * time.Millisecond
	retryWaitMax = time.Second
)

// retry calls until it succeeds, fails for good, or ctx ends. Everything it is used for may run twice: reads, and the
// commit script, which knows its own commit id. The clients do not retry by themselves, so nothing else does.
func (r *Redis) retry(ctx context.Context, call func(context.Context) error) error {
	for wait := retryWaitMin; ; wait = min(2*wait, retryWaitMax) {
		err := call(ctx)
		if err == nil {
			return nil
		}
		if !transient(err) {
			return r.denied(ctx, foreign(err))
		}
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%w; last: %w", cause, err)
		}
		if r.onRetry != nil {
			r.onRetry(err)
		}
		timer := time.NewTimer(wait - rand.N(wait/4))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}

// waitAnswers are the answers of a Redis that may answer otherwise later: it starts, fails over, moves a slot, runs a
// script of somebody else, or has no memory, disk or replica to write to.
var waitAnswers = []string{
	"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "BUSY", "NOREPLICAS", "OOM", "MISCONF",
	"ERR max number of clients",
}

// sentinelsSilent is how the client begins an error that has what each Sentinel answered.
const sentinelsSilent = "all sentinels specified in configuration are unreachable"

// transient says whether a call may succeed when it is made again. An error that is no answer of Redis comes from the
// way to it: then nobody knows whether the call arrived. What Sentinels answer is on that way.
func transient(err error) bool {
	if errors.Is(err, redis.ErrClosed) {
		return false
	}
	answer, ok := errors.AsType[redis.Error](err)
	if !ok || strings.Contains(err.Error(), sentinelsSilent) {
		return true
	}
	text := answer.Error()
	for _, prefix := range waitAnswers {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return strings.Contains(text, "Script killed by user")
}

// foreign marks the answer that a key is of another type than this layout's. Older servers put words of their own before
// what a script raised.
func foreign(err error) error {
	if answer, ok := errors.AsType[redis.Error](err); ok && strings.Contains(answer.Error(), "WRONGTYPE ") {
		return fmt.Errorf("%w: %w", availability.ErrCorrupt, err)
	}
	return err
}

// deniedCommand finds the command in the answer to a user who may not run it.
var deniedCommand = regexp.MustCompile(`no permissions to run the '([^']+)' command`)

// deniedInScript is what older servers answer to a command that a script runs, without its name. The commands are those of
// all scripts, and of the commit script alone.
const deniedInScript = "can't run this command or subcommand"

var (
	readInScripts    = []any{"exists", "get", "getrange", "hget", "hgetall", "hkeys", "hlen", "hmget", "scard", "smembers", "strlen", "zcard"}
	writtenInScripts = []any{"hset", "hdel", "sadd", "srem", "zadd", "zrem", "append", "del", "set"}
)

// denied says of the answer to a user without a right, or without the right password, what is missing. It asks Redis where
// that does not follow from the answer.
func (r *Redis) denied(ctx context.Context, err error) error {
	if _, ok := errors.AsType[redis.Error](err); !ok || !strings.Contains(err.Error(), deniedInScript) {
		return denied(err)
	}
	for _, commands := range [][]any{readInScripts, writtenInScripts} {
		lacking, askErr := lackingScript.Run(ctx, r.client, []string{keysOf(r.namespace, 0).checkpoint()}, commands...).StringSlice()
		if askErr == nil && len(lacking) > 0 {
			return fmt.Errorf("%w: it lacks the right +%s: %w", availability.ErrDenied, strings.Join(lacking, " +"), err)
		}
	}
	return fmt.Errorf("%w: it lacks the right to a command of a script: %w", availability.ErrDenied, err)
}

// denied is what the answer alone tells.
func denied(err error) error {
	if _, ok := errors.AsType[redis.Error](err); !ok || errors.Is(err, availability.ErrDenied) {
		return err
	}
	text := err.Error()
	switch command := deniedCommand.FindStringSubmatch(text); {
	case command != nil:
		return fmt.Errorf("%w: it lacks the right +%s: %w", availability.ErrDenied, strings.ToLower(command[1]), err)
	case redis.IsPermissionError(err), strings.Contains(text, "No permissions to access a key"):
		return fmt.Errorf("%w: it lacks the right to the keys of the namespace: %w", availability.ErrDenied, err)
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"):
		return fmt.Errorf("%w: user or password is wrong: %w", availability.ErrDenied, err)
	}
	return err
}
