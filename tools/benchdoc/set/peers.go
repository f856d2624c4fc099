package set

import (
	"context"
	"errors"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// Figures of rows that compare with JetStream.
const (
	publishRate      = "publish msg/s"
	publishCPU       = "publish CPU of all µs/msg"
	publishGenerator = "publish CPU of the generator µs/msg"
	consumeRate      = "consume msg/s"
	consumeCPU       = "consume CPU of all µs/msg"
	consumeGenerator = "consume CPU of the generator µs/msg"
)

// What is published, and how much of it may be unanswered: as many messages on both sides.
const (
	peerMessages = 1_000_000
	peerWarmup   = 50_000
	peerBatch    = 200
	peerWindow   = 16
	peerPending  = peerBatch * peerWindow
	peerBody     = 200
	peerPulled   = 5000 // messages that a pull asks for at most
)

const jetStreamSynced = "sync_interval: always"

// peerRows are those in which a set is compared with a stream of three replicas on disk,
// to which messages go in each way that it has for many.
func peerRows() (all []row) {
	for _, how := range []streamPublishing{oneByOne, atomicBatches, fastBatches} {
		all = append(all,
			peer("1 M messages published, then consumed"+how.name, how,
				Bar{Figure: publishRate, Ratio: 4}, Bar{Figure: publishCPU, Ratio: 0.25}, Bar{Figure: consumeRate, Ratio: 4}).with(kernel),
			peer("1 M messages published, then consumed, on the disk"+how.name, how,
				Bar{Figure: publishRate, Ratio: 3}, Bar{Figure: publishCPU, Ratio: 0.25}).aloneWith(jetStreamSynced))
	}
	return all
}

// peer is a row in which messages are published and then consumed, of a set and of JetStream.
func peer(name string, how streamPublishing, bars ...Bar) row {
	return row{name: name, onSet: backlogOfSet, stream: how.backlog, bars: bars}
}

// backlogOfSet publishes to the leader of a topic that has a channel, and then consumes.
func backlogOfSet(ctx context.Context, set *testbed.Set, s scale) (values, error) {
	const topic = "peer"
	_, target, err := prepare(ctx, set, topic, "")
	if err != nil {
		return nil, err
	}
	b, err := loadgen.OpenBacklog(ctx, target, loadgen.Load{Topic: topic, Channels: 1, Body: peerBody, Batch: peerBatch, Window: peerWindow})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if _, err := b.Publish(ctx, s.count(peerWarmup)); err != nil {
		return nil, err
	}
	published, err := b.Publish(ctx, s.count(peerMessages))
	if err != nil {
		return nil, err
	}
	consumed, err := b.Consume(ctx, 0)
	if err != nil {
		return nil, err
	}
	if published.TogetherCPU == nil || consumed.TogetherCPU == nil {
		return nil, errors.New("the CPU time of the members is not known")
	}
	return values{
		publishRate: {published.PublishRate}, publishCPU: {*published.TogetherCPU}, publishGenerator: {published.GeneratorCPU},
		consumeRate: {consumed.Rate}, consumeCPU: {*consumed.TogetherCPU}, consumeGenerator: {consumed.GeneratorCPU},
	}, nil
}
