package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// IsDenied says whether an error of the Kafka client means that the principal lacks a right.
func IsDenied(err error) bool {
	for _, denied := range []*kerr.Error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	} {
		if errors.Is(err, denied) {
			return true
		}
	}
	return false
}

// Missing asks the brokers which of the rights the principal of the client does not have. What a broker does not tell is
// not missing: one without an authorizer, one that does not know the question, and whether a transactional id that may be
// described may also be written with.
func Missing(ctx context.Context, admin *kadm.Client, rights []Right) (Rights, error) {
	have := &granted{admin: admin, operations: make(map[Right][]kmsg.ACLOperation)}
	if err := have.askTopics(ctx, rights); err != nil {
		return nil, err
	}
	var missing Rights
	for _, r := range rights {
		var has bool
		var err error
		switch r.Resource { //nolint:exhaustive // rights are about no other kind
		case kmsg.ACLResourceTypeTopic:
			has = have.has(r)
		case kmsg.ACLResourceTypeGroup:
			has, err = have.hasGroup(ctx, r)
		case kmsg.ACLResourceTypeTransactionalId:
			has, err = have.hasTransaction(ctx, r)
		}
		if err != nil {
			return nil, err
		}
		if !has {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// granted is what brokers have told about the rights of a principal.
type granted struct {
	admin      *kadm.Client
	operations map[Right][]kmsg.ACLOperation // by resource; an empty list: not told
}

func resourceOf(r Right) Right { return Right{Resource: r.Resource, Name: r.Name} }

// has says whether the operations of the resource include that of the right. Brokers list what is implied, too.
func (g *granted) has(r Right) bool {
	operations, known := g.operations[resourceOf(r)]
	return known && (len(operations) == 0 || slices.Contains(operations, r.Operation))
}

// askTopics leaves out those that the principal may not even describe.
func (g *granted) askTopics(ctx context.Context, rights []Right) error {
	var names []string
	for _, r := range rights {
		if r.Resource == kmsg.ACLResourceTypeTopic && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	details, err := g.admin.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
	if err != nil {
		return fmt.Errorf("asking what the user may do with topics: %w", err)
	}
	for _, d := range details {
		if !IsDenied(d.Err) {
			g.operations[Right{Resource: kmsg.ACLResourceTypeTopic, Name: d.Topic}] = d.AuthorizedOperations
		}
	}
	return nil
}

func (g *granted) hasGroup(ctx context.Context, r Right) (bool, error) {
	groups, err := g.admin.DescribeGroups(kadm.WithAuthorizedOps(ctx), r.Name)
	if IsDenied(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking what the user may do with group %s: %w", r.Name, err)
	}
	if group := groups[r.Name]; !IsDenied(group.Err) {
		g.operations[resourceOf(r)] = group.AuthorizedOperations
	}
	return g.has(r), nil
}

// hasTransaction asks for the state of the id, which needs Describe, which comes with Write. To ask for more would fence
// whoever uses the id. An answer that is neither yes nor no is not known to be a no.
func (g *granted) hasTransaction(ctx context.Context, r Right) (bool, error) {
	described, err := g.admin.DescribeTransactions(ctx, r.Name)
	if err == nil {
		err = described[r.Name].Err
	}
	return !IsDenied(err), nil
}
