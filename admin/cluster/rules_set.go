package cluster

import (
	"cmp"
	"fmt"
	"time"

	"qmq/admin/words"
)

// When lines about sets start, get worse and end.
const (
	electionTime = 3 * time.Second // longer than any election that comes to something
	lateAfter    = 10 * time.Second
	lostAfter    = 2 * time.Minute
	steadyFor    = 10 * time.Second // before a line about a set ends
	stallLimit   = time.Second
	skewLimit    = 500 * time.Millisecond
	skewCalm     = skewLimit / 2
	forcedFor    = 24 * time.Hour
)

// inputs are what the rules see of a set.
func (s *replicaSet) inputs(inputs []alertInput, now time.Time) []alertInput {
	if s.id != "" {
		inputs = append(inputs, s.leaderlessInput(now), s.forcedInput(now))
	}
	for _, m := range s.members {
		inputs = append(inputs, s.copiesInput(m, now), s.barredInput(m, now), s.stallInput(m, now), s.joiningInput(m, now), s.waitingInput(m, now), s.clockInput(m))
	}
	return inputs
}

// name is that of the set for people.
func (s *replicaSet) name() string {
	if s.id == "" {
		return "no set yet"
	}
	return fmt.Sprintf("set %d", s.about.Number)
}

func (s *replicaSet) alert(rule string, l Level) Alert {
	return Alert{ID: rule + "/" + s.id, Level: l, Icon: string(l), Rule: rule, Set: cmp.Or(s.id, "none"), Name: words.Capital(s.name()), Value: unknown}
}

func (s *replicaSet) memberAlert(rule string, m *setMember, l Level) Alert {
	a := s.alert(rule, l)
	a.ID += "/" + m.key
	a.Name = m.name()
	if m.node != nil {
		a.Node = m.node.id
	}
	return a
}

// name is that of the member for people.
func (m *setMember) name() string {
	if m.node != nil {
		return m.node.name
	}
	return m.about.Address
}

// levelAfter is how bad it is that copies have been fewer for so long.
func levelAfter(d time.Duration) Level {
	if d >= lostAfter {
		return LevelCrit
	}
	return LevelWarn
}

// leaderlessInput: shards have no leader, so their topics stand still.
func (s *replicaSet) leaderlessInput(now time.Time) alertInput {
	l := s.alert("no_leader", LevelCrit)
	var longest *onset
	var shards []string
	topics := 0
	for _, sh := range s.shards {
		if !sh.alone.at.IsZero() {
			shards, topics = append(shards, fmt.Sprint(sh.about.Shard)), topics+sh.topics
			if longest == nil || sh.alone.at.Before(longest.at) {
				longest = &sh.alone
			}
		}
	}
	if longest == nil {
		return alertInput{alert: l, ends: len(s.shards) > 0, after: steadyFor, past: "Shards had no leader for {d}"}
	}
	who, verb := "Shards "+words.List(shards), "have"
	switch len(shards) {
	case 1:
		who, verb = "Shard "+shards[0], "has"
	case len(s.shards):
		who, verb = "All shards", "have"
	}
	since := fmt.Sprintf("%s had no leader for %s", verb, longest.length(now))
	if now.Sub(longest.at) < time.Second { // again: what was said before is not over yet
		since = verb + " no leader"
	}
	l.Text = fmt.Sprintf("%s %s: topics there stand still. %s", who, since, s.remedy())
	l.Value, l.Unit, l.affected = Figure(len(shards)), "shards", float64(len(shards))
	return alertInput{alert: l, starts: longest.lasted(now, electionTime), since: longest.at, past: who + " had no leader for {d}"}
}

// remedy is what brings a majority back.
func (s *replicaSet) remedy() string {
	var gone []string
	for _, m := range s.members {
		if !m.gone.at.IsZero() || m.own == nil && !m.outside {
			gone = append(gone, words.ShortName(m.name()))
		}
	}
	if len(gone) == 0 {
		return "A majority of the members must reach one another: see their logs"
	}
	return "Start " + words.List(gone) + ": a majority is needed"
}

// copiesInput: a member is gone or does not keep up, so what is published has one copy
// fewer.
func (s *replicaSet) copiesInput(m *setMember, now time.Time) alertInput {
	l := s.memberAlert("under_replicated", m, LevelWarn)
	since, past := m.behind, "Did not keep up for {d}"
	switch late := m.late(); {
	case !m.gone.at.IsZero():
		since, past = m.gone.at, "Was gone from its set for {d}"
		l.Text = "No member has reached it for " + m.gone.length(now)
		if m.failure != "" {
			l.Text += " (" + m.failure + ")"
		}
		l.Text += ": one copy fewer of everything. Start it; if its disk is lost, start it empty at the same address"
	case m.about.Joining:
		since = time.Time{} // it has a line of its own
	case late > 0:
		l.Text = fmt.Sprintf("Has not kept up in %s for %s: one copy fewer there. Look at its disk, processor and network",
			words.Count(int64(late), "shard"), words.Duration(now.Sub(m.behind)))
	}
	bad := !since.IsZero()
	if bad {
		l.Level = levelAfter(now.Sub(since))
		l.Icon = string(l.Level)
		l.ValueText, l.Unit = words.Duration(now.Sub(since)), "gone"
		if m.gone.at.IsZero() {
			l.ValueText, l.Unit = words.Number(int64(m.lag())), "entries behind"
		}
	}
	return alertInput{alert: l, starts: bad && now.Sub(since) >= lateAfter, ends: !bad && m.of > 0, after: steadyFor, since: since, past: past}
}

// late is in how many shards the member does not keep up.
func (m *setMember) late() (n int) {
	for i := range m.cells {
		if m.cells[i].Late {
			n++
		}
	}
	return n
}

