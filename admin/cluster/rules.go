package cluster

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"qmq/admin/words"
	"qmq/internal/names"
	"qmq/internal/version"
)

// When lines start and end. Ends are slower than starts, so that lines do not
// flicker.
const (
	missedPolls   = 3
	healthyFor    = 30 * time.Second
	growsAlone    = 2 * time.Minute
	lateShare     = 0.02 // of deliveries
	latePerMinute = 10
	calmShare     = 0.01
	calmFor       = 5 * time.Minute
	pausedFor     = 10 * time.Minute
	missingPolls  = 3
	youngFor      = IdleInterval + 5*time.Second
)

// alertInputs are what the rules see now.
func (c *Cluster) alertInputs() (inputs []alertInput) {
	newest := c.newest()
	for _, n := range c.order {
		inputs = append(inputs, c.silentInput(n), c.unhealthyInput(n), c.damageInput(n), c.registrationInput(n, newest[n.kind()]), c.twinInput(n))
		inputs = c.diskInputs(inputs, n)
	}
	for _, l := range c.lookupds {
		inputs = append(inputs, l.silentInput(c.now), l.impossibleInput())
	}
	inputs = c.hiddenInputs(inputs)
	for _, id := range words.Sorted(c.sets) {
		inputs = c.sets[id].inputs(inputs, c.now)
	}
	watched := make(map[Pair]bool)
	for _, l := range c.alerts.open {
		watched[Pair{l.Topic, l.Channel}] = true
		if c.unheard(l) {
			inputs = append(inputs, alertInput{alert: *l}) // nobody knows that it is over
		}
	}
	for _, t := range c.topics {
		if t.nodes == 0 || t.unheard() {
			continue
		}
		for _, ch := range t.channels {
			if ch.nodes > 0 {
				inputs = c.channelInputs(inputs, t, ch, watched[ch.pair])
			}
		}
		inputs = c.topicInputs(inputs, t, watched[Pair{Topic: t.name}])
	}
	return inputs
}

// unheard tells whether a line is about a topic or channel of which only nodes
// that are silent could tell.
func (c *Cluster) unheard(l *Alert) bool {
	t := c.topics[l.Topic]
	if l.Topic == "" || t == nil {
		return false
	}
	ch := t.channels[l.Channel]
	return t.nodes == 0 && l.Channel == "" || ch != nil && ch.nodes == 0 || t.unheard()
}

func nodeAlert(rule string, l Level, n *node) Alert {
	return Alert{ID: rule + "/" + n.address, Level: l, Icon: string(l), Rule: rule, Node: n.id, Name: n.name, Value: unknown}
}

// silentInput: a node gives no answer. One that no directory lists any more, and
// that held nothing, may well have been taken away; of one that was drained before
// nobody is told.
func (c *Cluster) silentInput(n *node) alertInput {
	l := nodeAlert("silent", LevelCrit, n)
	l.Text = noAnswer(n.silent, n.problem)
	l.affected = float64(n.sums.held())
	quiet := c.left(n) && n.sums.held() == 0
	switch {
	case c.left(n):
		l.Level, l.Icon = LevelWarn, string(LevelWarn)
		l.Text = fmt.Sprintf("Left when it was drained, with %s that no consumer took. No answer since %s", words.Count(n.sums.held(), "message"), words.Time(n.silent))
	case c.retired(n):
		l.Level, l.Icon = LevelWarn, string(LevelWarn)
		l.Text = "Gone: no lookupd lists it any more, and it held no messages. No answer since " + words.Time(n.silent)
	case n.sums.held() > 0:
		l.Text += fmt.Sprintf("; it held %s", words.Count(n.sums.held(), "message"))
	}
	if !n.silent.IsZero() {
		l.Value, l.Unit = Figure(c.now.Sub(n.silent).Milliseconds()), "silent"
	}
	return alertInput{alert: l, starts: n.missed >= missedPolls && !quiet, ends: n.streak >= missedPolls || quiet, since: n.silent, past: silentPast(n.silent)}
}

