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
	growsServed   = 10 * time.Minute
	shrinksFor    = 2 * time.Minute
	lateShare     = 0.02 // of deliveries
	latePerMinute = 10
	calmShare     = 0.01
	calmFor       = 5 * time.Minute
	pausedFor     = 10 * time.Minute
	missingPolls  = 3
)

// alertInputs are what the rules see now.
func (c *Cluster) alertInputs() (inputs []alertInput) {
	newest := c.newest()
	for _, n := range c.order {
		inputs = append(inputs, c.silentInput(n), c.unhealthyInput(n), c.damageInput(n), c.registrationInput(n, newest[n.kind()]), c.twinInput(n))
	}
	for _, l := range c.lookupds {
		inputs = append(inputs, l.silentInput(c.now), l.impossibleInput())
	}
	inputs = c.hiddenInputs(inputs)
	for _, l := range c.alerts.open {
		if c.unheard(l) {
			inputs = append(inputs, alertInput{alert: *l}) // nobody knows that it is over
		}
	}
	for _, t := range c.topics {
		if t.nodes == 0 {
			continue
		}
		for _, ch := range t.channels {
			if ch.nodes > 0 {
				inputs = c.channelInputs(inputs, t, ch)
			}
		}
		inputs = c.topicInput(inputs, t)
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
	return t.nodes == 0 && l.Channel == "" || ch != nil && ch.nodes == 0
}

func nodeAlert(rule string, l Level, n *node) Alert {
	return Alert{ID: rule + "/" + n.address, Level: l, Icon: string(l), Rule: rule, Node: n.id, Name: n.name, Value: unknown}
}

// silentInput: a node gives no answer.
func (c *Cluster) silentInput(n *node) alertInput {
	l := nodeAlert("silent", LevelCrit, n)
	l.Text = noAnswer(n.silent, n.problem)
	if !n.silent.IsZero() {
		l.Value, l.Unit = Figure(c.now.Sub(n.silent).Milliseconds()), "silent"
	}
	l.affected = float64(n.sums.depth)
	return alertInput{alert: l, starts: n.missed >= missedPolls, ends: n.streak >= missedPolls, since: n.silent}
}

// noAnswer says since when and why there is none. Once there are answers again
// there is no why.
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
	return alertInput{alert: l, starts: ill, ends: !ill, after: healthyFor}
}

