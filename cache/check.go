package cache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"onhand/processor/availability"
)

// check asks Redis, once, whether it can be used; only a server that is still starting is asked again until ctx ends.
func (r *Redis) check(ctx context.Context, a *address) error {
	var last error
	for {
		err := r.checkOnce(ctx, a)
		if err == nil {
			return nil
		}
		// An answer that takes too long may be ctx at its end, a moment before ctx itself says so.
		if starting(err) {
			last = err
		} else if last == nil || !timedOut(err) {
			return explain(denied(err), a)
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), last)
		case <-timer.C:
		}
	}
}

func (r *Redis) checkOnce(ctx context.Context, a *address) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return err
	}
	if c, ok := r.client.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return checkNode(ctx, node, a) })
	}
	return checkNode(ctx, r.client, a)
}

// starting says whether the answer is that of servers that come up.
func starting(err error) bool {
	return redis.IsLoadingError(err) || redis.IsMasterDownError(err) || redis.HasErrorPrefix(err, "CLUSTERDOWN")
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// checkNode tells a server of another kind than the URL says, and one that may evict.
func checkNode(ctx context.Context, node redis.Cmdable, a *address) error {
	info, infoErr := node.Info(ctx).Result()
	switch mode := field(info, "redis_mode"); {
	case mode == "cluster" && a.deployment != cluster:
		return errors.New("the server is a node of a Redis Cluster: use redis+cluster:// (or rediss+cluster://) with some of its nodes")
	case mode == "sentinel":
		return errors.New("the server is a Sentinel: use redis+sentinel://host:port/name (or rediss+sentinel://)")
	case field(info, "role") == "slave" && a.deployment == single:
		return errors.New("the server is a replica and takes no writes: name its master, or let Sentinels name it with redis+sentinel://")
	}
	policy := ""
	answer, err := node.ConfigGet(ctx, "maxmemory-policy").Result()
	if err == nil {
		policy = answer["maxmemory-policy"]
	} else if _, ok := errors.AsType[redis.Error](err); !ok {
		return err
	}
	if policy == "" {
		if redis.IsPermissionError(infoErr) && redis.IsPermissionError(err) {
			return fmt.Errorf("%w: it lacks the right +info: nobody knows without it whether Redis evicts keys: %w", availability.ErrDenied, infoErr)
		}
		policy = field(info, "maxmemory_policy")
	}
	if policy != "" && policy != "noeviction" {
		return fmt.Errorf("maxmemory-policy is %s, so Redis may drop balances when memory is short: set maxmemory-policy noeviction", policy)
	}
	return nil
}

// field returns a value of INFO's text, or nothing.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// explain adds to an error what an operator can do about it.
func explain(err error, a *address) error {
	if hint := hint(err, a); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func hint(err error, a *address) string {
	var unknownHost *net.DNSError
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var name x509.HostnameError
	text := err.Error()
	switch {
	case errors.As(err, &unknownHost):
		return "check the host name in the URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port, and that the server runs"
	case errors.As(err, &record):
		return "the server does not speak TLS: use redis for rediss"
	case errors.As(err, &name):
		return "the certificate is for another name: set server_name"
	case errors.As(err, &certificate):
		return "the server's certificate is not trusted: set ca to the file of the certificate authority"
	case strings.Contains(text, "tls: "):
		return "the server refuses the TLS connection: if it asks for a client certificate, set cert and key"
	case redis.HasErrorPrefix(err, "NOAUTH"):
		return "the server wants a password: put user:password@ before the host"
	case redis.IsAuthError(err), redis.HasErrorPrefix(err, "WRONGPASS"), strings.Contains(text, "AUTH"):
		return "check user and password; percent-encode : / ? # @ % in them"
	case redis.IsPermissionError(err):
		return "grant the user that right"
	case a.deployment == cluster && (strings.Contains(text, "cluster support disabled") || strings.Contains(text, "cluster has no nodes")):
		return "the server is no node of a Redis Cluster: use redis://host:port/0"
	case a.deployment == sentinel && strings.Contains(text, "unknown command"):
		return "the server is no Sentinel: use redis://host:port/0"
	case timedOut(err) && a.secure:
		return "the server does not answer: check host, port and firewalls, and if it does not speak TLS, use redis for rediss"
	case timedOut(err):
		return "the server does not answer: check host, port and firewalls"
	case a.deployment == sentinel && strings.Contains(text, sentinelsSilent):
		return fmt.Sprintf("no Sentinel answered, or none knows a master named %q: check hosts, name and passwords", a.master)
	case strings.HasPrefix(text, "MOVED "):
		return "the server is a node of a Redis Cluster: use redis+cluster://"
	case strings.Contains(text, "DB index is out of range"):
		return "the server has no database of that number"
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF):
		if a.secure {
			return "the server closed the connection at once: if it does not speak TLS, use redis for rediss"
		}
		return "the server closed the connection at once: if it speaks TLS, use rediss for redis"
	}
	return ""
}