// left tells whether a node that gives no answer was drained before, and is listed no
// more: it has left as it was meant to.
func (c *Cluster) left(n *node) bool {
	return n.draining && n.missed >= missedPolls && len(n.registered) == 0
}

// retired tells whether a node that gives no answer is missed by nobody.
func (c *Cluster) retired(n *node) bool {
	return !c.given && n.missed >= missedPolls && !n.at.IsZero() && len(n.registered) == 0 && n.sums.held() == 0
}

// silentPast is what is said when there are answers again, or nobody expects one
// any more.
func silentPast(since time.Time) string {
	return "Gave no answer from " + words.Time(since) + " on, for {d}"
}

// noAnswer says since when and why there is none.
func noAnswer(since time.Time, problem string) string {
	text := "No answer"
	if !since.IsZero() {
		text += " since " + words.Time(since)
	}
	if problem != "" {
		text += ": " + problem
	}
	return text
}

// unhealthyInput: a node says itself that it is not well.
func (c *Cluster) unhealthyInput(n *node) alertInput {
	l := nodeAlert("unhealthy", LevelCrit, n)
	l.Text = "Not healthy: " + n.health
	l.affected = float64(n.sums.depth)
	ill := n.health != "" && n.health != "OK"
	return alertInput{alert: l, starts: ill, ends: !ill, after: healthyFor, past: "Was not healthy for {d}: " + n.health}
}

// registrationInput: a node is missing at a directory, or behind others of its kind.
func (c *Cluster) registrationInput(n *node, newest string) alertInput {
	missing, of := c.missingAt(n)
	behind := version.Parse(n.version).Less(version.Parse(newest)) && n.version != ""
	rule := "behind"
	var says, was []string
	l := nodeAlert("missing_at_lookupd", LevelWarn, n)
	if len(missing) > 0 {
		rule = "missing_at_lookupd"
		says = append(says, fmt.Sprintf("registered with %d of %s", of-len(missing), words.Count(int64(of), "lookupd")))
		was = append(was, "was "+says[0])
		l.ValueText, l.Unit = fmt.Sprintf("%d of %d", of-len(missing), of), "lookupds"
	}
	if behind {
		says = append(says, fmt.Sprintf("version %s is behind %s", n.version, newest))
		was = append(was, fmt.Sprintf("version %s was behind %s", n.version, newest))
	}
	if len(says) > 0 {
		l.Text = words.Capital(strings.Join(says, "; "))
	}
	l.Rule = rule
	// One that is silent is missing for that reason, and has a line for it.
	return alertInput{alert: l, starts: len(says) > 0 && n.missed == 0, ends: len(says) == 0 || n.missed >= missedPolls,
		past: words.Capital(strings.Join(was, "; ")) + ", for {d}"}
}

// missingAt lists the directories that answer, or did until just now, but do not
// know n, once they had time to learn of it.
func (c *Cluster) missingAt(n *node) (missing []string, of int) {
	for _, l := range c.lookupds {
		if l.missed >= missedPolls || l.asked == 0 {
			continue
		}
		of++
		if !n.registered[l.address] && l.absent[n.address] >= missingPolls {
			missing = append(missing, l.address)
		}
	}
	return missing, of
}

func channelAlert(rule string, v Level, t *topicTotal, ch *channelTotal) Alert {
	return Alert{ID: rule + "/" + ch.pair.Topic + "/" + ch.pair.Channel, Level: v, Icon: string(v), Rule: rule,
		Topic: ch.pair.Topic, Channel: ch.pair.Channel, Value: Figure(ch.sums.depth), Unit: "waiting", affected: float64(ch.sums.depth)}
}