// lag is how many entries the member is behind, in all shards.
func (m *setMember) lag() (entries uint64) {
	for i := range m.cells {
		entries += m.cells[i].Lag
	}
	return entries
}

func entries(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return words.Number(int64(n)) + " entries"
}

// barredInput: members do not let one another in, because settings differ, say. The text
// is the members', and says what to do.
func (s *replicaSet) barredInput(m *setMember, now time.Time) alertInput {
	l := s.memberAlert("refused", m, LevelWarn)
	barred := !m.barred.at.IsZero()
	if barred {
		l.Level = levelAfter(now.Sub(m.barred.at))
		l.Icon = string(l.Level)
		l.Text = words.Capital(m.refused)
	}
	return alertInput{alert: l, starts: m.barred.lasted(now, lateAfter), ends: !barred, after: steadyFor, since: m.barred.at, past: "Was not let in for {d}"}
}

// stallInput: a member's disk takes nothing.
func (s *replicaSet) stallInput(m *setMember, now time.Time) alertInput {
	l := s.memberAlert("wal_stalled", m, LevelWarn)
	if m.own == nil {
		return alertInput{alert: l, ends: m.of > 0, past: "Its disk stood still for {d}"}
	}
	save, wait, why := m.stalls()
	long := max(save, wait)
	switch {
	case wait >= save:
		l.Text = fmt.Sprintf("Nothing could be applied for %s: %s. Free space on its disk, or mend it", words.Duration(wait), why)
	default:
		l.Text = fmt.Sprintf("A save of its log has taken %s already: its disk hangs. Leaderships move away; look at the disk", words.Duration(save))
	}
	if long >= lateAfter {
		l.Level, l.Icon = LevelCrit, string(LevelCrit)
	}
	l.ValueText, l.Unit = words.Duration(long), "stalled"
	return alertInput{alert: l, starts: long >= stallLimit, ends: long < stallLimit, after: steadyFor, since: now.Add(-long), past: "Its disk stood still for {d}"}
}

// stalls is for how long the oldest save of a member's log has been under way, and for
// how long nothing could be applied, and why.
func (m *setMember) stalls() (save, wait time.Duration, why string) {
	d := &m.own.Disk
	save, wait, why = time.Duration(d.Oldest)*time.Microsecond, time.Duration(d.Waiting)*time.Microsecond, "its disk takes nothing"
	for i := range m.own.Shards {
		if sh := &m.own.Shards[i]; sh.Stalled > 0 && sh.Failure != "" {
			wait, why = max(wait, time.Duration(sh.Stalled)*time.Millisecond), sh.Failure
		}
	}
	return save, wait, why
}

// joiningInput: a member has no vote yet.
func (s *replicaSet) joiningInput(m *setMember, now time.Time) alertInput {
	l := s.memberAlert("joining", m, LevelWarn)
	joins := !m.joins.at.IsZero()
	if joins {
		l.Text = fmt.Sprintf("Joins its set for %s", m.joins.length(now))
		if m.about.Replaces != "" {
			l.Text += ", as what it had promised to keep is lost"
		}
		l.Text += fmt.Sprintf(": no vote until it has caught up, %s to go. Leave all members running", entries(m.lag()))
		l.Value, l.Unit = Figure(m.lag()), "entries behind"
	}
	return alertInput{alert: l, starts: m.joins.lasted(now, lateAfter), ends: !joins, since: m.joins.at, past: "Joined its set, in {d}"}
}

// waitingInput: a node is in no set though it was started to be in one.
func (s *replicaSet) waitingInput(m *setMember, now time.Time) alertInput {
	l := s.memberAlert("waiting", m, LevelWarn)
	waits := !m.waits.at.IsZero()
	if waits {
		l.Level = levelAfter(now.Sub(m.waits.at))
		l.Icon = string(l.Level)
		l.Text = "In no set for " + m.waits.length(now)
		switch {
		case m.own.Waiting != "":
			l.Text += ": waits for " + m.own.Waiting + ". Start that, or correct its --cluster-peers"
		case m.own.Failure != "":
			l.Text += ": " + m.own.Failure
		default:
			l.Text += ". See its log"
		}
	}
	return alertInput{alert: l, starts: m.waits.lasted(now, lateAfter), ends: !waits, since: m.waits.at, past: "Was in no set for {d}"}
}

// clockInput: a member's clock differs from those of most others. Of two, the one that is
// ahead has the line.
func (s *replicaSet) clockInput(m *setMember) alertInput {
	l := s.memberAlert("clock_skew", m, LevelWarn)
	size, way := m.skew, "ahead of"
	if m.skew < 0 {
		size, way = -m.skew, "behind"
	}
	l.Text = fmt.Sprintf("Its clock is at least %s ms %s the others': set it, with NTP say. With 10 s it is not let in", words.Number(size), way)
	l.Value, l.Unit = Figure(size), "ms"
	most := m.skewed*2 > m.of && (m.of > 1 || m.skew > 0)
	return alertInput{alert: l, starts: most && size > skewLimit.Milliseconds(), ends: size <= skewCalm.Milliseconds(), after: steadyFor, past: "Its clock differed for {d}"}
}

// forcedInput: somebody has made the set anew out of what was left of it.
func (s *replicaSet) forcedInput(now time.Time) alertInput {
	l := s.alert("forced", LevelWarn)
	at := time.UnixMilli(s.about.Forced)
	forced := s.about.Forced > 0 && now.Sub(at) < forcedFor
	l.Text = "Made anew with force-new at " + words.Time(at) + ": what only lost members had is gone. Wipe their disks before you start them"
	return alertInput{alert: l, starts: forced, ends: !forced, since: at, past: l.Text}
}
