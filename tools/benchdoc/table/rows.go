package table

import (
	"fmt"

	"qmq/loadgen"
)

// rows is the table. Bodies have 200 bytes unless the name says otherwise.
func rows() []row {
	var all []row
	for _, group := range [][]row{publishing(), encoded(), overHTTP(), onDisk(), consuming(), sizes(), latencies(), idle()} {
		all = append(all, group...)
	}
	return all
}

// mpub is a load of batches.
func mpub(messages, channels int) loadgen.Load {
	return loadgen.Load{Batch: 200, Window: 10, Channels: channels, Measure: loadgen.Amount{Messages: messages}}
}

// pub is a load of single messages of several publishers.
func pub(messages, publishers, window, channels int) loadgen.Load {
	return loadgen.Load{Publishers: publishers, Window: window, Channels: channels, Measure: loadgen.Amount{Messages: messages}}
}

func publishing() []row {
	sixteen := pub(800_000, 16, 100, 1)
	sixteen.Consumers = 16
	two := pub(800_000, 2, 500, 1)
	two.Consumers = 2
	inTurn, ahead := pub(100_000, 1, 1, 1), pub(100_000, 1, 100, 1)
	inTurn.Ready, ahead.Ready = 1, 1
	return []row{
		flow("MPUB 200, no channel", mpub(4_000_000, 0)),
		flow("MPUB 200, no channel, nsqd with a memory queue of 2,000,000", mpub(1_500_000, 0)).nsqdWith("--mem-queue-size=2000000"),
		flow("MPUB 200, 1 channel", mpub(1_500_000, 1)),
		flow("MPUB 200, 4 channels", mpub(800_000, 4)),
		flow("MPUB 200, 16 channels", mpub(300_000, 16)),
		flow("PUB pipelined, 1 connection, no channel", pub(800_000, 1, 500, 0)),
		flow("PUB pipelined, 2 connections, no channel", pub(800_000, 2, 500, 0)),
		flow("PUB pipelined, 16 connections, no channel", pub(800_000, 16, 500, 0)),
		flow("PUB pipelined, 1 channel", pub(800_000, 1, 500, 1)),
		flow("PUB pipelined, 2 publishers, 2 consumers", two),
		flow("PUB pipelined, 16 publishers, 16 consumers", sixteen),
		flow("PUB pipelined, 1 consumer with RDY 1", ahead),
		flow("PUB one at a time, 1 consumer with RDY 1", inTurn),
		flow("PUB one at a time, 50 connections", pub(300_000, 50, 1, 0)),
		flow("PUB one at a time, 1 connection", pub(100_000, 1, 1, 0)),
	}
}

// encoded are the batches of one channel in each encoding.
func encoded() []row {
	var all []row
	for _, with := range []struct {
		name     string
		encoding loadgen.Encoding
	}{
		{"TLS", loadgen.Encoding{TLS: true}},
		{"snappy", loadgen.Encoding{Snappy: true}},
		{"deflate", loadgen.Encoding{Deflate: 6}},
		{"TLS and snappy", loadgen.Encoding{TLS: true, Snappy: true}},
		{"TLS and deflate", loadgen.Encoding{TLS: true, Deflate: 6}},
	} {
		l := mpub(800_000, 1)
		l.Encoding = with.encoding
		r := flow("MPUB 200, 1 channel, "+with.name, l)
		r.tls = with.encoding.TLS
		all = append(all, r)
	}
	return all
}

func overHTTP() []row {
	var all []row
	for _, connections := range []int{1, 16, 64} {
		l := pub(60_000, connections, 1, 0)
		l.HTTP = true
		all = append(all, flow(fmt.Sprintf("HTTP /pub keep-alive, connections: %d", connections), l))
	}
	l := mpub(800_000, 1)
	l.HTTP, l.Window = true, 1
	return append(all, flow("HTTP /mpub 200 binary, 1 channel", l))
}

func onDisk() []row {
	const (
		noMemory = "--mem-queue-size=0"
		synced   = "--sync-every=1"
	)
	return []row{
		flow("MPUB 200, 1 channel, no memory queue", mpub(500_000, 1)).with(noMemory),
		flow("synced: PUB one at a time, 1 connection", pub(10_000, 1, 1, 0)).with(synced).nsqdWith(noMemory),
		flow("synced: PUB one at a time, 100 connections", pub(40_000, 100, 1, 0)).with(synced).nsqdWith(noMemory),
		flow("synced: MPUB 200", mpub(400_000, 0)).with(synced).nsqdWith(noMemory),
	}
}

func consuming() []row {
	var all []row
	for _, consumers := range []int{1, 2, 8} {
		l := mpub(2_000_000, 1)
		l.Backlog, l.Consumers = true, consumers
		all = append(all, flow(fmt.Sprintf("backlog of 2,000,000, consumers: %d", consumers), l))
	}
	return all
}

func sizes() []row {
	var all []row
	for _, size := range []struct {
		kib, batch, messages int
	}{{1, 200, 500_000}, {16, 60, 60_000}, {256, 4, 4_000}} {
		l := mpub(size.messages, 1)
		l.Body, l.Batch, l.Window = size.kib<<10, size.batch, 4
		all = append(all, flow(fmt.Sprintf("bodies of %d KiB, MPUB %d, 1 channel", size.kib, size.batch), l))
	}
	return all
}

func latencies() []row {
	var all []row
	for _, perSecond := range []float64{100, 5000, 20000} {
		one := loadgen.Load{Rate: perSecond, Window: 1000, Channels: 1}
		many := one
		many.Consumers, many.Ready = 8, 1
		all = append(all,
			timed(fmt.Sprintf("latency at %.0f msg/s, RDY 2,500", perSecond), one),
			timed(fmt.Sprintf("latency at %.0f msg/s, 8 consumers with RDY 1", perSecond), many))
	}
	return all
}

func idle() []row {
	return []row{
		{name: "1,000 topics with a channel, created over HTTP", measure: idleTopics(1000, 1)},
		{name: "10,000 idle topics with a channel", measure: idleTopics(10_000, 1)},
		{name: "9,900 idle consumers", measure: idleConsumers(99, 100)},
		{name: "1,000,000 deferred messages (DPUB)", measure: deferred(1_000_000)},
		{name: "/stats of 1,000 topics with 3 channels", measure: stats(1000, 3)},
		{name: "start with 1,000 topics with 3 channels and 1,000,000 messages", measure: startUp(1000, 3, 1000)},
	}
}
