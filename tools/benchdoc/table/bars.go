package table

// Bar is what is asked of qd in one figure of a row.
type Bar struct {
	Figure string  `json:"figure"`
	Ratio  float64 `json:"ratio,omitempty"` // of qd to nsqd; 0: not asked
	Value  float64 `json:"value,omitempty"` // of qd; 0: not asked
}

// bars are what is asked of qd, by the name of the row. A rate must be at least
// so much, anything else at most.
var bars = map[string][]Bar{
	"MPUB 200, no channel": {{Figure: rate, Ratio: 6}, {Figure: serverCPU, Ratio: 0.15}},
	"MPUB 200, no channel, nsqd with a memory queue of 2,000,000": {{Figure: rate, Ratio: 1.5}, {Figure: serverCPU, Ratio: 0.6}},
	"MPUB 200, 1 channel":                        {{Figure: rate, Ratio: 3}, {Figure: serverCPU, Ratio: 0.25, Value: 0.8}},
	"MPUB 200, 4 channels":                       {{Figure: rate, Ratio: 5}, {Figure: serverCPU, Ratio: 0.16}},
	"MPUB 200, 16 channels":                      {{Figure: rate, Ratio: 5}, {Figure: serverCPU, Ratio: 0.16}},
	"PUB pipelined, 1 connection, no channel":    {{Figure: rate, Ratio: 8}, {Figure: serverCPU, Ratio: 0.12}},
	"PUB pipelined, 2 connections, no channel":   {{Figure: rate, Ratio: 8}, {Figure: serverCPU, Ratio: 0.12}},
	"PUB pipelined, 1 channel":                   {{Figure: rate, Ratio: 5}, {Figure: serverCPU, Ratio: 0.2}},
	"PUB pipelined, 16 publishers, 16 consumers": {{Figure: rate, Ratio: 4}, {Figure: serverCPU, Ratio: 0.25}},
	"PUB pipelined, 1 consumer with RDY 1":       {{Figure: rate, Ratio: 1.1}, {Figure: serverCPU, Ratio: 1}},
	"PUB one at a time, 1 consumer with RDY 1":   {{Figure: rate, Ratio: 1.1}, {Figure: serverCPU, Ratio: 1}},
	"PUB one at a time, 50 connections":          {{Figure: rate, Ratio: 1.05}, {Figure: serverCPU, Ratio: 0.9}},
	"PUB one at a time, 1 connection":            {{Figure: rate, Ratio: 1.5}, {Figure: serverCPU, Ratio: 0.7}},

	"MPUB 200, 1 channel, TLS":             {{Figure: rate, Ratio: 1.3}},
	"MPUB 200, 1 channel, snappy":          {{Figure: rate, Ratio: 1.3}},
	"MPUB 200, 1 channel, deflate":         {{Figure: rate, Ratio: 1.3}},
	"MPUB 200, 1 channel, TLS and snappy":  {{Figure: rate, Ratio: 1.3}},
	"MPUB 200, 1 channel, TLS and deflate": {{Figure: rate, Ratio: 1.3}},

	"HTTP /pub keep-alive, connections: 1":  {{Figure: rate, Ratio: 0.95}},
	"HTTP /pub keep-alive, connections: 16": {{Figure: rate, Ratio: 1.05}},
	"HTTP /pub keep-alive, connections: 64": {{Figure: rate, Ratio: 1.1}},
	"HTTP /mpub 200 binary, 1 channel":      {{Figure: rate, Ratio: 2}},

	"MPUB 200, 1 channel, no memory queue":       {{Figure: rate, Ratio: 10}, {Figure: serverCPU, Ratio: 0.1}},
	"synced: PUB one at a time, 1 connection":    {{Figure: rate, Ratio: 2}},
	"synced: PUB one at a time, 100 connections": {{Figure: rate, Ratio: 20}},
	"synced: MPUB 200":                           {{Figure: rate, Ratio: 200}},

	"backlog of 2,000,000, consumers: 1":   {{Figure: rate, Ratio: 2.5}, {Figure: serverCPU, Ratio: 0.33}},
	"backlog of 2,000,000, consumers: 2":   {{Figure: rate, Ratio: 2.5}, {Figure: serverCPU, Ratio: 0.33}},
	"backlog of 2,000,000, consumers: 8":   {{Figure: rate, Ratio: 2.5}, {Figure: serverCPU, Ratio: 0.33}},
	"bodies of 1 KiB, MPUB 200, 1 channel": {{Figure: rate, Ratio: 1.8}},
	"bodies of 16 KiB, MPUB 60, 1 channel": {{Figure: rate, Ratio: 1.3}},
	"bodies of 256 KiB, MPUB 4, 1 channel": {{Figure: rate, Ratio: 1.2}},

	"latency at 100 msg/s, RDY 2,500":                {{Figure: p50, Ratio: 0.1}, {Figure: p99, Ratio: 0.1, Value: 1000}},
	"latency at 5000 msg/s, RDY 2,500":               {{Figure: p50, Ratio: 0.1}, {Figure: p99, Ratio: 0.1, Value: 1000}},
	"latency at 20000 msg/s, RDY 2,500":              {{Figure: p50, Ratio: 0.2}, {Figure: p99, Ratio: 0.5, Value: 2000}},
	"latency at 100 msg/s, 8 consumers with RDY 1":   {{Figure: p50, Ratio: 1}, {Figure: p99, Ratio: 1}},
	"latency at 5000 msg/s, 8 consumers with RDY 1":  {{Figure: p50, Ratio: 1}, {Figure: p99, Ratio: 1}},
	"latency at 20000 msg/s, 8 consumers with RDY 1": {{Figure: p50, Ratio: 1}, {Figure: p99, Ratio: 1}},

	"1,000 topics with a channel, created over HTTP":                 {{Figure: topicRate, Ratio: 6}, {Figure: rss, Ratio: 0.1}, {Figure: idleCPU, Value: 0.2}},
	"10,000 idle topics with a channel":                              {{Figure: rss, Value: 40}},
	"9,900 idle consumers":                                           {{Figure: rss, Ratio: 0.5, Value: 135}, {Figure: idleCPU, Ratio: 0.5}},
	"1,000,000 deferred messages (DPUB)":                             {{Figure: rate, Ratio: 5}, {Figure: rss, Ratio: 0.2, Value: 90}},
	"/stats of 1,000 topics with 3 channels":                         {{Figure: statsIdle, Ratio: 0.33}, {Figure: statsUnder, Ratio: 0.33}},
	"start with 1,000 topics with 3 channels and 1,000,000 messages": {{Figure: startDuration, Ratio: 1}},
}
