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
	"MPUB 200, 1 channel":               {{Figure: serverCPU, Value: 0.8}},
	"PUB one at a time, 1 connection":   {{Figure: rate, Ratio: 1.5}},
	"latency at 5000 msg/s, RDY 2,500":  {{Figure: p99, Value: 1000}},
	"10,000 idle topics with a channel": {{Figure: rss, Value: 40}},
	"9,900 idle consumers":              {{Figure: rss, Value: 135}},
}
