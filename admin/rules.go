package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
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

// signs are what the rules see now.
func (c *cluster) signs() (signs []sign) {
	newest := c.newest()
	for _, n := range c.order {
		signs = append(signs, c.silence(n), c.illness(n), c.damage(n), c.registration(n, newest[n.kind()]), c.twinSign(n))
	}
	for _, l := range c.lookupds {
		signs = append(signs, l.silence(c.now), l.impossibleSign())
	}
	signs = c.hiddenSigns(signs)
	for _, l := range c.watch.open {
		if c.unheard(l) {
			signs = append(signs, sign{line: *l}) // nobody knows that it is over
		}
	}
	for _, t := range c.topics {
		if t.nodes == 0 {
			continue
		}
		for _, ch := range t.channels {
			if ch.nodes > 0 {
				signs = c.channelSigns(signs, t, ch)
			}
		}
		signs = c.topicSign(signs, t)
	}
	return signs
}

// unheard tells whether a line is about a topic or channel of which only nodes
// that are silent could tell.
func (c *cluster) unheard(l *line) bool {
	t := c.topics[l.Topic]
	if l.Topic == "" || t == nil {
		return false
	}
	ch := t.channels[l.Channel]
	return t.nodes == 0 && l.Channel == "" || ch != nil && ch.nodes == 0
}

func nodeLine(rule string, l level, n *node) line {
	return line{ID: rule + "/" + n.address, Level: l, Icon: string(l), Rule: rule, Node: n.id, Name: n.name, Value: unknown}
}

// silence: a node gives no answer.
func (c *cluster) silence(n *node) sign {
	l := nodeLine("silent", levelCrit, n)
	l.Text = noAnswer(n.silent, n.problem)
	if !n.silent.IsZero() {
		l.Value, l.Unit = figure(c.now.Sub(n.silent).Milliseconds()), "silent"
	}
	l.affected = float64(n.sums.depth)
	return sign{line: l, starts: n.missed >= missedPolls, ends: n.streak >= missedPolls, since: n.silent}
}

// noAnswer says since when and why there is none. Once there are answers again
// there is no why.
func noAnswer(since time.Time, problem string) string {
	text := "No answer"
	if !since.IsZero() {
		text += " since " + clock(since)
	}
	if problem != "" {
		text += ": " + problem
	}
	return text
}

// illness: a node says itself that it is not well.
func (c *cluster) illness(n *node) sign {
	l := nodeLine("unhealthy", levelCrit, n)
	l.Text = "Not healthy: " + n.health
	l.affected = float64(n.sums.depth)
	ill := n.health != "" && n.health != "OK"
	return sign{line: l, starts: ill, ends: !ill, after: healthyFor}
}

// registration: a node is missing at a directory, or behind others of its kind.
func (c *cluster) registration(n *node, newest string) sign {
	missing, of := c.missingAt(n)
	behind := parseVersion(n.version).less(parseVersion(newest)) && n.version != ""
	rule := "behind"
	var says []string
	l := nodeLine("missing_at_lookupd", levelWarn, n)
	if len(missing) > 0 {
		rule = "missing_at_lookupd"
		says = append(says, fmt.Sprintf("registered with %d of %s", of-len(missing), countOf(int64(of), "lookupd")))
		l.ValueText, l.Unit = fmt.Sprintf("%d of %d", of-len(missing), of), "lookupds"
	}
	if behind {
		says = append(says, fmt.Sprintf("version %s is behind %s", n.version, newest))
	}
	if len(says) > 0 {
		l.Text = capital(strings.Join(says, "; "))
	}
	l.Rule = rule
	// One that is silent is missing for that reason, and has a line for it.
	return sign{line: l, starts: len(says) > 0 && n.missed == 0, ends: len(says) == 0 || n.missed >= missedPolls}
}

