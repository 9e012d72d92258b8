package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onhand/processor/availability"
	"onhand/topics"
)

// A right that is missing, in Kafka or in the store, is an operator's to grant, at any time: whoever meets it says which
// it is, is not ready, and goes on once it is there.

const (
	rightsAskMax = 10 * time.Second // how long one question for rights may take
	rightsEvery  = time.Second      // how often it is asked again
	putOffMin    = 250 * time.Millisecond
	putOffMax    = 5 * time.Second
)

// named adds to an answer of Kafka which of the processor's rights are missing: the answer itself does not say. It returns
// other errors as they are.
func (s *shared) named(ctx context.Context, err error) error {
	if !topics.IsDenied(err) {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, rightsAskMax)
	defer cancel()
	if lacking := topics.Lacking(asking, s.admin, s.rights(), err); len(lacking) > 0 {
		return fmt.Errorf("the user lacks %s: %w", lacking, err)
	}
	return err
}

// rights are those of a processor of this instance name.
func (s *shared) rights() []topics.Right {
	return s.names.RightsOfCommand("run", topics.RightsOptions{InstancePrefix: s.Instance + "-"})
}

// awaitRights waits until Kafka misses no right any more, or cannot tell which. The error is what made the session ask.
func (s *session) awaitRights(ctx context.Context, err error) {
	for said := ""; ctx.Err() == nil; {
		s.shared.obs.noteDenied(err)
		now := s.shared.named(ctx, err)
		s.mu.Lock()
		s.denied = now
		s.turned = time.Now()
		s.mu.Unlock()
		if text := now.Error(); text != said {
			s.log.Error("session waits for a right; see onhand topics acl", "err", now)
			said = text
		}
		pause(ctx, rightsEvery)
		asking, cancel := context.WithTimeout(ctx, rightsAskMax)
		missing, askErr := topics.Missing(asking, s.shared.admin, s.shared.rights())
		cancel()
		if askErr == nil && len(missing) == 0 {
			break
		}
	}
	s.mu.Lock()
	s.denied = nil
	s.mu.Unlock()
}

// putOff lets the task wait after a passing error, longer each time.
func (t *task) putOff(err error) {
	t.shared.obs.noteDenied(err)
	t.patience = min(max(2*t.patience, putOffMin), putOffMax)
	t.log.Warn("task waits", "err", err)
	t.retryAt = time.Now().Add(t.patience)
	t.waitFor(err)
}

// waitFor notes what the task waits for, nil for nothing: it is not ready meanwhile.
func (t *task) waitFor(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = err
}

// isDenied says whether an error means that the user lacks a right, in Kafka or in the store.
func isDenied(err error) bool { return topics.IsDenied(err) || errors.Is(err, availability.ErrDenied) }
