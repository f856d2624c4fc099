package semantics

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
)

const anyID = "0123456789abcdef"

func TestLinesMayEndInCRLFAndCarryMoreThanTheyNeed(t *testing.T) {
	n := start(t)
	c := n.connect("IDENTIFY\r\n"+wire.Sized("{}"), "SUB t ch surplus\r\n",
		"PUB t surplus\r\n", wire.Sized("a"), "MPUB t surplus\n", wire.Sized(wire.Size(1)+wire.Sized("b")), "DPUB t 0 surplus\n", wire.Sized("c"),
		"NOP surplus\r\n", "RDY 1 surplus\n")
	c.Expect("OK", "OK")
	var ms []wire.Message
	for oks := 0; oks < 3 || len(ms) < 1; {
		kind, data := c.Frame()
		if kind == wire.Delivery {
			ms = append(ms, parsed(t, data))
		} else if oks++; kind != wire.Response || data != "OK" {
			t.Fatalf("frame %d %q", kind, data)
		}
	}
	c.Send("TOUCH " + ms[0].ID + " surplus\r\nFIN " + ms[0].ID + " surplus\r\n")
	m := c.Messages("b")[0]
	c.Send("REQ " + m.ID + " 3600000 surplus\n")
	c.Messages("c")
	c.Send("CLS surplus\n")
	c.Expect("CLOSE_WAIT")
	n.wantCounts("t", "ch", counts{inFlight: 1, deferred: 1})
}

func TestDoubledBlanksMakeEmptyParameters(t *testing.T) {
	n := start(t)
	for sent, want := range map[string]string{
		"SUB  t ch\n":                   `E_BAD_TOPIC SUB topic name "" is not valid`,
		"SUB t  ch\n":                   `E_BAD_CHANNEL SUB channel name "" is not valid`,
		"PUB  t\n":                      `E_BAD_TOPIC PUB topic name "" is not valid`,
		" PUB t\n":                      "E_INVALID invalid command ",
		"SUB t c\nFIN  " + anyID + "\n": "E_INVALID invalid message ID",
		"Pub t\n":                       "E_INVALID invalid command Pub",
	} {
		c := n.connect(sent)
		if strings.HasPrefix(sent, "SUB t c\n") {
			c.Expect("OK")
		}
		c.ExpectError(want)
		c.ExpectEnd()
	}
}

// TestWhatIsAllowedInWhichState is the table of commands by state.
func TestWhatIsAllowedInWhichState(t *testing.T) {
	const fatal, silent = "E_INVALID cannot %s in current state", ""
	states := []struct {
		before string
		oks    []string
	}{
		{"", nil},
		{"SUB t ch\n", []string{"OK"}},
		{"SUB t ch\nCLS\n", []string{"OK", "CLOSE_WAIT"}},
	}
	n := start(t)
	notInFlight := "E_%[1]s_FAILED %[1]s " + anyID + " failed ID not in flight"
	for _, test := range []struct {
		command, sent string
		want          [3]string
	}{
		{"IDENTIFY", wire.Identify("{}"), [3]string{"OK", fatal, fatal}},
		{"AUTH", "AUTH\n" + wire.Sized("s"), [3]string{"E_AUTH_DISABLED AUTH disabled", fatal, fatal}},
		{"SUB", "SUB t other\n", [3]string{"OK", fatal, fatal}},
		{"PUB", wire.Pub("u", "x"), [3]string{"OK", "OK", "OK"}},
		{"MPUB", wire.MPub("u", "x", "y"), [3]string{"OK", "OK", "OK"}},
		{"DPUB", wire.DPub("u", 1, "x"), [3]string{"OK", "OK", "OK"}},
		{"NOP", "NOP\n", [3]string{silent, silent, silent}},
		{"RDY", "RDY 1\n", [3]string{fatal, silent, silent}},
		{"FIN", "FIN " + anyID + "\n", [3]string{fatal, notInFlight, notInFlight}},
		{"REQ", "REQ " + anyID + " 0\n", [3]string{fatal, notInFlight, notInFlight}},
		{"TOUCH", "TOUCH " + anyID + "\n", [3]string{fatal, notInFlight, notInFlight}},
		{"CLS", "CLS\n", [3]string{fatal, "CLOSE_WAIT", fatal}},
	} {
		for i, state := range states {
			t.Run(fmt.Sprint(test.command, " in state ", i), func(t *testing.T) {
				c := wire.Connect(t, n.address, state.before, test.sent)
				c.Expect(state.oks...)
				want := test.want[i]
				switch {
				case strings.HasPrefix(want, "E_"):
					if strings.Contains(want, "%") {
						want = fmt.Sprintf(want, test.command)
					}
					c.ExpectError(want)
					if !strings.Contains(want, "_FAILED ") {
						c.ExpectEnd()
						return
					}
				case want != silent:
					c.Expect(want)
				}
				c.ExpectOpen()
			})
		}
	}
}

