package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
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

// Seen is what the principal of a client may see of a topic.
type Seen struct {
	Partitions int32
	Operations []kmsg.ACLOperation // allowed, with what they imply; empty: the broker does not tell
	Err        error               // kerr.UnknownTopicOrPartition: it does not exist; one of IsDenied: it may not even be seen
}

// Look asks a broker for topics by their names. Each has an answer of its own, unlike with kadm, which fails for all where
// one may not be seen.
func Look(ctx context.Context, client *kgo.Client, names ...string) (map[string]Seen, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("asking for topics: %w", err)
	}
	seen := make(map[string]Seen, len(names))
	for _, t := range response.Topics {
		if t.Topic != nil {
			seen[*t.Topic] = Seen{int32(len(t.Partitions)), kadm.DecodeACLOperations(t.AuthorizedOperations), kerr.ErrorForCode(t.ErrorCode)}
		}
	}
	return seen, nil
}

// Missing asks the brokers which of the rights the principal of the client does not have. What a broker does not tell is
// not missing: one without an authorizer, one that does not know the question, and whether a transactional id that may be
// described may also be written with.
func Missing(ctx context.Context, client *kgo.Client, rights []Right) (Rights, error) {
	have := &granted{admin: kadm.NewClient(client), operations: make(map[Right][]kmsg.ACLOperation)}
	if err := have.askTopics(ctx, client, rights); err != nil {
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
			has = have.hasTransaction(ctx, r)
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

// Lacking is Missing after a request was denied, which narrows down what the brokers do not tell: the transactional id that
// may be described may not be written with. It is nil where nothing can be found out.
func Lacking(ctx context.Context, client *kgo.Client, rights []Right, denied error) Rights {
	missing, err := Missing(ctx, client, rights)
	if err != nil {
		return nil
	}
	if len(missing) == 0 && errors.Is(denied, kerr.TransactionalIDAuthorizationFailed) {
		missing = slices.DeleteFunc(slices.Clone(rights), func(r Right) bool { return r.Resource != kmsg.ACLResourceTypeTransactionalId })
	}
	return missing
}

// granted is what brokers have told about the rights of a principal.
type granted struct {
	admin      *kadm.Client
	operations map[Right][]kmsg.ACLOperation // by resource; an empty list: not told
}

func resourceOf(r Right) Right { return Right{Resource: r.Resource, Name: r.Name} }

// has says whether the operations of the resource include that of the right. Brokers list what is implied, too. Of a
// resource that may not even be described they tell nothing but that: what brings Describe along is not granted.
func (g *granted) has(r Right) bool {
	operations, known := g.operations[resourceOf(r)]
	if !known {
		return r.Operation != kmsg.ACLOperationDescribe && !slices.Contains(impliedBy[kmsg.ACLOperationDescribe], r.Operation)
	}
	return len(operations) == 0 || slices.Contains(operations, r.Operation)
}

// askTopics leaves out those that the principal may not even describe.
func (g *granted) askTopics(ctx context.Context, client *kgo.Client, rights []Right) error {
	var names []string
	for _, r := range rights {
		if r.Resource == kmsg.ACLResourceTypeTopic && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	found, err := Look(ctx, client, names...)
	if err != nil {
		return err
	}
	for name, topic := range found {
		if !IsDenied(topic.Err) {
			g.operations[Right{Resource: kmsg.ACLResourceTypeTopic, Name: name}] = topic.Operations
		}
	}
	return nil
}

// coordinatorWait is how long a cluster may take to say who coordinates a group or a transactional id: one that is new has
// nobody yet, and then it does not tell.
const coordinatorWait = 3 * time.Second

func (g *granted) hasGroup(ctx context.Context, r Right) (bool, error) {
	asking, cancel := context.WithTimeout(ctx, coordinatorWait)
	defer cancel()
	groups, err := g.admin.DescribeGroups(kadm.WithAuthorizedOps(asking), r.Name)
	if IsDenied(err) {
		return false, nil
	}
	if kerr.IsRetriable(err) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return true, nil
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
func (g *granted) hasTransaction(ctx context.Context, r Right) bool {
	asking, cancel := context.WithTimeout(ctx, coordinatorWait)
	defer cancel()
	described, err := g.admin.DescribeTransactions(asking, r.Name)
	return !IsDenied(err) && !IsDenied(described[r.Name].Err)
}
