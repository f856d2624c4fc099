package loadgen

import "time"

// Result is what a run measured.
type Result struct {
	Server      string `json:"server"` // its version
	Load        Load   `json:"load"`
	Interrupted bool   `json:"interrupted,omitempty"` // ended before everything was published and consumed

	Seconds        float64 `json:"seconds"`         // from the first publish until the last OK and the last delivery
	PublishSeconds float64 `json:"publish_seconds"` // until the last OK
	Messages       int64   `json:"messages"`        // OK'd in that time; of a backlog, those that were to be consumed
	Deliveries     int64   `json:"deliveries"`      // of all channels in that time
	Rate           float64 `json:"rate"`            // messages a second, published and, with channels, consumed by each
	PublishRate    float64 `json:"publish_rate"`    // messages a second until the last OK
	DeliveryRate   float64 `json:"delivery_rate"`   // deliveries a second
	Megabytes      float64 `json:"megabytes_per_second"`

	// What the server used; nil where that is not known.
	ServerCPU *float64 `json:"server_cpu_us_per_message"` // for a message and all its deliveries
	ServerUse *Usage   `json:"server_usage"`              // at the end
	// TogetherCPU is what the server and those that work for it used; nil without any.
	TogetherCPU *float64 `json:"together_cpu_us_per_message,omitempty"`
	// GeneratorCPU is what the generator used for a message and all its
	// deliveries, in µs. Where it is not well below the server's, the generator
	// may have been the limit.
	GeneratorCPU float64 `json:"generator_cpu_us_per_message"`

	Published *Latency `json:"publish_latency"`  // until the OK; since the message was due at a fixed rate, else since it was sent; nil with several unanswered
	Delivered *Latency `json:"delivery_latency"` // since the message was due, and its delay over; nil without a rate
	Late      *Latency `json:"sent_late"`        // how late the generator was itself; nil without a rate

	// Checks cover the whole run with its warm-up.
	Checked     int64 `json:"checked"`           // deliveries of all channels
	Lost        int64 `json:"lost"`              // OK'd and not delivered to a channel; not counted when interrupted
	Altered     int64 `json:"altered"`           // delivered and not as sent
	Foreign     int64 `json:"foreign,omitempty"` // delivered from a topic that others publish to, and theirs
	Duplicated  int64 `json:"duplicated"`        // delivered again
	Redelivered int64 `json:"redelivered"`       // delivered with attempts above 1
	OutOfOrder  int64 `json:"out_of_order"`      // delivered, or again, to a connection after a later one of the same publisher
	FinRefused  int64 `json:"fin_refused"`       // finished too late
}

// Sound tells whether everything that was OK'd came as it was sent.
func (r *Result) Sound() bool { return r.Lost == 0 && r.Altered == 0 }

// measurement is the state of things when a measurement began.
type measurement struct {
	start            time.Time
	acked, delivered int64
	server           Usage
	known            bool    // server
	with             float64 // CPU seconds of those that work for it
	generator        time.Duration
}

func (r *run) begin() measurement {
	m := measurement{acked: r.acked(), delivered: r.delivered(), generator: ownCPU()}
	server, err := UsageOf(r.target.PID)
	m.server, m.known = server, r.target.PID != 0 && err == nil
	m.with, _ = r.target.withCPU()
	m.start = time.Now()
	return m
}

// end takes the difference. What was waited for in vain at the end is not part
// of the time.
func (r *run) end(m measurement) *Result {
	server, err := UsageOf(r.target.PID)
	with, withErr := r.target.withCPU()
	generator := ownCPU() - m.generator
	var last time.Time
	for _, l := range r.ledgers {
		if at := r.start.Add(time.Duration(l.latest.Load())); at.After(last) {
			last = at
		}
	}
	answered := r.answered
	if answered.Before(m.start) { // a backlog was answered before
		answered = m.start
	}
	if last.Before(answered) {
		last = answered
	}
	load := r.load
	result := &Result{
		Server:         r.version,
		Load:           load,
		Seconds:        last.Sub(m.start).Seconds(),
		PublishSeconds: answered.Sub(m.start).Seconds(),
		Messages:       r.acked() - m.acked,
		Deliveries:     r.delivered() - m.delivered,
	}
	if load.Backlog {
		result.Messages = result.Deliveries / int64(load.Channels)
	}
	messages := float64(max(1, result.Messages))
	result.Rate = per(messages, result.Seconds)
	if load.Channels > 0 {
		result.Rate = per(float64(result.Deliveries)/float64(load.Channels), result.Seconds)
	}
	result.PublishRate = per(messages, result.PublishSeconds)
	result.DeliveryRate = per(float64(result.Deliveries), result.Seconds)
	result.Megabytes = result.Rate * float64(load.Body) / 1e6
	result.GeneratorCPU = generator.Seconds() * 1e6 / messages
	if m.known && err == nil {
		cpu := (server.CPU - m.server.CPU) * 1e6 / messages
		result.ServerCPU, result.ServerUse = &cpu, &server
		if len(r.target.With) > 0 && withErr == nil {
			together := cpu + (with-m.with)*1e6/messages
			result.TogetherCPU = &together
		}
	}
	return result
}

// per is n/seconds, 0 when no time passed.
func per(n, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return n / seconds
}

// count adds what is known when all connections are closed.
func (r *run) count(result *Result) {
	var published, delivered, late []histogram
	for _, p := range r.publishers {
		published = append(published, p.published)
		late = append(late, p.late)
	}
	for _, c := range r.consumers {
		delivered = append(delivered, c.received)
		result.FinRefused += c.late
	}
	result.Published, result.Delivered, result.Late = latencyOf(published), latencyOf(delivered), latencyOf(late)
	for _, l := range r.ledgers {
		if !result.Interrupted {
			result.Lost += l.lost()
		}
		result.Checked += l.delivered.Load() + l.duplicated.Load() + l.altered.Load()
		result.Altered += l.altered.Load()
		result.Foreign += l.foreign.Load()
		result.Duplicated += l.duplicated.Load()
		result.Redelivered += l.redelivered.Load()
		result.OutOfOrder += l.disordered.Load()
	}
}