// channelInputs looks at one channel. Most are well, and give none. Watched ones have a
// line.
func (c *Cluster) channelInputs(inputs []alertInput, t *topicTotal, ch *channelTotal, watched bool) []alertInput {
	now, tr := c.now, &ch.trend
	paused := ch.sums.paused > 0 || t.paused > 0
	tr.tell(now, &ch.sums, paused, c.young())

	open := func(rule string) *Alert {
		if !watched {
			return nil
		}
		return c.alerts.known[rule+"/"+ch.pair.Topic+"/"+ch.pair.Channel]
	}
	if starts := !paused && ch.sums.depth > 0 && tr.alone.lasted(now, growsAlone) && tr.fills(); starts || open("no_consumers") != nil {
		inputs = append(inputs, c.noConsumersInput(t, ch, starts))
	}
	if starts := !paused && ch.sums.consumers > 0 && tr.grows(); starts || open("growing") != nil {
		inputs = append(inputs, c.growingInput(t, ch, starts, open("growing")))
	}
	timeouts, deliveries := tr.lastFiveMinutes()
	if starts := timeouts > lateShare*deliveries && timeouts >= 5*latePerMinute; starts || open("timeouts") != nil {
		inputs = append(inputs, c.timeoutsInput(t, ch, starts, timeouts, deliveries))
	}
	if starts := ch.sums.paused > 0 && tr.paused.lasted(now, pausedFor) && tr.fills(); starts || open("paused") != nil {
		inputs = append(inputs, c.pausedInput(channelAlert("paused", LevelWarn, t, ch), ch.pair, tr, starts, ch.sums.paused == 0))
	}
	return inputs
}

// noConsumersInput: a channel fills, and nobody takes anything.
func (c *Cluster) noConsumersInput(t *topicTotal, ch *channelTotal, starts bool) alertInput {
	tr := &ch.trend
	l := channelAlert("no_consumers", LevelCrit, t, ch)
	if names.IsEphemeral(t.name) || names.IsEphemeral(ch.pair.Channel) {
		l.Level, l.Icon = LevelWarn, "warn"
	}
	l.Text = fmt.Sprintf("No consumers%s for %s%s", ch.where(), tr.alone.length(c.now), fillText(tr))
	return alertInput{alert: l, starts: starts, ends: ch.sums.consumers > 0 || ch.sums.depth == 0, since: tr.alone.at,
		past: fmt.Sprintf("Had no consumers for {d}; up to %s waited", words.Count(ch.sums.depth, "message"))}
}

// where limits what is said to the nodes that answer, while others do not.
func (ch *channelTotal) where() string {
	if ch.silent > 0 {
		return " on the nodes that answer"
	}
	return ""
}

// growingInput: consumers do not keep up. Was is its line, nil if there is none yet.
func (c *Cluster) growingInput(t *topicTotal, ch *channelTotal, starts bool, was *Alert) alertInput {
	tr := &ch.trend
	since := c.now.Add(-tenMinutes * depthStep)
	if was != nil {
		since = was.since
	}
	l := channelAlert("growing", LevelWarn, t, ch)
	switch rate := tr.growRate(); {
	case !tr.knows(tenMinutes):
		l.Text = "Depth grew until other nodes answered; growth is measured anew"
	case rate > 0:
		l.Text = fmt.Sprintf("Depth grows by %s for %s", words.Rate(rate), words.Duration(c.now.Sub(since)))
	default:
		l.Text = "Depth has stopped growing"
	}
	return alertInput{alert: l, starts: starts, ends: ch.sums.depth == 0 || tr.calmedDown(), since: since,
		past: "Depth grew although there were consumers, for {d}"}
}

// timeoutsInput: many deliveries time out.
func (c *Cluster) timeoutsInput(t *topicTotal, ch *channelTotal, starts bool, timeouts, deliveries float64) alertInput {
	tr := &ch.trend
	l := channelAlert("timeouts", LevelWarn, t, ch)
	over := tr.timeoutTime()
	l.Text = fmt.Sprintf("%s of deliveries timed out in the last %s", words.Percent(timeouts, deliveries), words.Duration(over.Truncate(time.Second)))
	l.Value, l.Unit, l.affected = Figure(timeouts/over.Minutes()), "timed out", timeouts
	return alertInput{alert: l, starts: starts, ends: timeouts == 0 || lasted(c.now, tr.calm, calmFor),
		past: "Deliveries timed out for {d}"}
}

