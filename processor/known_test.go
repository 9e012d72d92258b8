package processor_test

// knownSchedules are those by which a checker of a model of the protocol told good rules from bad, in the form of directed.
var knownSchedules = map[string]string{
	"an old owner is paused, the partition moves, Redis goes back to it": `
		set rising 1
		0s start a
		6s start b
		14s adjust d1 SKU-0 L01 1
		15s mark old
		20s arm a {Produce>|Produce<|TxnOffsetCommit>|TxnOffsetCommit<|EndTxn>|EndTxn<|commit>|commit<} 1 kick {1s|2s|3s|7s}
		20s reserve r1 SKU-0 L01 1 whole
		20s adjust d2 SKU-0 L01 1
		20s reserve r2 SKU-0 L01 1 whole
		22s reserve r3 SKU-0 L01 1 whole
		? 22.5s back old
		23s reserve r4 SKU-0 L01 1
		? 24s back old
		? 26s rollback 1`,
	"an old owner is frozen, and wakes first when Redis is back where it left it": `
		set rising 1
		0s start a
		6s start b
		14s adjust d1 SKU-0 L01 1
		15s mark old
		20s arm a {Produce>|TxnOffsetCommit>|TxnOffsetCommit<|EndTxn>|EndTxn<|commit>|commit<} 1 freeze {9s|12s}
		20s adjust d2 SKU-0 L01 1
		20s reserve r1 SKU-0 L01 1 whole
		28s reserve r2 SKU-0 {L01|EAST} 1
		? 28.9s back old
		? 31.9s back old
		32.5s reserve r3 SKU-0 L01 1 whole
		? 34s rollback 1`,
	"the same inside a sweep or an expiry, with a graph during the rebalance": `
		set cache {1|1000000}
		set drop 1
		0s start a
		6s start b
		14s adjust d1 SKU-0 L01 3
		14s reserve r1 SKU-0 L01 1 expires 7s
		15s mark old
		14s futures f1 SKU-0 L02 2@21s
		? 19s arm a {step} 2 kick {1s|3s|7s}
		20s arm a {Produce>|TxnOffsetCommit>|EndTxn>|EndTxn<|commit>|commit<} 1 {kick 1s|kick 3s|kick 7s|freeze 9s|freeze 12s}
		20.9s graph {other|more}
		22s graph {first|other}
		? 23s back old
		? 24s back old
		30s adjust d3 SKU-0 L01 1`,
	"killed between the two commits of a batch of one kind": `
		set partitions 2
		set cache {1|1000000}
		set drop 1
		0s start a
		4s adjust d1 SKU-0 L01 1
		4s {futures f1 SKU-0 L01 2@7s|reserve r0 SKU-0 L01 1 expires 3s|safety s1 SKU-0 L01 0}
		6.5s arm a {TxnOffsetCommit<|EndTxn>|EndTxn<|commit>|commit<} 1 cut
		7s {poison bytes p1 SKU-0|poison nowhere p1 SKU-0|poison event p1 SKU-0|misrouted m1 SKU-0 L01 1|graph other|reserve r1 SKU-1 L00 9 whole|count c1 SKU-0 L01 9 ago 5s|republish i1 SKU-0 above 7|drop i1 SKU-0 L01 9s|again 0}
		10s start a
		? 14s state {1|2|3}
		? 16s adjust d2 SKU-1 L01 1`,
	"back over a poison and a misrouted record, with the graph that knows the location": `
		set partitions 2
		set batch {1|2|100}
		0s start a
		4s adjust d1 SKU-0 L04 1
		4s misrouted m1 SKU-0 L04 1
		4s misrouted m2 SKU-0 L01 1
		4s poison bytes p1 SKU-0
		6s adjust d2 SKU-0 L01 1
		? 8s cut a
		8s state {1|2|3}
		8s graph more
		9s start a
		? 12s arm a commit> 1 cut
		? 12s state {1|2}
		16s start a`,
	"back with one busy and one idle input, killed in the replay and at its end": `
		set batch {1|2}
		set cache {1|1000000}
		0s start a
		4s adjust d1 SKU-0 L01 1
		5s adjust d2 SKU-0 L01 1
		6s adjust d3 SKU-1 L02 1
		? 6s reserve r1 SKU-0 L01 1
		9s stop a
		16s state {1|2|3}
		? 16s adjust d4 SKU-0 L01 1
		16s arm a commit{>|<} {2|3|4} cut
		16s start a
		? 18s graph other
		19s arm a {Produce>|EndTxn>|EndTxn<|commit<} 1 cut
		19s start a
		22s start a`,
	"a graph is swept and published, Redis never hears of it, the next is like the one before": `
		set cache {1|1000000}
		0s start a
		4s adjust d1 SKU-0 L00 1
		4s adjust d2 SKU-1 L02 1
		8s arm a commit> {1|2|3} cut
		8s graph other
		? 12s start a
		14s graph first
		16s start a
		? 20s state {1|2|3|4}`,
	"a location leaves and returns, and Redis goes back behind both between the two": `
		set cache {1|1000000}
		set batch {1|2000}
		0s start a
		4s adjust d1 SKU-0 L01 1
		4s adjust d2 SKU-1 L00 1
		9s graph {more|other}
		9.1s adjust d3 SKU-0 L04 3
		9.1s adjust d4 SKU-1 L04 3
		? 9.1s adjust d5 SKU-0 L01 1
		9.15s graph first
		9.153s rollback {3|4|5|6|7}
		{9.16s|9.2s|9.24s|9.3s} graph more
		? 9.5s adjust d6 SKU-0 L01 1`,
	"back without traffic, with an expiry due": `
		0s start a
		4s adjust d1 SKU-0 L01 1
		5s mark old
		6s reserve r1 SKU-0 {L01|EAST} 1 expires {3s|7s|20s}
		{7s|9s|12s} back old
		? 14s back old`,
	"nothing in memory, Redis goes back, a competing RESERVE comes first": `
		set cache 1
		set batch 1
		set rising 1
		0s start a
		4s adjust d1 SKU-0 L01 1
		5s mark old
		6s reserve r1 SKU-0 L01 1 whole
		7s adjust d2 SKU-1 L01 1
		8s adjust d3 SKU-2 L01 1
		{9.1s|9.5s|9.9s} back old
		10s reserve r2 SKU-0 L01 1 whole
		? 10.2s back old
		10.3s reserve r3 SKU-0 {L01|EAST|ALL} 1`,
	"an old Redis or an empty one at any step": `
		set batch {1|100}
		set cache {1|1000000}
		0s mark empty
		0s start a
		4s adjust d1 SKU-0 L01 2
		5s mark old
		6s adjust d2 SKU-0 L01 1
		7s reserve r1 SKU-0 {L01|EAST} 1
		8s arm a {step} {1|2|3} back {old|empty}
		8s reserve r2 SKU-0 L01 1
		8s adjust d3 SKU-1 L01 1
		? 10s arm a {step} {1|2|3} back {old|empty}
		11s reserve r3 SKU-0 {L01|WEST} 1`,
	"back between a claim and its first commit, then another instance claims": `
		0s start a
		4s adjust d1 SKU-0 L01 2
		5s mark old
		6s reserve r1 SKU-0 L01 1
		9s stop a
		16s arm b commit< 1 back old
		16s arm b {OffsetFetch>|ListOffsets<|Produce>|commit>} {1|2} {cut|freeze 9s|kick 2s}
		16s start b
		18s reserve r2 SKU-0 L01 1
		20s start c
		26s reserve r3 SKU-0 L01 1`,
	"read an hour after its expiry, and one request id with two contents, replayed": `
		0s start a
		4s adjust d1 SKU-0 L01 3
		6s skew -1h
		6s reserve r1 SKU-0 L01 1 expires 3s
		6s skew 0s
		7s reserve r2 SKU-0 L01 1
		7s reserve r2 SKU-0 L02 2
		? 8s again 2
		10s state {1|2|3}
		12s reserve r2 SKU-0 L01 {1|2}
		? 14s state {1|2|3}`,
	"a transaction has ended, and the broker says that it does not know": `
		set batch {1|2000}
		0s start a
		4s adjust d1 SKU-0 L01 3
		5s arm a EndTxn< {1|2} unknown
		5s reserve r1 SKU-0 L01 1
		5.2s adjust d2 SKU-0 L01 1
		5.2s poison bytes p1 SKU-0
		7s reserve r2 SKU-0 L01 1`,
	"counts, adjustments and fulfilments of one another's past": `
		set batch {1|2000}
		0s start a
		4s count c1 SKU-0 L01 5
		5s reserve r1 SKU-0 L01 3
		6s fulfill f1 res-r1 SKU-0 L01 1 ago {0s|1s|5s}
		7s adjust d1 SKU-0 L01 2 ago {0s|500ms|5s}
		8s count c2 SKU-0 L01 4 ago {0s|1500ms|3s|4500ms}
		? 9s {state 1|state 2|rollback 1|empty}
		? 10s delete x1 SKU-0 L01 ago {3s|7s}
		12s fulfill f2 res-r1 SKU-0 L01 1 ago {0s|5s|9s}`,
	"everything is replayed: late and stale counts, deletions, futures, partial grants, transfers to and fro": `
		set batch {1|3|2000}
		set cache {1|1000000}
		set drop {0|1}
		0s start a
		4s count c1 SKU-0 L01 3
		4s safety s0 SKU-0 L01 1
		4s safety s0 SKU-0 L00 2
		4s futures f1 SKU-0 L00 2@12s 3@2000h
		5s reserve r1 SKU-0 {EAST|ALL} {2|9}
		5s reserve r2 SKU-0 L01 1 now
		6s transfer t1 res-r1 SKU-0 {EAST|ALL} L01 1
		6s {transfer t2 res-r2 SKU-0 L01 EAST 1|transfer t2 res-r2 SKU-0 L01 L00 1|transfer t2 res-r1 SKU-0 EAST ALL 1|fulfill t2 res-r2 SKU-0 L01 1 ago 5s}
		7s adjust d1 SKU-0 L01 2 ago {500ms|4s}
		7.2s count c2 SKU-0 L01 4 ago {1s|5s}
		? 7.3s delete x1 SKU-0 L01 ago {400ms|6s}
		? 7.4s {clear x2 SKU-0 L00 futures|clear x2 SKU-0 L00 safety|delete x2 SKU-0 L00}
		8s other {2|3|4|5|6}
		? 8s again {2|3|4|5|6}
		? 8s drop i1 SKU-0 L00 {9s|20s}
		9s safety s1 SKU-0 L01 1 ago {0s|5s}
		9s reserve r3 SKU-0 L01 2 expires 900ms
		{9.8s|9.9s|9.95s|10s} {fulfill f3 res-r3 SKU-0 L01 1|release f3 res-r3 SKU-0 L01 1|transfer f3 res-r3 SKU-0 L01 ALL 1}
		? 10s arm a {commit>|EndTxn<|Produce<} {1|2} cut
		11s {state 1|state 2|rollback 1|rollback 3|empty}
		? 11.5s start a
		? 12s arm a commit> {1|2|3} {cut|lose|back old}
		? 14s start a
		15s count c3 SKU-0 L00 1 ago {0s|10s}`,
	"the group's offsets are deleted, or those of one input": `
		0s start a
		4s adjust d1 SKU-0 L01 3
		? 4s reserve r1 SKU-0 L01 1
		8s stop a
		16s forget-offsets {|deltas|events}
		18s adjust d2 SKU-0 L01 1
		18s reserve r2 SKU-0 L01 1
		20s start {a|b}
		? 24s rollback 1`,
}