// registrationInput: a node is missing at a directory, or behind others of its kind.
func (c *Cluster) registrationInput(n *node, newest string) alertInput {
	missing, of := c.missingAt(n)
	behind := version.Parse(n.version).Less(version.Parse(newest)) && n.version != ""
	rule := "behind"
	var says []string
	l := nodeAlert("missing_at_lookupd", levelWarn, n)
	if len(missing) > 0 {
		rule = "missing_at_lookupd"
		says = append(says, fmt.Sprintf("registered with %d of %s", of-len(missing), words.Count(int64(of), "lookupd")))
		l.ValueText, l.Unit = fmt.Sprintf("%d of %d", of-len(missing), of), "lookupds"
	}
	if behind {
		says = append(says, fmt.Sprintf("version %s is behind %s", n.version, newest))
	}
	if len(says) > 0 {
		l.Text = words.Capital(strings.Join(says, "; "))
	}
	l.Rule = rule
	// One that is silent is missing for that reason, and has a line for it.
	return alertInput{alert: l, starts: len(says) > 0 && n.missed == 0, ends: len(says) == 0 || n.missed >= missedPolls}
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

// channelInputs looks at one channel. Most are well, and give none.
func (c *Cluster) channelInputs(inputs []alertInput, t *topicTotal, ch *channelTotal) []alertInput {
	now, tr, depth := c.now, &ch.trend, ch.sums.depth
	paused := ch.sums.paused > 0 || t.paused > 0
	tr.tell(now, &ch.sums, paused)

	open := func(rule string) bool { return c.alerts.known[rule+"/"+ch.pair.Topic+"/"+ch.pair.Channel] != nil }
	if starts := !paused && depth > 0 && lasted(now, tr.alone, growsAlone) && lasted(now, tr.growing, growsAlone); starts || open("no_consumers") {
		l := channelAlert("no_consumers", LevelCrit, t, ch)
		if names.IsEphemeral(t.name) || names.IsEphemeral(ch.pair.Channel) {
			l.Level, l.Icon = levelWarn, "warn"
		}
		l.Text = fmt.Sprintf("No consumers for %s%s", words.Duration(now.Sub(tr.alone)), growth(tr, now, depth))
		inputs = append(inputs, alertInput{alert: l, starts: starts, ends: ch.sums.consumers > 0 || depth == 0, since: tr.alone})
	}
	if starts := !paused && ch.sums.consumers > 0 && lasted(now, tr.growing, growsServed); starts || open("growing") {
		l := channelAlert("growing", levelWarn, t, ch)
		l.Text = "Depth has stopped growing"
		if !tr.growing.IsZero() {
			l.Text = fmt.Sprintf("Depth grows by %s/s for %s", words.PerSecond(tr.growth(now, depth)), words.Duration(now.Sub(tr.growing)))
		}
		ends := depth == 0 || lasted(now, tr.shrinking, shrinksFor)
		inputs = append(inputs, alertInput{alert: l, starts: starts, ends: ends, since: tr.growing})
	}
	timeouts, deliveries := tr.lastFiveMinutes()
	if starts := timeouts > lateShare*deliveries && timeouts >= 5*latePerMinute; starts || open("timeouts") {
		l := channelAlert("timeouts", levelWarn, t, ch)
		l.Text = fmt.Sprintf("%s of deliveries timed out in the last 5 min", words.Percent(timeouts, deliveries))
		l.Value, l.Unit, l.affected = Figure(timeouts/5), "timed out", timeouts
		inputs = append(inputs, alertInput{alert: l, starts: starts, ends: timeouts == 0 || lasted(now, tr.calm, calmFor)})
	}
	filling := depth > tr.pausedDepth
	if starts := ch.sums.paused > 0 && filling && lasted(now, tr.paused, pausedFor); starts || open("paused") {
		l := channelAlert("paused", levelWarn, t, ch)
		inputs = append(inputs, c.pausedInput(l, ch.pair, tr, starts, ch.sums.paused == 0))
	}
	return inputs
}

// topicInput: a topic is paused and fills.
func (c *Cluster) topicInput(inputs []alertInput, t *topicTotal) []alertInput {
	own := sums{depth: t.own.depth, consumers: t.sums.consumers}
	t.trend.tell(c.now, &own, t.paused > 0)
	tr := &t.trend
	starts := t.paused > 0 && own.depth > tr.pausedDepth && lasted(c.now, tr.paused, pausedFor)
	if !starts && c.alerts.known["paused/"+t.name+"/"] == nil {
		return inputs
	}
	l := Alert{ID: "paused/" + t.name + "/", Level: levelWarn, Rule: "paused", Topic: t.name, Value: Figure(own.depth), Unit: "waiting", affected: float64(own.depth)}
	return append(inputs, c.pausedInput(l, Pair{Topic: t.name}, tr, starts, t.paused == 0))
}

func (c *Cluster) pausedInput(l Alert, p Pair, tr *trend, starts, ends bool) alertInput {
	l.Icon = "pause"
	by := ""
	if user := c.pausedBy(p); user != "" {
		by = " by " + user
	}
	l.Text = fmt.Sprintf("Paused for %s%s, still filling", words.Duration(c.now.Sub(cmp.Or(tr.paused, c.now))), by)
	return alertInput{alert: l, starts: starts, ends: ends, since: tr.paused}
}

// growth is the second half of a sentence.
func growth(tr *trend, now time.Time, depth int64) string {
	if rate := tr.growth(now, depth); rate > 0 {
		return fmt.Sprintf(", and depth grows by %s/s", words.PerSecond(rate))
	}
	return ""
}

// silentInput: a directory gives no answer.
func (l *lookupd) silentInput(now time.Time) alertInput {
	at := Alert{ID: "lookupd_silent/" + l.address, Level: LevelCrit, Icon: "crit", Rule: "lookupd_silent", Lookupd: l.address, Name: l.address,
		Text: noAnswer(l.silent, l.problem), Value: unknown}
	if !l.silent.IsZero() {
		at.Value, at.Unit = Figure(now.Sub(l.silent).Milliseconds()), "silent"
	}
	return alertInput{alert: at, starts: l.missed >= missedPolls, ends: l.streak >= missedPolls, since: l.silent}
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
