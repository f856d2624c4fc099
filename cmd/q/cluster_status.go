package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// clusterStatus is q cluster status.
type clusterStatus struct {
	JSON bool `name:"json" help:"Print JSON."`
	reach
}

// Help has the exit codes.
func (*clusterStatus) Help() string {
	return `Any member tells of all. The exit code says how it is, as that of q health does: 0 OK, 1 WARNING (all works, and less may fail than should be able to), 2 CRITICAL (something does not work), 3 UNKNOWN (no member answers).

` + examples(
		"as any member knows it", `q cluster status --http-addr=qd1.example:4151`,
		"of all sets that a directory knows", `q cluster status --lookupd=lookup1.example:4161`,
	)
}

// setState is a set as it is printed.
type setState struct {
	State    string       `json:"state"`
	Cluster  string       `json:"cluster"`
	Number   int          `json:"number"`
	Level    uint32       `json:"level"`
	Problems []problem    `json:"problems"`
	Views    []memberView `json:"views"` // as each member tells
}

// Run says how the sets are. Its exit code is that of the one that is worst.
func (s *clusterStatus) Run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := s.open()
	if err != nil {
		return err
	}
	defer cl.close()
	sets, err := cl.sets(ctx)
	if err != nil {
		fmt.Fprintf(c.err, "q: %v\n", err)
		return unwell(healthUnknown)
	}
	worst := healthOK
	for i, set := range sets {
		problems := set.judge()
		level := levelOf(problems)
		worst = max(worst, level)
		best := set.best()
		st := setState{healthWords[level], best.Cluster, best.Number, best.Level, problems, set.views}
		if s.JSON {
			if err := printJSON(c.out, st); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		set.sayState(c.out, &st)
	}
	if worst != healthOK {
		return unwell(worst)
	}
	return nil
}

// sayState prints a set's state for people.
func (s *replicaSet) sayState(w io.Writer, st *setState) {
	if st.Cluster == "" {
		fmt.Fprintf(w, "%s: no set yet\n", st.State)
	} else {
		fmt.Fprintf(w, "%s: set %s, number %d in ids of messages, %s, feature level %d\n", st.State, st.Cluster, st.Number, plural(int64(len(s.best().Members)), "member"), st.Level)
	}
	for _, p := range st.Problems {
		fmt.Fprintf(w, "- %s\n", printable(p.What))
		if p.Do != "" {
			fmt.Fprintf(w, "  %s\n", printable(p.Do))
		}
	}
	fmt.Fprintln(w)
	s.printMembers(w)
	if b := s.best().Begun; b != nil {
		whose := "a backup of set " + b.From
		if b.Member != "" {
			whose = fmt.Sprintf("what member %s of set %s had", b.Member, b.From)
		}
		fmt.Fprintf(w, "\nThe set began by %s at %s, from %s.\n", b.How, time.Unix(b.Time, 0).UTC().Format(time.RFC3339), whose)
		if b.Lost != "" {
			fmt.Fprintf(w, "Not all of that could be read: %s.\n", printable(b.Lost))
		}
	}
	if expected := s.best().Expected; len(expected) > 0 {
		fmt.Fprintf(w, "\nExpected, and not there yet: a node at %s.\n", english(expected))
	}
}

// clusterMembers is q cluster members.
type clusterMembers struct {
	setListing
}

// clusterShards is q cluster shards.
type clusterShards struct {
	setListing
}

// Help explains the columns.
func (*clusterShards) Help() string {
	return `Topics fall into shards by their names; shard 0 keeps who the members are. LEADER serves the shard now, TURN is the member that should: turns are spread over all members, and a set moves a leadership to where its turn is by itself, one after the other within a minute. TERM counts elections, COMMITTED is the number of the last entry that a majority has, LAG how many entries the one lacks that is furthest behind.

STATE is ok; moved, by q cluster move, until q cluster balance; to be moved, as after a start or a failure; ADDRESS is not there, which is the member whose turn it is; no leader; or what is wrong.`
}

// isThere tells whether a member is connected to who knows most of the set, or tells itself.
func (s *replicaSet) isThere(m *memberStatus) bool {
	return m.Connected || slices.ContainsFunc(s.views, func(v memberView) bool { return v.Member == m.Member })
}

// setListing is what commands have that list something of sets.
type setListing struct {
	JSON bool `name:"json" help:"Print JSON, an object a line."`
	reach
}

