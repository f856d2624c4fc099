package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"qmq/internal/nodeclient"
)

// healthCommand is q health.
type healthCommand struct {
	Topic        string `complete:"topic" help:"Depths of this topic only. Default: of all."`
	Channel      string `complete:"channel" help:"Depths of this channel only."`
	WarnDepth    int64  `name:"warn-depth" placeholder:"N" help:"Warn when more messages wait in a topic or channel, over all nodes."`
	CritDepth    int64  `name:"crit-depth" placeholder:"N" help:"Be critical when more wait."`
	WarnConsumer bool   `name:"warn-no-consumer" help:"Warn when messages wait in a channel that nobody reads."`
	JSON         bool   `name:"json" help:"Print JSON."`

	reach
}

// Help has the exit codes and the examples.
func (*healthCommand) Help() string {
	return `One line, as monitoring systems of Nagios' kind read it, and an exit code: 0 OK, 1 WARNING (a node has found damage, more waits than --warn-depth, a directory of several does not answer), 2 CRITICAL (a node does not answer or is not well, more waits than --crit-depth), 3 UNKNOWN (nobody says which nodes there are).

` + examples(
		"all nodes", `q health --lookupd=lookup1.example:4161,lookup2.example:4161`,
		"a channel that should keep up", `q health --topic=orders --channel=billing --warn-depth=1000 --crit-depth=100000`,
	)
}

// The states of health, which are the exit codes.
const (
	healthOK = iota
	healthWarning
	healthCritical
	healthUnknown
)

var healthWords = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

// verdict is how bad it is and why.
type verdict struct {
	State   string   `json:"state"`
	Why     []string `json:"why,omitempty"`
	Nodes   int      `json:"nodes"`
	Topics  int      `json:"topics"`
	Depth   int64    `json:"depth"`
	Clients int64    `json:"clients"`
	level   int
}

func (v *verdict) worse(level int, format string, args ...any) {
	v.level = max(v.level, level)
	v.Why = append(v.Why, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
}

// unwell makes the exit code tell the state of health.
type unwell int

func (u unwell) Error() string { return healthWords[u] }

// Run prints one line and ends with the state.
func (h *healthCommand) Run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := h.open()
	if err != nil {
		return err
	}
	defer cl.close()
	v := h.judge(ctx, cl)
	v.State = healthWords[v.level]
	if err := h.say(c.out, v); err != nil {
		return err
	}
	if v.level != healthOK {
		return unwell(v.level)
	}
	return nil
}

func (h *healthCommand) judge(ctx context.Context, cl *cluster) *verdict {
	v := new(verdict)
	s, err := cl.snapshot(ctx, nodeclient.Wanted{})
	if err != nil {
		v.worse(healthUnknown, "%v", err)
		return v
	}
	if len(s.nodes) == 0 {
		v.worse(healthUnknown, "the directories know no node")
	}
	if len(cl.lookupds) > 1 {
		if _, err := cl.lookup.Topics(ctx, cl.lookupds); err != nil {
			v.worse(healthWarning, "%v", err)
		}
	}
	v.Nodes = len(s.nodes)
	for _, n := range s.nodes {
		switch {
		case n.err != nil:
			v.worse(healthCritical, "%s: %v", n.Name, n.err)
		case n.stats.Health != "OK":
			v.worse(healthCritical, "%s: %s", n.Name, n.stats.Health)
		case n.stats.Damage != nil && len(n.stats.Damage.Findings)+len(n.stats.Damage.Older) > 0:
			v.worse(healthWarning, "%s: damage on its disk was found and is not acknowledged", n.Name)
		}
	}
	h.depths(v, s)
	return v
}

// depths judges what waits.
func (h *healthCommand) depths(v *verdict, s *snapshot) {
	topics := s.figures("topic")
	v.Topics = len(topics)
	for _, f := range append(topics, s.figures("channel")...) {
		if h.Topic != "" && f.Topic != h.Topic || h.Channel != "" && f.Channel != h.Channel {
			continue
		}
		v.Depth += f.Depth
		name := "topic " + f.Topic
		if f.Channel != "" {
			name = f.Topic + "/" + f.Channel
			v.Clients += f.Clients
		}
		switch {
		case h.CritDepth > 0 && f.Depth > h.CritDepth:
			v.worse(healthCritical, "%s in %s", waiting(f.Depth), name)
		case h.WarnDepth > 0 && f.Depth > h.WarnDepth:
			v.worse(healthWarning, "%s in %s", waiting(f.Depth), name)
		}
		if h.WarnConsumer && f.Channel != "" && f.Depth > 0 && f.Clients == 0 {
			v.worse(healthWarning, "nobody reads %s, where %s", name, waiting(f.Depth))
		}
	}
}

// waiting says how many messages wait.
func waiting(n int64) string {
	if n == 1 {
		return "1 message waits"
	}
	return plural(n, "message") + " wait"
}

func (h *healthCommand) say(w io.Writer, v *verdict) error {
	if h.JSON {
		return printJSON(w, v)
	}
	why := fmt.Sprintf("%s, %s, %s", plural(int64(v.Nodes), "node"), plural(int64(v.Topics), "topic"), waiting(v.Depth))
	if len(v.Why) > 0 {
		why = strings.Join(v.Why, ", ")
	}
	_, err := fmt.Fprintf(w, "Q %s: %s | nodes=%d topics=%d depth=%d clients=%d\n", v.State, why, v.Nodes, v.Topics, v.Depth, v.Clients)
	return err
}