// TestAfterCLSOnlyAnswersCount: RDY is not even parsed.
func TestAfterCLSOnlyAnswersCount(t *testing.T) {
	n := start(t)
	n.connect().Publish("t", "1", "2", "3", "4")
	k := n.consume("t", "ch", 3)
	ms := k.Messages("1", "2", "3")
	k.Send("CLS\nRDY nonsense\nRDY\nRDY 99999999\n")
	k.Expect("CLOSE_WAIT")
	k.Fin(ms[0])
	k.Req(ms[1], 3_600_000)
	k.Send("TOUCH " + ms[2].ID + "\n")
	n.wantCounts("t", "ch", counts{depth: 1, inFlight: 1, deferred: 1})
	k.ExpectOpen()
}

// TestIdentifyBorders: what is just allowed, what is just not, and the text.
func TestIdentifyBorders(t *testing.T) {
	n := start(t)
	for _, test := range []struct {
		key, text      string
		allowed, wrong []int
	}{
		{"heartbeat_interval", "heartbeat interval", []int{-1, 0, 1000, 60000}, []int{-2, 1, 999, 60001}},
		{"output_buffer_timeout", "output buffer timeout", []int{-1, 0, 25, 30000}, []int{-2, 1, 24, 30001}},
		{"output_buffer_size", "output buffer size", []int{-1, 0, 64, 65536}, []int{-2, 1, 63, 65537}},
		{"sample_rate", "sample rate", []int{0, 1, 99}, []int{-1, 100}},
		{"msg_timeout", "msg timeout", []int{0, 1000, 900000}, []int{-1, 1, 999, 900001}},
	} {
		for _, v := range test.allowed {
			n.connect(wire.Identify(fmt.Sprintf(`{%q:%d}`, test.key, v))).Expect("OK")
		}
		for _, v := range test.wrong {
			for _, more := range []string{"", `,"feature_negotiation":true`} {
				c := n.connect(wire.Identify(fmt.Sprintf(`{%q:%d%s}`, test.key, v, more)))
				c.ExpectError(fmt.Sprintf("E_BAD_BODY IDENTIFY %s (%d) is invalid", test.text, v))
				c.ExpectEnd()
			}
		}
		for _, v := range []string{`"1000"`, "1000.5", "true", "[]"} {
			c := n.connect(wire.Identify(fmt.Sprintf(`{%q:%s}`, test.key, v)))
			c.ExpectError("E_BAD_BODY IDENTIFY failed to decode JSON body")
			c.ExpectEnd()
		}
	}
	c := n.connect("IDENTIFY\n" + wire.Size(-1))
	c.ExpectError("E_BAD_BODY IDENTIFY invalid body size -1")
	c.ExpectEnd()
}

// TestIdentifyShowsInStats: what the client said of itself, or where it comes
// from if it said nothing.
func TestIdentifyShowsInStats(t *testing.T) {
	n := start(t)
	for _, test := range []struct {
		first string
		want  clientStats
	}{
		{"", clientStats{ClientID: "127.0.0.1", Hostname: "127.0.0.1"}},
		{wire.Identify(`{}`), clientStats{}},
		{wire.Identify(`{"client_id":"c","hostname":"h","user_agent":"u/1","short_id":"s","long_id":"l","unknown":[1]}`),
			clientStats{ClientID: "c", Hostname: "h", UserAgent: "u/1"}},
		{wire.Identify(`{"client_id":"first"}`) + wire.Identify(`{"client_id":"second"}`), clientStats{ClientID: "second"}},
	} {
		c := n.connect(test.first, "SUB t ch\n")
		for range strings.Count(test.first, "IDENTIFY") + 1 {
			c.Expect("OK")
		}
		test.want.Version, test.want.State, test.want.RemoteAddress = "V2", 3, c.LocalAddr().String()
		if got := n.channel("t", "ch").Clients; len(got) != 1 || got[0] != test.want {
			t.Errorf("%s: %+v, want %+v", test.first, got, test.want)
		}
		c.Close()
		process.Eventually(t, "end of the client", func() bool { return n.channel("t", "ch").ClientCount == 0 })
	}
}

// TestIdentifySettingsCountForTheConnectionOnly: a message timeout of its own
// and a heartbeat of its own, after the last of several IDENTIFYs.
func TestIdentifySettingsCountForTheConnectionOnly(t *testing.T) {
	t.Parallel()
	n := start(t)
	n.connect().Publish("t", "x")
	began := time.Now()
	k := n.connect(wire.Identify(`{"msg_timeout":2000,"heartbeat_interval":60000}`), wire.Identify(`{"msg_timeout":1000,"heartbeat_interval":1000}`), "SUB t ch\nRDY 1\n")
	k.Expect("OK", "OK", "OK")
	k.Messages("x")
	heartbeats := 0
	for {
		kind, data, err := k.AnyFrame()
		if err != nil {
			t.Fatal(err)
		}
		if kind == wire.Delivery {
			if m := parsed(t, data); m.Attempts != 2 {
				t.Errorf("%+v", m)
			}
			break
		}
		heartbeats++
		k.Send("NOP\n")
	}
	wantDue(t, began, time.Second)
	if kind, data, err := k.AnyFrame(); heartbeats == 0 && (err != nil || kind != wire.Response || data != "_heartbeat_") {
		t.Errorf("frame %d %q, %v", kind, data, err)
	}
}

