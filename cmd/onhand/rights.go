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

// nameRights adds to an error of a command the rights that Kafka misses.
func (a *app) nameRights(ctx context.Context, command *cobra.Command, err error) error {
	if !topics.IsDenied(err) {
		return err
	}
	c, configErr := a.config(command)
	if configErr != nil {
		return err
	}
	path := strings.TrimPrefix(command.CommandPath(), command.Root().Name()+" ")
	if f := command.Flags().Lookup("repair"); f != nil && f.Changed {
		path += " --repair"
	}
	return a.nameRightsOf(ctx, c.Config, path, err)
}

// nameRightsOf asks which of the rights that the command of the path needs are missing: the answer of a broker that denies
// something does not say.
func (a *app) nameRightsOf(ctx context.Context, c *Config, path string, err error) error {
	if !topics.IsDenied(err) || ctx.Err() != nil {
		return err
	}
	if lacking := a.lacking(ctx, c, path, err); len(lacking) > 0 {
		return hinted(fmt.Errorf("%s lacks %s: %w", c.Security.who(), lacking, err), aclHint)
	}
	return err
}

// lacking are the rights that the user of the settings lacks, nil where that cannot be found out.
func (a *app) lacking(ctx context.Context, c *Config, path string, denied error) topics.Rights {
	names, err := topics.NamesOf(c.Namespace)
	if err != nil {
		return nil
	}
	instance, err := c.instance()
	if err != nil {
		return nil
	}
	client, err := connectKafka(ctx, c, a.quietLogger(c))
	if err != nil {
		return nil
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return topics.Lacking(asking, client, names.RightsOfCommand(path, topics.RightsOptions{InstancePrefix: instance + "-"}), denied)
}

// who names the user for Kafka.
func (s *Security) who() string {
	if s.User == "" {
		return "the user of this connection"
	}
	return fmt.Sprintf("user %q", s.User)
}