func (l *setListing) list(c console, rows func(*replicaSet) []any, table func(*replicaSet, io.Writer)) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := l.open()
	if err != nil {
		return err
	}
	defer cl.close()
	sets, err := cl.sets(ctx)
	if err != nil {
		return err
	}
	for i, set := range sets {
		if l.JSON {
			for _, r := range rows(set) {
				if err := printJSON(c.out, r); err != nil {
					return err
				}
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		table(set, c.out)
	}
	return nil
}

// Run lists members.
func (l *clusterMembers) Run(c console) error {
	return l.list(c, func(s *replicaSet) (list []any) {
		for _, r := range s.memberRows() {
			list = append(list, r)
		}
		return list
	}, (*replicaSet).printMembers)
}

// Run lists shards.
func (l *clusterShards) Run(c console) error {
	return l.list(c, func(s *replicaSet) (list []any) {
		for _, r := range s.shardRows() {
			list = append(list, r)
		}
		return list
	}, func(s *replicaSet, w io.Writer) {
		var rows [][]any
		for _, r := range s.shardRows() {
			rows = append(rows, []any{int64(r.Shard), orNobody(r.Leader), r.Turn, int64(r.Term), int64(r.Commit), int64(r.Lag), r.State})
		}
		printTable(w, []string{"SHARD", "LEADER", "TURN", "TERM", "COMMITTED", "LAG", "STATE"}, rows)
	})
}

// memberRow is a member as it is listed.
type memberRow struct {
	Address string `json:"address"`
	Member  string `json:"member"`
	State   string `json:"state"`
	Version string `json:"version"`
	Leads   int64  `json:"leads"` // shards
	Lag     int64  `json:"lag"`   // entries, in the shard where it is most
	RTT     int64  `json:"rtt_us"`
	Skew    int64  `json:"skew_ms"`
	Cluster string `json:"cluster"`
}

// memberRows are the members, and who waits to be one.
func (s *replicaSet) memberRows() (rows []memberRow) {
	best := s.best()
	for _, m := range best.Members {
		r := memberRow{Address: m.Address, Member: m.Member, State: s.stateOf(&m), Version: m.Version, RTT: m.RTT, Skew: m.Skew, Cluster: best.Cluster}
		for _, sh := range best.Shards {
			if s.leader(uint64(sh.Shard)) == m.Address && !m.Joining {
				r.Leads++
			}
			r.Lag = max(r.Lag, s.lagOf(m.Address, uint64(sh.Shard)))
		}
		rows = append(rows, r)
	}
	for _, v := range s.views {
		if !slices.ContainsFunc(rows, func(r memberRow) bool { return r.Member == v.Member }) {
			rows = append(rows, memberRow{Address: v.Address, Member: v.Member, State: v.State, Version: v.Version, Cluster: v.Cluster})
		}
	}
	return rows
}

// stateOf is how a member is, in a word or two.
func (s *replicaSet) stateOf(m *memberStatus) string {
	switch {
	case m.Leaving:
		return "leaving"
	case m.Joining:
		return "joining"
	}
	for _, v := range s.views {
		if v.Member == m.Member {
			return v.State
		}
	}
	if m.Connected {
		return "connected"
	}
	return "not connected"
}

// lagOf is how many entries of a shard a member lacks, as the leader knows it.
func (s *replicaSet) lagOf(address string, shard uint64) int64 {
	for _, f := range s.shard(shard).Followers {
		if f.Address == address {
			return int64(f.Lag)
		}
	}
	return 0
}

func (s *replicaSet) printMembers(w io.Writer) {
	var rows [][]any
	for _, r := range s.memberRows() {
		rtt, clock := "-", "-" // not measured: of who tells it, and of who is not there
		if r.RTT > 0 {
			rtt, clock = (time.Duration(r.RTT) * time.Microsecond).String(), (time.Duration(r.Skew) * time.Millisecond).String()
		}
		member := r.Member
		if strings.Trim(member, "0") == "" {
			member = "-" // nobody has been there
		}
		rows = append(rows, []any{r.Address, member, r.State, r.Version, r.Leads, r.Lag, rtt, clock})
	}
	printTable(w, []string{"ADDRESS", "MEMBER", "STATE", "VERSION", "LEADS", "LAG", "RTT", "CLOCK"}, rows)
}

// shardRow is a shard as it is listed.
type shardRow struct {
	Shard     uint32 `json:"shard"`
	Leader    string `json:"leader"` // empty: none is known
	Turn      string `json:"turn"`
	Preferred bool   `json:"preferred"`
	Term      uint64 `json:"term"`
	Commit    uint64 `json:"commit"`
	Lag       int64  `json:"lag"` // entries that the one lacks that is furthest behind
	State     string `json:"state"`
	Cluster   string `json:"cluster"`
}

func (s *replicaSet) shardRows() (rows []shardRow) {
	for _, known := range s.best().Shards {
		sh := s.shard(uint64(known.Shard))
		r := shardRow{Shard: known.Shard, Leader: sh.Leader, Turn: known.Turn, Preferred: known.Preferred, Term: sh.Term, Commit: sh.Commit, State: "ok", Cluster: s.best().Cluster}
		for _, f := range sh.Followers {
			r.Lag = max(r.Lag, int64(f.Lag))
		}
		switch {
		case sh.Leader == "":
			r.State = "no leader"
		case sh.Failure != "":
			r.State = sh.Failure
		case known.Preferred:
			r.State = "moved"
		case sh.Leader != known.Turn:
			r.State = "to be moved"
			if m := s.memberAt(known.Turn); m != nil && !s.isThere(m) {
				r.State = known.Turn + " is not there"
			}
		}
		rows = append(rows, r)
	}
	return rows
}
