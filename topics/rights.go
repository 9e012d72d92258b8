package topics

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Right is one thing that a principal must be allowed to do in Kafka. Operations that it implies are not listed: Describe
// comes with Read and with Write, DescribeConfigs with AlterConfigs. Whoever may write to a topic may do so idempotently.
type Right struct {
	Resource  kmsg.ACLResourceType // topic, group or transactional id
	Name      string
	Prefixed  bool // every resource whose name begins with Name
	Operation kmsg.ACLOperation
}

// The kinds of resource and the operations, as kafka-acls.sh spells them.
var (
	resourceNames = map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: "topic", kmsg.ACLResourceTypeGroup: "group", kmsg.ACLResourceTypeTransactionalId: "transactional-id",
	}
	operationNames = map[kmsg.ACLOperation]string{
		kmsg.ACLOperationRead: "Read", kmsg.ACLOperationWrite: "Write", kmsg.ACLOperationCreate: "Create", kmsg.ACLOperationDescribe: "Describe",
		kmsg.ACLOperationAlterConfigs: "AlterConfigs", kmsg.ACLOperationDescribeConfigs: "DescribeConfigs",
	}
)

// ResourceName is the kind of resource as kafka-acls.sh spells it: topic, group or transactional-id.
func (r Right) ResourceName() string { return resourceNames[r.Resource] }

// OperationName is the operation as kafka-acls.sh spells it: Read, Write, AlterConfigs and the like.
func (r Right) OperationName() string { return operationNames[r.Operation] }

// String says the right as in "Write on topic onhand.stock-deltas".
func (r Right) String() string {
	prefixed := ""
	if r.Prefixed {
		prefixed = "prefix "
	}
	return fmt.Sprintf("%s on %s %s%s", r.OperationName(), r.ResourceName(), prefixed, r.Name)
}

// UserRole is a part that a principal plays. One principal may play several.
type UserRole string

// The user roles.
const (
	UserProcessor  UserRole = "processor"  // onhand run
	UserOperator   UserRole = "operator"   // topics, schemas, location graph, dead letters, audit
	UserStock      UserRole = "stock"      // sources of stock deltas: WMS, ERP, onhand import
	UserOrders     UserRole = "orders"     // sources of reservation events, which read their results: order systems
	UserStorefront UserRole = "storefront" // consumers of availability-updates
	UserReader     UserRole = "reader"     // commands that only look
)

// UserRoles lists every user role.
func UserRoles() []UserRole {
	return []UserRole{UserProcessor, UserOperator, UserStock, UserOrders, UserStorefront, UserReader}
}

// activity is what a command, or a client that is none of ours, does in Kafka: the path of the command without onhand.
type activity struct {
	path   string
	roles  []UserRole // that do it
	rights func(*rightsOf)
}

// storefrontFollows is the activity of a consumer of availability-updates with a consumer group.
const storefrontFollows = "a storefront's consumer"

