package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	replicated "qmq/cluster"
	"qmq/internal/nodeclient"
)

// problem is what is wrong with a set, and what to do.
type problem struct {
	State string `json:"state"` // WARNING or CRITICAL
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
	level int
}

func levelOf(problems []problem) (level int) {
	for _, p := range problems {
		level = max(level, p.level)
	}
	return level
}

// What is worth a word: a clock that is off by more, a member that lacks more entries,
// a save that takes longer.
const (
	skewedMS  = 500
	laggingBy = 1024
	slowDisk  = 300_000 // us
)

// judge says what is wrong, the worst first.
func (s *replicaSet) judge() []problem {
	j := &judgement{s: s, best: s.best(), list: []problem{}}
	if s.isOutside() {
		j.add(healthCritical, "Ask another member how its set is, and stop this one.", "%s leaves its set, or has left it: it was removed or replaced, and knows nothing of the others any more", j.best.Address)
		return j.list
	}
	j.inNoSet()
	if j.best.Cluster != "" {
		j.majority()
		j.few()
		j.members()
		j.behind()
	}
	for i := range s.views {
		j.own(&s.views[i])
	}
	slices.SortStableFunc(j.list, func(a, b problem) int { return cmp.Compare(b.level, a.level) })
	return j.list
}

// isOutside tells whether nobody tells but a former member, which knows nothing of its set any more.
func (s *replicaSet) isOutside() bool {
	best := s.best()
	m := s.member(best.Member)
	return best.Cluster != "" && best.State == replicated.StateFailed && len(s.views) == 1 && (m == nil || m.Member != best.Member || m.Leaving)
}

// judgement is problems as they are found.
type judgement struct {
	s    *replicaSet
	best *memberView
	list []problem
}

func (j *judgement) add(level int, do, format string, args ...any) {
	j.list = append(j.list, problem{healthWords[level], fmt.Sprintf(format, args...), do, level})
}

// inNoSet is of nodes that wait to begin a set or to join one.
func (j *judgement) inNoSet() {
	level := healthWarning
	if j.best.Cluster == "" {
		level = healthCritical
	}
	for _, v := range j.s.views {
		if v.State == replicated.StateWaiting {
			j.add(level, "A set begins once all nodes of --cluster-peers are there. Where one is at work already, who takes a lost member's address joins it by itself, and who comes as one more, or at another address, after q cluster add or replace, asked of a member.", "%s is in no set: it waits for %s", v.Address, cmp.Or(v.Waiting, "the others"))
		}
	}
}

// majority is whether enough are there, and all shards have leaders.
func (j *judgement) majority() {
	voters, there := 0, 0
	for _, m := range j.best.Members {
		if m.Joining {
			continue
		}
		voters++
		if j.s.isThere(&m) {
			there++
		}
	}
	if 2*there <= voters {
		j.add(healthCritical, "Start the others. Only if their disks are lost for good: stop all, and use qd cluster force-new where the log is longest.",
			"no majority: %d of %d members are there, so nothing is published or finished", there, voters)
		return
	}
	var without []string
	for _, sh := range j.best.Shards {
		if j.s.leader(uint64(sh.Shard)) == "" {
			without = append(without, fmt.Sprint(sh.Shard))
		}
	}
	if len(without) > 0 {
		j.add(healthCritical, "An election takes less than a second: ask again. If it stays so, look at the members' connections to one another.", "without a leader: shard %s", strings.Join(without, ", "))
	}
}

// few is of a set that cannot lose a member.
func (j *judgement) few() {
	voters := 0
	for _, m := range j.best.Members {
		if !m.Joining {
			voters++
		}
	}
	if voters < 3 {
		j.add(healthWarning, "Start nodes with empty data directories at the other addresses of --cluster-peers; they join by themselves.", "%s with a vote: the loss of one stops the set", plural(int64(voters), "member"))
	}
}