// topicInputs: a topic is paused and fills, or has nobody to give anything to. A watched
// one has a line.
func (c *Cluster) topicInputs(inputs []alertInput, t *topicTotal, watched bool) []alertInput {
	own := sums{depth: t.own.depth, consumers: t.sums.consumers}
	tr := &t.trend
	tr.tell(c.now, &own, t.paused > 0, c.young())
	if !watched && !tr.fills() {
		return inputs
	}
	l := Alert{ID: "paused/" + t.name + "/", Level: LevelWarn, Rule: "paused", Topic: t.name, Value: Figure(own.depth), Unit: "waiting", affected: float64(own.depth)}
	if starts := t.paused > 0 && tr.paused.lasted(c.now, pausedFor) && tr.fills(); starts || c.alerts.known[l.ID] != nil {
		inputs = append(inputs, c.pausedInput(l, Pair{Topic: t.name}, tr, starts, t.paused == 0))
	}
	l.ID, l.Icon, l.Rule = "no_channels/"+t.name, string(LevelWarn), "no_channels"
	if starts := t.paused == 0 && len(t.channels) == 0 && own.depth > 0 && tr.fills(); starts || c.alerts.known[l.ID] != nil {
		l.Text = fmt.Sprintf("No channel: %s for a first one%s", waits(own.depth), fillText(tr))
		inputs = append(inputs, alertInput{alert: l, starts: starts, ends: len(t.channels) > 0 || own.depth == 0,
			past: fmt.Sprintf("Had no channel for {d}; up to %s waited", words.Count(own.depth, "message"))})
	}
	return inputs
}

func waits(n int64) string {
	if n == 1 {
		return "1 message waits"
	}
	return words.Number(n) + " messages wait"
}

func (c *Cluster) pausedInput(l Alert, p Pair, tr *trend, starts, ends bool) alertInput {
	l.Icon = "pause"
	by := ""
	if user := c.pausedBy(p); user != "" {
		by = " by " + user
	}
	l.Text = fmt.Sprintf("Paused for %s%s", tr.paused.length(c.now), by)
	if tr.fills() {
		l.Text += ", still filling"
	}
	return alertInput{alert: l, starts: starts, ends: ends, since: tr.paused.at, past: "Was paused" + by + " for {d}, and filled"}
}

// fillText is the second half of a sentence.
func fillText(tr *trend) string {
	if rate := tr.fillRate(); rate > 0 {
		return fmt.Sprintf(", and depth grows by %s", words.Rate(rate))
	}
	return ""
}

// young tells whether qadmin has looked for so short that what it sees may have
// been so before: not all nodes have answered yet.
func (c *Cluster) young() bool { return c.now.Sub(c.began) <= youngFor }

// silentInput: a directory gives no answer.
func (l *lookupd) silentInput(now time.Time) alertInput {
	at := Alert{ID: "lookupd_silent/" + l.address, Level: LevelCrit, Icon: "crit", Rule: "lookupd_silent", Lookupd: l.address, Name: l.address,
		Text: noAnswer(l.silent, l.problem), Value: unknown}
	if !l.silent.IsZero() {
		at.Value, at.Unit = Figure(now.Sub(l.silent).Milliseconds()), "silent"
	}
	return alertInput{alert: at, starts: l.missed >= missedPolls, ends: l.streak >= missedPolls, since: l.silent, past: silentPast(l.silent)}
}

// levelOf is the worst open line about something.
func (w *alerts) levelOf(is func(*Alert) bool) Level {
	worst := levelOK
	for _, l := range w.open {
		if is(l) && rank(l.Level) > rank(worst) {
			worst = l.Level
		}
	}
	return worst
}

// levels are the worst open lines of channels and topics, by name; a topic's
// own has no channel.
func (w *alerts) levels() map[Pair]Level {
	worst := make(map[Pair]Level)
	for _, l := range w.open {
		if l.Topic == "" {
			continue
		}
		for _, p := range []Pair{{l.Topic, ""}, {l.Topic, l.Channel}} {
			if rank(l.Level) > rank(cmp.Or(worst[p], levelOK)) {
				worst[p] = l.Level
			}
		}
	}
	return worst
}
