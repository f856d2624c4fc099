package set

import "qmq/loadgen"

// mpub is the load of batches, which waits for few answers.
var mpub = loadgen.Load{Batch: 200, Window: 16}

// consumed is mpub with a channel.
var consumed = loadgen.Load{Batch: 200, Window: 16, Channels: 1}

const (
	kernel = "--replica-sync=kernel"
	synced = "--sync-every=1"
)

var (
	much   = state{topics: 1000, waiting: 10_000_000, deferred: 1_000_000}
	within = []Bar{{Figure: gap, Value: 600}, {Figure: maxGap, Value: 1000}}
)

// rows are all that is measured.
func rows() []row {
	return []row{
		flow("MPUB 200, window 16", mpub, Bar{Figure: allCPU, Ratio: 6}, Bar{Figure: leaderCPU, Ratio: 3}).with(kernel),
		flow("MPUB 200, window 16, on the disk", mpub).aloneWith(synced),
		flow("MPUB 200, window 16, 1 channel", consumed, Bar{Figure: allCPU, Ratio: 3.2}).with(kernel),
		flow("MPUB 200, window 16, 1 channel, on the disk", consumed, Bar{Figure: allCPU, Ratio: 4.5}).aloneWith(synced),
		flow("PUB one at a time, on the disk", loadgen.Load{}, Bar{Figure: p50, Ratio: 3}).aloneWith(synced),
		gaps("publish gap, leader killed", disturbance{state: much, fault: killed, watch: publishing}, within...),
		gaps("publish gap, leader stopped", disturbance{state: much, fault: stopped, watch: publishing}, within...),
		gaps("publish gap, leadership moved", disturbance{fault: moved, watch: publishing}, Bar{Figure: gap, Value: 50}),
		gaps("go-nsq, max_in_flight 3, leader killed", disturbance{fault: killed, watch: consuming(3)}, Bar{Figure: maxGap, Value: 1000}),
		gaps("go-nsq, max_in_flight 3, leader stopped", disturbance{fault: stopped, watch: consuming(3)}, Bar{Figure: maxGap, Value: 1000}),
		gaps("go-nsq, max_in_flight 1, leader killed", disturbance{fault: killed, watch: consuming(1), timeout: 6}),
		gaps("go-nsq, max_in_flight 1, leader stopped", disturbance{fault: stopped, watch: consuming(1), timeout: 10}),
		idle(),
		refill("refill of an empty member", Bar{Figure: refillRate, Value: 180}, Bar{Figure: p99Times, Value: 2}),
		refill("refill of an empty member, as fast as it goes", Bar{Figure: refillRate, Value: 200}).with("--cluster-snapshot-rate=0"),
		deferred(),
	}
}