// members is of those who are not there, come or go.
func (j *judgement) members() {
	for _, m := range j.best.Members {
		there := j.s.isThere(&m)
		replaced := slices.ContainsFunc(j.best.Members, func(o memberStatus) bool { return o.Replaces == m.Member })
		switch {
		case m.Leaving:
			j.add(healthWarning, "Nothing to do.", "%s is leaving the set", m.Address)
		case m.Joining && !there:
			j.add(healthWarning, "Start it, or take it back with q cluster remove.", "%s joins and is not connected: %s", m.Address, cmp.Or(nodeclient.FailureInWords(m.Failure), "it does not answer"))
		case m.Joining:
			j.add(healthWarning, "Nothing to do: it gets its vote when it has caught up.", "%s joins and has no vote yet", m.Address)
		case !there && !replaced:
			j.add(healthWarning, fmt.Sprintf("Start it. If its disk is lost, start it with an empty data directory: it takes its place by itself; at another address, q cluster replace %s ADDRESS first.", m.Address),
				"%s is not connected: %s", m.Address, cmp.Or(nodeclient.FailureInWords(m.Failure), "it does not answer"))
		}
		if m.Skew > skewedMS || m.Skew < -skewedMS {
			j.add(healthWarning, "Have the clocks set by the same source: deferred messages come early or late by that after a change of leader.", "the clock of %s is %d ms off that of %s", m.Address, m.Skew, j.best.Address)
		}
	}
}

// behind is of members that lack entries.
func (j *judgement) behind() {
	for _, m := range j.best.Members {
		var most int64
		shards, snapshot := 0, false
		for _, sh := range j.best.Shards {
			for _, f := range j.s.shard(uint64(sh.Shard)).Followers {
				if f.Address != m.Address || f.Learner || !f.Snapshot && f.Lag <= laggingBy || !f.Active {
					continue
				}
				shards, most, snapshot = shards+1, max(most, int64(f.Lag)), snapshot || f.Snapshot
			}
		}
		switch {
		case snapshot:
			j.add(healthWarning, "Nothing to do: it gets what it lacks.", "%s was away for long and gets the state of %s", m.Address, plural(int64(shards), "shard"))
		case shards > 0:
			j.add(healthWarning, "If it does not catch up, its disk or its network is too slow.", "%s lacks up to %d entries of %s", m.Address, most, plural(int64(shards), "shard"))
		}
	}
}

// isFormer tells whether a node is not among those whom another one, which knows more, calls the
// members.
func (j *judgement) isFormer(v *memberView) bool {
	return j.best.State == replicated.StateMember && v.Cluster == j.best.Cluster &&
		!slices.ContainsFunc(j.best.Members, func(m memberStatus) bool { return m.Member == v.Member })
}

// own is what a member says of itself.
func (j *judgement) own(v *memberView) {
	switch {
	case v.State == replicated.StateFailed && j.isFormer(v):
		j.add(healthWarning, "Stop it. Should it be a member again, q cluster add its address, and start it without its directories raft and replicated.", "%s is no member of the set any more and runs still: it serves no replicated topics", v.Address)
	case v.State == replicated.StateFailed:
		j.add(healthWarning, "Its log says more. When the reason is gone, start it again; with an empty data directory if what it has is damaged.", "%s takes no part, or not in all shards: %s", v.Address, v.Failure)
	case v.State == replicated.StateCutOff:
		j.add(healthCritical, "Look at its connections to the others, below.", "%s is cut off from its set and serves no clients: %s", v.Address, v.Failure)
	}
	held, stalled, why := 0, int64(0), ""
	for _, sh := range v.Shards {
		if sh.Held {
			held++
		}
		if sh.Stalled > stalled {
			stalled, why = sh.Stalled, sh.Failure
		}
	}
	if held > 0 {
		j.add(healthWarning, "Nothing to do: that takes ten seconds, or until a leader has brought it up to date.", "%s does not vote in %s yet: the end of its log was torn", v.Address, plural(int64(held), "shard"))
	}
	if stalled > 0 {
		j.add(healthWarning, "Make room on its disk: it goes on by itself.", "%s has applied nothing for %d ms: %s", v.Address, stalled, why)
	}
	if v.Disk.Oldest > slowDisk {
		j.add(healthWarning, "Look at its disk. Leaderships are moved away meanwhile.", "the disk of %s has not synced for %d ms", v.Address, v.Disk.Oldest/1000)
	}
}

// english is a list in words.
func english(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}
