package replica

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"qmq/replica/serve"
	"qmq/state"
	"qmq/topic"
)

// setUp has the topics and channels made, and what is to be set of them, through any
// member, however often that takes.
func (d *served) setUp() {
	retention := "1h"
	if !d.hour {
		retention = "500ms"
	}
	configure := func(channel, set string) serve.Request {
		return serve.Request{Op: state.ConfigureChannel, Topic: "t", Channel: channel, Settings: set}
	}
	list := []serve.Request{
		{Op: state.CreateTopic, Topic: "t"},
		{Op: state.CreateTopic, Topic: "dead"},
		{Op: state.ConfigureTopic, Topic: "t", Settings: fmt.Sprintf(
			`{"key_from": "json:/k", "dedup_from": "json:/d", "dedup_window": "3s", "retention_time": %q}`, retention)},
	}
	for _, name := range []string{"key", "channel", "urgent", "plain"} {
		list = append(list, serve.Request{Op: state.CreateChannel, Topic: "t", Channel: name})
	}
	for _, name := range []string{"key", "channel"} {
		list = append(list, configure(name, fmt.Sprintf(`{"ordered": %q, "max_attempts": %d, "dead_letter_topic": "dead"}`, name, simAttempts)))
	}
	d.ask(append(list, configure("urgent", `{"prioritised": true}`)), func() {
		d.ready = true
		d.operate()
	})
}

// ask asks for one after the other, and calls then when all are done.
func (d *served) ask(list []serve.Request, then func()) {
	if len(list) == 0 {
		then()
		return
	}
	d.w.after(d.w.between(0, 20*time.Millisecond), func() {
		d.request(list[0], func(err error) {
			if err == nil {
				list = list[1:]
			}
			d.ask(list, then)
		})
	})
}

// request asks some member for something. then is called also when its process ends.
func (d *served) request(r serve.Request, then func(error)) {
	n := d.w.nodes[d.w.rng.IntN(d.w.slots)]
	if n.server == nil {
		then(errUnlinked)
		return
	}
	node := n.server.node
	go func() {
		err := node.Do(context.Background(), r)
		d.inbox.put(func() { then(err) })
	}()
}

// operate asks for something every now and then.
func (d *served) operate() {
	w := d.w
	if w.ending {
		d.request(serve.Request{Op: state.ConfigureTopic, Topic: "t", Settings: `{"max_messages": 0}`}, d.unlimited)
		return
	}
	w.after(w.between(100*time.Millisecond, 1500*time.Millisecond), d.operate)
	r := serve.Request{Topic: "t", Op: state.ConfigureTopic}
	pick := func(list ...string) string { return list[w.rng.IntN(len(list))] }
	switch dice := w.rng.IntN(100); {
	case dice < 40:
		r.Op, r.Channel, r.From = state.RewindChannel, pick("key", "channel", "urgent", "plain"), d.position()
	case dice < 60:
		d.made++
		r.Op, r.Channel, r.From, r.Until, r.Leaves = state.CreateChannel, fmt.Sprint("b", d.made), d.position(), "last", true
	case dice < 70:
		r.Settings = fmt.Sprintf(`{"dedup_window": %q}`, pick("200ms", "3s", "1h"))
	case dice < 80:
		r.Settings = fmt.Sprintf(`{"dedup_max_ids": %s}`, pick("5", "30", "1000"))
	case dice < 84:
		r.Settings = `{"max_messages": 20, "overflow": "reject"}`
	default:
		r.Settings = `{"max_messages": 0}`
	}
	r.Replay = new(topic.Replay)
	d.request(r, func(err error) { d.replayed(&r, err) })
}

// unlimited goes on until the topic takes everything again.
func (d *served) unlimited(err error) {
	if err != nil {
		d.w.after(100*time.Millisecond, d.operate)
	}
}

// replayed looks at where a channel that was rewound or made goes on: where all is kept,
// with the first message that there ever was.
func (d *served) replayed(r *serve.Request, err error) {
	if err != nil {
		return
	}
	for _, ch := range d.channels {
		if ch.name == r.Channel && r.Op == state.RewindChannel && ch.agreed == 0 {
			d.w.fail("a rewind of channel %s is OK'd, and none was agreed on", ch.name)
		}
	}
	if r.From != "first" || len(d.log) == 0 || !d.hour {
		return
	}
	if r.Replay.From != d.log[0].seq && r.Replay.Timestamp != 0 {
		d.w.fail("channel %s begins at %d", r.Channel, d.place(r.Replay.From))
	}
}

// position is somewhere in the log.
func (d *served) position() string {
	w := d.w
	if len(d.log) == 0 {
		return "first"
	}
	m := d.log[w.rng.IntN(len(d.log))]
	switch w.rng.IntN(4) {
	case 0:
		return "first"
	case 1:
		return "last"
	case 2:
		return strconv.FormatUint(m.seq, 10)
	}
	return time.Unix(0, m.at).UTC().Format(time.RFC3339Nano)
}