// missingAt lists the directories that answer, or did until just now, but do not
// know n, once they had time to learn of it.
func (c *cluster) missingAt(n *node) (missing []string, of int) {
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

func channelLine(rule string, v level, t *topicTotal, ch *channelTotal) line {
	return line{ID: rule + "/" + ch.pair.topic + "/" + ch.pair.channel, Level: v, Icon: string(v), Rule: rule,
		Topic: ch.pair.topic, Channel: ch.pair.channel, Value: figure(ch.sums.depth), Unit: "waiting", affected: float64(ch.sums.depth)}
}

func isEphemeral(name string) bool { return strings.HasSuffix(name, "#ephemeral") }

// channelSigns looks at one channel. Most are well, and give none.
func (c *cluster) channelSigns(signs []sign, t *topicTotal, ch *channelTotal) []sign {
	now, tr, depth := c.now, &ch.trend, ch.sums.depth
	paused := ch.sums.paused > 0 || t.paused > 0
	tr.tell(now, &ch.sums, paused)

	open := func(rule string) bool { return c.watch.known[rule+"/"+ch.pair.topic+"/"+ch.pair.channel] != nil }
	if starts := !paused && depth > 0 && lasted(now, tr.alone, growsAlone) && lasted(now, tr.growing, growsAlone); starts || open("no_consumers") {
		l := channelLine("no_consumers", levelCrit, t, ch)
		if isEphemeral(t.name) || isEphemeral(ch.pair.channel) {
			l.Level, l.Icon = levelWarn, "warn"
		}
		l.Text = fmt.Sprintf("No consumers for %s%s", spell(now.Sub(tr.alone)), growth(tr, now, depth))
		signs = append(signs, sign{line: l, starts: starts, ends: ch.sums.consumers > 0 || depth == 0, since: tr.alone})
	}
	if starts := !paused && ch.sums.consumers > 0 && lasted(now, tr.growing, growsServed); starts || open("growing") {
		l := channelLine("growing", levelWarn, t, ch)
		l.Text = "Depth has stopped growing"
		if !tr.growing.IsZero() {
			l.Text = fmt.Sprintf("Depth grows by %s/s for %s", perSecond(tr.growth(now, depth)), spell(now.Sub(tr.growing)))
		}
		ends := depth == 0 || lasted(now, tr.shrinking, shrinksFor)
		signs = append(signs, sign{line: l, starts: starts, ends: ends, since: tr.growing})
	}
	timeouts, deliveries := tr.lastFiveMinutes()
	if starts := timeouts > lateShare*deliveries && timeouts >= 5*latePerMinute; starts || open("timeouts") {
		l := channelLine("timeouts", levelWarn, t, ch)
		l.Text = fmt.Sprintf("%s of deliveries timed out in the last 5 min", percent(timeouts, deliveries))
		l.Value, l.Unit, l.affected = figure(timeouts/5), "timed out", timeouts
		signs = append(signs, sign{line: l, starts: starts, ends: timeouts == 0 || lasted(now, tr.calm, calmFor)})
	}
	filling := depth > tr.pausedDepth
	if starts := ch.sums.paused > 0 && filling && lasted(now, tr.paused, pausedFor); starts || open("paused") {
		l := channelLine("paused", levelWarn, t, ch)
		signs = append(signs, c.pausedSign(l, ch.pair, tr, starts, ch.sums.paused == 0))
	}
	return signs
}

// topicSign: a topic is paused and fills.
func (c *cluster) topicSign(signs []sign, t *topicTotal) []sign {
	own := sums{depth: t.own.depth, consumers: t.sums.consumers}
	t.trend.tell(c.now, &own, t.paused > 0)
	tr := &t.trend
	starts := t.paused > 0 && own.depth > tr.pausedDepth && lasted(c.now, tr.paused, pausedFor)
	if !starts && c.watch.known["paused/"+t.name+"/"] == nil {
		return signs
	}
	l := line{ID: "paused/" + t.name + "/", Level: levelWarn, Rule: "paused", Topic: t.name, Value: figure(own.depth), Unit: "waiting", affected: float64(own.depth)}
	return append(signs, c.pausedSign(l, pair{topic: t.name}, tr, starts, t.paused == 0))
}

func (c *cluster) pausedSign(l line, p pair, tr *trend, starts, ends bool) sign {
	l.Icon = "pause"
	by := ""
	if user := c.pausedBy(p); user != "" {
		by = " by " + user
	}
	l.Text = fmt.Sprintf("Paused for %s%s, still filling", spell(c.now.Sub(cmp.Or(tr.paused, c.now))), by)
	return sign{line: l, starts: starts, ends: ends, since: tr.paused}
}

// growth is the second half of a sentence.
func growth(tr *trend, now time.Time, depth int64) string {
	if rate := tr.growth(now, depth); rate > 0 {
		return fmt.Sprintf(", and depth grows by %s/s", perSecond(rate))
	}
	return ""
}

// silence: a directory gives no answer.
func (l *lookupd) silence(now time.Time) sign {
	at := line{ID: "lookupd_silent/" + l.address, Level: levelCrit, Icon: "crit", Rule: "lookupd_silent", Lookupd: l.address, Name: l.address,
		Text: noAnswer(l.silent, l.problem), Value: unknown}
	if !l.silent.IsZero() {
		at.Value, at.Unit = figure(now.Sub(l.silent).Milliseconds()), "silent"
	}
	return sign{line: at, starts: l.missed >= missedPolls, ends: l.streak >= missedPolls, since: l.silent}
}

// levelOf is the worst open line about something.
func (w *watch) levelOf(is func(*line) bool) level {
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
func (w *watch) levels() map[pair]level {
	worst := make(map[pair]level)
	for _, l := range w.open {
		if l.Topic == "" {
			continue
		}
		for _, p := range []pair{{l.Topic, ""}, {l.Topic, l.Channel}} {
			if rank(l.Level) > rank(cmp.Or(worst[p], levelOK)) {
				worst[p] = l.Level
			}
		}
	}
	return worst
}

// sortedNames are the keys of a map, in order.
func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
