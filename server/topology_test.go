package server

import (
	"fmt"
	"strings"
	"testing"

	"qmq/test/wire"
)

func TestSampleRateIsShownAndKept(t *testing.T) {
	const messages, rate = 2000, 20
	r := start(t)
	c := r.connect(wire.Identify(fmt.Sprintf(`{"feature_negotiation":true,"sample_rate":%d}`, rate)))
	c.Frame()
	c.Send("SUB t ch\nRDY 2500\n")
	c.Expect("OK")
	p := r.connect(wire.MPub("t", strings.Split(strings.Repeat("x ", messages-1)+"x", " ")...))
	p.Expect("OK")
	eventually(t, func() bool { s := channelStatsOf(t, r, "t", "ch"); return s.MessageCount == messages && s.Depth == 0 })
	s := channelStatsOf(t, r, "t", "ch")
	if n := s.InFlight; n < messages*(rate-6)/100 || n > messages*(rate+6)/100 {
		t.Errorf("%d of %d in flight", n, messages)
	}
	if k := s.Consumers[0]; k.MessageCount != uint64(s.InFlight) {
		t.Errorf("%+v", k)
	}
	if k := r.clientOf(c); k.SampleRate != rate {
		t.Errorf("%+v", k)
	}
}

func TestTopologyIsToldAndKept(t *testing.T) {
	r := start(t, func(o *Options) { o.TopologyRegion, o.TopologyZone, o.TopologyAware = "r", "z", true })
	consume := func(zone, region string) *wire.Conn {
		c := r.connect(wire.Identify(fmt.Sprintf(`{"feature_negotiation":true,"topology_zone":%q,"topology_region":%q}`, zone, region)))
		if _, answer := c.Frame(); !strings.HasSuffix(answer, `"topology_region":"r","topology_zone":"z"}`) {
			t.Error(answer)
		}
		c.Send("SUB t ch\nRDY 1\n")
		c.Expect("OK")
		return c
	}
	far, region, zone := consume("a", "b"), consume("a", "r"), consume("z", "r")
	eventually(t, func() bool {
		ready := 0
		for _, k := range channelStatsOf(t, r, "t", "ch").Consumers {
			ready += int(k.Ready)
		}
		return ready == 3
	})
	p := r.connect()
	for i, c := range []*wire.Conn{zone, region, far} {
		p.Send(wire.Pub("t", fmt.Sprint(i)))
		p.Expect("OK")
		if m := c.Message(); m.Body != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", m.Body, i)
		}
	}
	if s := channelStatsOf(t, r, "t", "ch"); s.ZoneLocal != 1 || s.RegionLocal != 1 || s.Delivered != 3 {
		t.Errorf("%+v", s)
	}
}
