package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"onhand/topics"
)

// aclHint is the way out for a user who lacks a right in Kafka.
const aclHint = "grant it; `onhand topics acl` prints the lines that do"

// nameRights adds to an error of a command the rights that Kafka misses, of those that the command needs: the answer of a
// broker does not say which.
func (a *app) nameRights(ctx context.Context, command *cobra.Command, err error) error {
	if !topics.IsDenied(err) || ctx.Err() != nil {
		return err
	}
	c, configErr := a.config(command)
	if configErr != nil {
		return err
	}
	rights := a.missingRights(ctx, c.Config, command, err)
	if len(rights) == 0 {
		return err
	}
	return hinted(fmt.Errorf("%s lacks %s: %w", c.Security.who(), rights, err), aclHint)
}

// missingRights are those that the user of the settings lacks, nil where that cannot be found out.
func (a *app) missingRights(ctx context.Context, c *Config, command *cobra.Command, denied error) topics.Rights {
	names, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return nil
	}
	path := strings.TrimPrefix(command.CommandPath(), command.Root().Name()+" ")
	instance, err := c.instance()
	if err != nil {
		return nil
	}
	rights := names.RightsOfCommand(path, topics.RightsOptions{InstancePrefix: instance + "-"})
	client, err := connectKafka(ctx, c, a.quietLogger(c))
	if err != nil {
		return nil
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return topics.Lacking(asking, client, rights, denied)
}

// who names the user for Kafka.
func (s *Security) who() string {
	if s.User == "" {
		return "the user of this connection"
	}
	return fmt.Sprintf("user %q", s.User)
}
