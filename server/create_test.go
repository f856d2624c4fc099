package server

import (
	"slices"
	"testing"

	"qmq/broker"
	"qmq/protocol"
	"qmq/test/node"
	"qmq/test/wire"
	"qmq/topic"
)

func TestLimitsOfTopicsAndChannelsAreToldToClients(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MaxTopics, o.MaxChannels = 1, 1 }))
	r.create("t", "c")
	const topics = "limit of 1 topics of this node reached (--max-topics)"
	const channels = "limit of 1 channels of topic t reached (--max-channels)"
	c := r.connect(wire.Pub("u", "x"), wire.MPub("u", "x"), wire.DPub("u", 1, "x"), wire.Pub("t", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed " + topics)
	c.ExpectError("E_MPUB_FAILED MPUB failed " + topics)
	c.ExpectError("E_DPUB_FAILED DPUB failed " + topics)
	c.Expect("OK")
	r.connect("SUB u c\n").ExpectError("E_SUB_FAILED SUB failed " + topics)
	r.connect("SUB t d\n").ExpectError("E_SUB_FAILED SUB failed " + channels)
	r.consume("t", "c", 1).Message()
}

func TestWithoutAutoCreateClientsCreateNothing(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.NoAutoCreate = true }))
	const why = "there is no topic or channel of that name, and clients may not create it (--auto-create=false)"
	c := r.connect(wire.Pub("t", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed " + why)
	r.connect("SUB t c\n").ExpectError("E_SUB_FAILED SUB failed " + why)
	r.create("t")
	c.Send(wire.Pub("t", "x"))
	c.Expect("OK")
	r.connect("SUB t c\n").ExpectError("E_SUB_FAILED SUB failed " + why)
	r.create("t", "c")
	r.consume("t", "c", 1).Message()
	if err := r.broker.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	c.Send(wire.Pub("t", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed " + why)
}

// create makes a topic and its channels, as the HTTP API does.
func (r *rig) create(topicName string, channels ...string) *topic.Topic {
	r.t.Helper()
	at, err := r.broker.Topic(topicName)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range channels {
		if _, err := at.Channel(name); err != nil {
			r.t.Fatal(err)
		}
	}
	return at
}

func TestClosedBrokerSaysExiting(t *testing.T) {
	o := node.Options()
	if err := o.FS.MkdirAll(o.DataPath); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, b)
	c := r.connect(wire.Pub("t", "x"))
	c.Expect("OK")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	c.Send(wire.Pub("t", "x") + wire.MPub("t", "x") + wire.DPub("u", 1, "x"))
	c.ExpectError("E_PUB_FAILED PUB failed exiting")
	c.ExpectError("E_MPUB_FAILED MPUB failed exiting")
	c.ExpectError("E_DPUB_FAILED DPUB failed exiting")
	c.Send("SUB t ch\n")
	c.ExpectError("E_SUB_FAILED SUB failed exiting")
	c.ExpectEnd()
}

// TestClientsAreFoundByTheirConsumers while they are connected.
func TestClientsAreFoundByTheirConsumers(t *testing.T) {
	r := start(t)
	c := r.connect(wire.Identify(`{"client_id":"me","hostname":"h","user_agent":"test/1","topology_zone":"z","topology_region":"r"}`), wire.Pub("u", "x"), wire.MPub("t", "y", "z"), "SUB t ch\n")
	c.Expect("OK", "OK", "OK", "OK")
	id := channelStatsOf(t, r, "t", "ch").Consumers[0].ID
	k, ok := r.tcp.Client(id)
	if !ok || k.ID != "me" || k.Hostname != "h" || k.UserAgent != "test/1" || k.Zone != "z" || k.Region != "r" || k.State != protocol.StateSubscribed ||
		k.RemoteAddress != c.LocalAddr().String() || !slices.Equal(k.Published, []Published{{"t", 2}, {"u", 1}}) {
		t.Errorf("%v %+v", ok, k)
	}
	c.Close()
	eventually(t, func() bool { _, ok := r.tcp.Client(id); return !ok })
}