// activities are all there are. What a role needs is what its activities need.
var activities = []activity{
	{"run", []UserRole{UserProcessor}, func(n *rightsOf) {
		// availability-updates, to see whether a transaction hangs there.
		n.read(n.StockDeltas, n.ReservationEvents, n.LocationGraph, n.ReservationResults, n.DeadLetters, n.AvailabilityUpdates)
		// Records in the wrong partition are sent on, and what expires is released by an event.
		n.write(n.StockDeltas, n.ReservationEvents, n.AvailabilityUpdates, n.ReservationResults, n.DeadLetters)
		n.group(kmsg.ACLOperationRead)
		n.add(Right{kmsg.ACLResourceTypeTransactionalId, n.Namespace + "." + n.InstancePrefix, true, kmsg.ACLOperationWrite})
	}},
	{"topics plan", []UserRole{UserOperator}, plansTopics},
	{"topics verify", []UserRole{UserOperator}, plansTopics},
	{"topics apply", []UserRole{UserOperator}, func(n *rightsOf) {
		n.topics(kmsg.ACLOperationCreate, n.All()...)
		n.topics(kmsg.ACLOperationDescribe, n.All()...)
		n.topics(kmsg.ACLOperationAlterConfigs, n.All()...)
	}},
	{"graph plan", []UserRole{UserOperator}, seesGraph},
	{"graph show", []UserRole{UserOperator, UserReader}, seesGraph},
	{"graph publish", []UserRole{UserOperator}, func(n *rightsOf) {
		seesGraph(n)
		seesTasks(n)
		n.write(n.LocationGraph)
		n.transaction("graph-publisher")
	}},
	{"graph status", []UserRole{UserOperator, UserReader}, func(n *rightsOf) { seesGraph(n); seesTasks(n) }},
	{"status", []UserRole{UserOperator, UserReader}, seesTasks},
	{"dlq ls", []UserRole{UserOperator, UserReader}, seesDeadLetters},
	{"dlq show", []UserRole{UserOperator, UserReader}, seesDeadLetters},
	{"dlq replay", []UserRole{UserOperator}, func(n *rightsOf) {
		seesDeadLetters(n)
		n.write(n.StockDeltas, n.ReservationEvents, n.DeadLetters)
		n.transaction("dlq-replay")
	}},
	{"audit", []UserRole{UserOperator, UserReader}, func(n *rightsOf) { seesTasks(n); n.read(n.AvailabilityUpdates) }},
	{"audit --repair", []UserRole{UserOperator}, func(n *rightsOf) { seesTasks(n); n.read(n.AvailabilityUpdates); n.write(n.StockDeltas) }},
	{"why", []UserRole{UserOperator, UserReader}, func(n *rightsOf) {
		seesTasks(n)
		n.read(n.StockDeltas, n.ReservationEvents, n.ReservationResults, n.DeadLetters, n.AvailabilityUpdates)
	}},
	{"snapshot", []UserRole{UserOperator}, func(n *rightsOf) {
		seesGraph(n)
		seesTasks(n)
		n.read(n.StockDeltas, n.ReservationEvents)
	}},
	// Of no role: it is rare, and puts offsets and a graph where only processors and publishers do.
	{"restore", nil, func(n *rightsOf) {
		seesGraph(n)
		seesTasks(n)
		n.describe(n.ReservationResults, n.DeadLetters)
		n.read(n.StockDeltas, n.ReservationEvents)
		n.group(kmsg.ACLOperationRead)
		n.write(n.LocationGraph)
		n.transaction("graph-publisher")
	}},
	{"watch", []UserRole{UserReader, UserStorefront}, func(n *rightsOf) { n.read(n.AvailabilityUpdates) }},
	{"import", []UserRole{UserStock}, func(n *rightsOf) { n.write(n.StockDeltas); n.read(n.LocationGraph) }},
	{"reserve", []UserRole{UserOrders}, requests},
	{"transfer", []UserRole{UserOrders}, requests},
	{"fulfill", []UserRole{UserOrders}, requests},
	{"release", []UserRole{UserOrders}, requests},
	{storefrontFollows, []UserRole{UserStorefront}, func(n *rightsOf) {
		n.read(n.AvailabilityUpdates)
		n.add(Right{kmsg.ACLResourceTypeGroup, n.StorefrontGroup, true, kmsg.ACLOperationRead})
	}},
}

func plansTopics(n *rightsOf) {
	n.topics(kmsg.ACLOperationDescribeConfigs, n.All()...)
	n.describe(n.All()...)
}

// seesGraph: the partition count is that of an input.
func seesGraph(n *rightsOf) { n.read(n.LocationGraph); n.describe(n.StockDeltas) }

func seesTasks(n *rightsOf) {
	n.describe(n.StockDeltas, n.ReservationEvents)
	n.group(kmsg.ACLOperationDescribe)
}

func seesDeadLetters(n *rightsOf) { n.read(n.DeadLetters) }

func requests(n *rightsOf) { n.write(n.ReservationEvents); n.read(n.ReservationResults) }

// RightsOptions are names that the contract leaves open.
type RightsOptions struct {
	// InstancePrefix is what the instance names of all processors begin with; the transactional ids that they may use do
	// too. Empty: any instance, and with it every transactional id that begins with the namespace and a dot.
	InstancePrefix string
	// StorefrontGroup is what the consumer groups of storefronts begin with. Empty: the namespace and ".storefront".
	StorefrontGroup string
}