// TestSilentClientIsClosedWithoutAFrame after two intervals, and gets nothing but
// heartbeats meanwhile.
func TestSilentClientIsClosedWithoutAFrame(t *testing.T) {
	t.Parallel()
	n := start(t)
	began, heartbeats := time.Now(), 0
	k := n.connect(wire.Identify(`{"heartbeat_interval":1000}`), "SUB t ch\n", wire.Pub("t", "x"), "RDY 1\n")
	k.Expect("OK", "OK")
	for range 2 {
		k.Frame() // the OK and the message, in whatever order
	}
	for {
		kind, data, err := k.AnyFrame()
		if err != nil {
			break
		}
		if kind != wire.Response || data != "_heartbeat_" {
			t.Fatalf("frame %d %q", kind, data)
		}
		heartbeats++
	}
	if took := time.Since(began); took < 2*time.Second || took > 2*time.Second+slack || heartbeats > int(took/time.Second) {
		t.Errorf("closed after %v and %d heartbeats", took, heartbeats)
	}
	n.wantCounts("t", "ch", counts{depth: 1})
}

// TestConsumersBeyondTheLimitAreRefused and closed; those that are there are
// not touched, and who leaves makes room.
func TestConsumersBeyondTheLimitAreRefused(t *testing.T) {
	n := start(t, func(o *options) { o.broker.MaxChannelConsumers, o.server.MaxChannelConsumers = 2, 2 })
	first, second := n.consume("t", "ch", 1), n.consume("t", "ch", 1)
	for range 3 {
		c := n.connect("SUB t ch\n", wire.Pub("t", "never read"))
		c.ExpectError("E_SUB_FAILED SUB failed consumers for t:ch exceeds limit of 2")
		c.ExpectEnd()
	}
	n.consume("t", "another", 1)
	first.ExpectOpen()
	second.ExpectOpen()
	second.Close()
	process.Eventually(t, "room", func() bool { return n.channel("t", "ch").ClientCount == 1 })
	n.consume("t", "ch", 1)
}

func TestReadyCountsUpToTheLimit(t *testing.T) {
	n := start(t, func(o *options) { o.server.MaxRdyCount = 7 })
	k := n.consume("t", "ch", 0)
	k.Send("RDY 0\nRDY\nRDY 7\n")
	k.ExpectOpen()
	if c := n.channel("t", "ch").Clients[0]; c.ReadyCount != 7 {
		t.Errorf("RDY is %d", c.ReadyCount)
	}
	k.Send("RDY 8\n")
	k.ExpectError("E_INVALID RDY count 8 out of range 0-7")
	k.ExpectEnd()
	for _, count := range []string{"-1", "+1", "1.0", "x", "0x1"} {
		k := n.consume("t", "ch", 0)
		k.Send("RDY " + count + "\n")
		k.ExpectError("E_INVALID RDY could not parse count " + count)
		k.ExpectEnd()
	}
}

// TestChecksComeInTheirOrder: the first mistake is the one that is told.
func TestChecksComeInTheirOrder(t *testing.T) {
	n := start(t)
	for sent, want := range map[string]string{
		"DPUB $\n":             "E_INVALID DPUB insufficient number of parameters",
		"DPUB $ x\n":           `E_BAD_TOPIC DPUB topic name "$" is not valid`,
		"DPUB t x\n":           "E_INVALID DPUB could not parse timeout x",
		"DPUB t 99999999999\n": "E_INVALID DPUB timeout 99999999999 out of range 0-3600000",
		"SUB $ $\n":            `E_BAD_TOPIC SUB topic name "$" is not valid`,
		"SUB $\n":              "E_INVALID SUB insufficient number of parameters",
		"FIN x\n":              "E_INVALID cannot FIN in current state",
		"FIN\n":                "E_INVALID cannot FIN in current state",
		"RDY x\n":              "E_INVALID cannot RDY in current state",
		"REQ x x\n":            "E_INVALID cannot REQ in current state",
	} {
		c := n.connect(sent)
		c.ExpectError(want)
		c.ExpectEnd()
	}
	for sent, want := range map[string]string{
		"REQ x\n":                "E_INVALID REQ insufficient number of params",
		"REQ x x\n":              "E_INVALID invalid message ID",
		"REQ " + anyID + " x\n":  "E_INVALID REQ could not parse timeout x",
		"REQ " + anyID + " 1s\n": "E_INVALID REQ could not parse timeout 1s",
		"RDY 2501\n":             "E_INVALID RDY count 2501 out of range 0-2500",
	} {
		c := n.consume("t", "ch", 0)
		c.Send(sent)
		c.ExpectError(want)
		c.ExpectEnd()
	}
}

func TestDaemonThatStopsClosesConnectionsWithoutAFrame(t *testing.T) {
	n := start(t)
	k, p := n.consume("t", "ch", 1), n.connect()
	k.ExpectOpen()
	p.ExpectOpen()
	n.stop()
	k.ExpectEnd()
	p.ExpectEnd()
	if _, err := net.Dial("tcp", n.address); err == nil {
		t.Error("it still listens")
	}
}
