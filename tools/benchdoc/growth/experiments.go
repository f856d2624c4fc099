package growth

import "qmq/loadgen"

// What costs.
const (
	message  = "message"
	delivery = "delivery"
)

// experiments are all of them, in the order of the report.
func experiments() []experiment {
	return []experiment{sizes(), channels(), publishers(), consumers(), idleTopics(), topicsInTurn(), backlog(), inFlight(), deferred()}
}

// mpub is the load that is fixed where something else grows.
func mpub() loadgen.Load {
	return loadgen.Load{Batch: 200, Window: 10, Channels: 1}
}

const fixedLoad = "MPUB of 200 messages of 200 B, 1 channel with 1 consumer"

func sizes() experiment {
	const kib = 1 << 10
	return flow(Series{
		Name: "message size", Quantity: "bytes", Bytes: true, Per: message,
		Fixed: "MPUB of 256 KiB, but of no more than 1,000 messages, and of 4 where they are that long, 1 of 1 MiB; 1 channel with 1 consumer",
	}, []int{loadgen.MinBody, 200, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, 1024 * kib}, sizeLoad)
}

// sizeLoad is of messages of x bytes.
func sizeLoad(x int) loadgen.Load {
	const (
		batch   = 256 << 10 // bytes, and
		longest = 1 << 20   // when few messages are longer
	)
	l := mpub()
	l.Body, l.Window = x, 4
	l.Batch = min(max(batch/x, min(4, longest/x)), 1000)
	return l
}

func channels() experiment {
	return flow(Series{
		Name: "channels", Quantity: "channels", Per: delivery,
		Fixed: "MPUB of 200 messages of 200 B; each channel has 1 consumer. Without a channel the cost is that of publishing",
	}, []int{0, 1, 2, 4, 8, 16, 32, 64}, func(x int) loadgen.Load {
		l := mpub()
		l.Channels = x
		return l
	})
}

func connections() []int { return []int{1, 4, 16, 64, 256, 1000} }

func publishers() experiment {
	return flow(Series{
		Name: "publishers", Quantity: "connections that publish", Per: message,
		Fixed: "PUB of 200 B, 100 unanswered on each connection; no channel",
	}, connections(), func(x int) loadgen.Load {
		return loadgen.Load{Publishers: x, Window: 100}
	})
}

func consumers() experiment {
	return flow(Series{
		Name: "consumers", Quantity: "connections that consume one channel", Per: message,
		Fixed: "MPUB of 200 messages of 200 B by 1 publisher; RDY 2,500",
	}, connections(), func(x int) loadgen.Load {
		l := mpub()
		l.Consumers = x
		return l
	})
}

func topicsInTurn() experiment {
	return flow(Series{
		Name: "topics in turn", Quantity: "topics that get a batch each in turn", Per: message,
		Fixed: "MPUB of 200 messages of 200 B by 1 publisher; no channel",
	}, []int{1, 10, 100, 1000}, func(x int) loadgen.Load {
		return loadgen.Load{Topics: x, Batch: 200, Window: 10}
	})
}