// rightsOf gathers rights in a namespace.
type rightsOf struct {
	Names
	RightsOptions
	list []Right
}

func (n *rightsOf) add(rights ...Right) {
	for _, r := range rights {
		if !slices.Contains(n.list, r) {
			n.list = append(n.list, r)
		}
	}
}

func (n *rightsOf) topics(operation kmsg.ACLOperation, names ...string) {
	for _, name := range names {
		n.add(Right{Resource: kmsg.ACLResourceTypeTopic, Name: name, Operation: operation})
	}
}

func (n *rightsOf) read(names ...string)     { n.topics(kmsg.ACLOperationRead, names...) }
func (n *rightsOf) write(names ...string)    { n.topics(kmsg.ACLOperationWrite, names...) }
func (n *rightsOf) describe(names ...string) { n.topics(kmsg.ACLOperationDescribe, names...) }

func (n *rightsOf) group(operation kmsg.ACLOperation) {
	n.add(Right{Resource: kmsg.ACLResourceTypeGroup, Name: n.ConsumerGroup(), Operation: operation})
}

func (n *rightsOf) transaction(id string) {
	n.add(Right{Resource: kmsg.ACLResourceTypeTransactionalId, Name: n.Namespace + "." + id, Operation: kmsg.ACLOperationWrite})
}

// impliedBy lists the operations that bring another one along.
var impliedBy = map[kmsg.ACLOperation][]kmsg.ACLOperation{
	kmsg.ACLOperationDescribe:        {kmsg.ACLOperationRead, kmsg.ACLOperationWrite},
	kmsg.ACLOperationDescribeConfigs: {kmsg.ACLOperationAlterConfigs},
}

// sorted drops what is implied, and orders by kind of resource, name and operation.
func (n *rightsOf) sorted() []Right {
	rights := slices.DeleteFunc(slices.Clone(n.list), func(r Right) bool {
		for _, operation := range impliedBy[r.Operation] {
			if slices.Contains(n.list, Right{r.Resource, r.Name, r.Prefixed, operation}) {
				return true
			}
		}
		return false
	})
	slices.SortFunc(rights, func(a, b Right) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Operation, b.Operation))
	})
	return rights
}

// RightsOfRole returns the rights that suffice for a role, no more, and the paths of the commands that it then may run.
func (n Names) RightsOfRole(role UserRole, o RightsOptions) (rights []Right, commands []string) {
	of := n.rights(o)
	for _, a := range activities {
		if slices.Contains(a.roles, role) {
			a.rights(of)
			if a.path != storefrontFollows {
				commands = append(commands, a.path)
			}
		}
	}
	return of.sorted(), commands
}

// RightsOfCommand returns the rights that a command needs, named by its path, as "dlq replay"; nothing for one that asks
// nothing of Kafka.
func (n Names) RightsOfCommand(path string, o RightsOptions) []Right {
	of := n.rights(o)
	for _, a := range activities {
		if a.path == path {
			a.rights(of)
		}
	}
	return of.sorted()
}

func (n Names) rights(o RightsOptions) *rightsOf {
	if o.StorefrontGroup == "" {
		o.StorefrontGroup = n.Namespace + ".storefront"
	}
	return &rightsOf{Names: n, RightsOptions: o}
}

// Rights is a list of them as a text: "Read and Write on topic a, Read on group b".
type Rights []Right

// String names every right, those of one resource together.
func (rights Rights) String() string {
	var texts []string
	for i := 0; i < len(rights); {
		r, operations := rights[i], []string(nil)
		for ; i < len(rights) && rights[i].Resource == r.Resource && rights[i].Name == r.Name && rights[i].Prefixed == r.Prefixed; i++ {
			operations = append(operations, rights[i].OperationName())
		}
		texts = append(texts, strings.Replace(r.String(), r.OperationName(), strings.Join(operations, " and "), 1))
	}
	return strings.Join(texts, ", ")
}
