package api

import (
	"maps"
	"slices"
	"strconv"

	"qmq/internal/histogram"
	"qmq/internal/metrics"
)

// SetFigures are those of a set of replicas, as a member sees it.
type SetFigures struct {
	CutOff, Low bool
	Pinned      int64                // bytes of the node's log that are kept for members or checkpoints
	Save        float64              // seconds that the last save took
	Saves       *histogram.Histogram // of the node's log
	Sent        map[string]uint64    // bytes for other members, by what they are
	// Bytes of replicated topics' logs that were read for damage, messages that were found
	// damaged so, and when all were read last, s since 1970; 0: never. How many messages that
	// were lost here other members gave, and how many they did not when they were asked last.
	Scrubbed, ScrubLost  uint64
	ScrubEnded           int64
	Mended, Unobtainable uint64
	Members              []MemberFigures
	Shards               []ShardFigures
}

// MemberFigures are those of a member of a set.
type MemberFigures struct {
	Address   string
	Connected bool
	RTT, Skew float64 // seconds; Skew is by how much its clock is ahead, at least
}

// ShardFigures are those of a shard on this node.
type ShardFigures struct {
	Shard              uint32
	Leader, HasLeader  bool
	Term, Applied, Lag uint64
	Refused            uint64  // messages of members that made no sense
	Stalled            float64 // seconds for which nothing could be applied
	// How often the node began to lead, and heard of another leader; what of publishes
	// came twice; and how many snapshots the node has taken.
	Elections, Changes, Repeated, Snapshots uint64
	Followers                               []FollowerFigures
}

// FollowerFigures are those of a member as the leader of a shard sees it.
type FollowerFigures struct {
	Address          string
	Lag              uint64
	Active, Snapshot bool
	Given            int64 // bytes of the snapshot, if there is one
}

var memberLabel, shardLabel, followerLabels = []string{"member"}, []string{"shard"}, []string{"member", "shard"}

func setFamily(name string, kind metrics.Kind, labels []string, help string) *metrics.Family {
	return &metrics.Family{Name: "qd_set_" + name, Kind: kind, Labels: labels, Help: help}
}

var (
	setCutOff    = setFamily("cut_off", metrics.Gauge, nil, "1 while the node has known no leader for 5 s")
	setLow       = setFamily("disk_low", metrics.Gauge, nil, "1 while there is little room on the disk for what is agreed on")
	setPinned    = setFamily("log_pinned_bytes", metrics.Gauge, nil, "Bytes of the node's raft log that are kept for members that are behind, or for the next checkpoint")
	setSave      = setFamily("log_last_save_seconds", metrics.Gauge, nil, "How long the last save of the raft log took")
	setSaves     = setFamily("log_save_seconds", metrics.Histogram, nil, "Saves to the raft log: a write for all that waits, and its sync with `--replica-sync=always`")
	setSent      = setFamily("sent_bytes_total", metrics.Counter, []string{"kind"}, "Bytes for other members: `log` (entries, votes, heartbeats), `publishes` (forwarded to leaders), `deliveries` (to consumers at other members, and their answers), `snapshots`")
	setConnected = setFamily("member_connected", metrics.Gauge, memberLabel, "1 while the node is connected to the member")
	setRTT       = setFamily("member_round_trip_seconds", metrics.Gauge, memberLabel, "Time to the member and back")
	setSkew      = setFamily("member_clock_skew_seconds", metrics.Gauge, memberLabel, "By how much the member's clock is ahead, at least")
	setLeader    = setFamily("shard_leader", metrics.Gauge, shardLabel, "1 while the node leads the shard")
	setHasLeader = setFamily("shard_has_leader", metrics.Gauge, shardLabel, "1 while the node knows who leads the shard")
	setTerm      = setFamily("shard_term", metrics.Gauge, shardLabel, "Term of the shard; it grows with each election")
	setApplied   = setFamily("shard_applied_entries_total", metrics.Counter, shardLabel, "Index of the last entry that was applied")
	setLag       = setFamily("shard_lag_entries", metrics.Gauge, shardLabel, "Entries that are agreed on and not applied here")
	setStalled   = setFamily("shard_stalled_seconds", metrics.Gauge, shardLabel, "For how long nothing could be applied; 0: it can")
	setRefused   = setFamily("shard_refused_messages_total", metrics.Counter, shardLabel, "Messages of members that made no sense")
	setElections = setFamily("shard_elections_total", metrics.Counter, shardLabel, "How often the node began to lead the shard")
	setChanges   = setFamily("shard_leader_changes_total", metrics.Counter, shardLabel, "How often the node heard of another leader of the shard, the first one included")
	setRepeated  = setFamily("shard_repeated_batches_total", metrics.Counter, shardLabel, "Batches of publishes that were sent twice, as after the loss of a leader, and counted once")
	setTaken     = setFamily("shard_snapshots_taken_total", metrics.Counter, shardLabel, "How often the leader brought this node all that it lacked")
	setBehind    = setFamily("follower_lag_entries", metrics.Gauge, followerLabels, "At the leader: entries that the member is not known to have")
	setActive    = setFamily("follower_active", metrics.Gauge, followerLabels, "At the leader: 1 while the member answers")
	setSnapshot  = setFamily("follower_snapshot", metrics.Gauge, followerLabels, "At the leader: 1 while the member is sent all there is")
	setGiven     = setFamily("follower_snapshot_bytes", metrics.Gauge, followerLabels, "At the leader: bytes that the member has been sent so, by now; 0: it is sent nothing")

	setScrubbed     = setFamily("scrubbed_bytes_total", metrics.Counter, nil, "Bytes of the logs of replicated topics that were read to find what the disk has lost (`--cluster-scrub-rate`)")
	setScrubLost    = setFamily("scrub_damaged_messages_total", metrics.Counter, nil, "Messages that were found to be damaged so; they are fetched from other members")
	setScrubEnded   = setFamily("scrub_last_end_seconds", metrics.Gauge, nil, "When all of them were read last, s since 1970; 0: not since the start")
	setMended       = setFamily("mended_messages_total", metrics.Counter, nil, "Messages that the disk had lost, and that other members gave")
	setUnobtainable = setFamily("unobtainable_messages", metrics.Gauge, nil, "Messages that the disk has lost, and that no other member gave when they were asked last: they wait")
)

// setFamilies are the above, in the order of the documentation.
var setFamilies = []*metrics.Family{
	setCutOff, setLow, setPinned, setSave, setSaves, setSent, setConnected, setRTT, setSkew, setLeader, setHasLeader, setTerm, setElections, setChanges,
	setApplied, setLag, setStalled, setRefused, setRepeated, setTaken, setBehind, setActive, setSnapshot, setGiven,
	setScrubbed, setScrubLost, setScrubEnded, setMended, setUnobtainable,
}

func fillSet(p *metrics.Page, s SetFigures) {
	p.AddTruth(setCutOff, s.CutOff, none)
	p.AddTruth(setLow, s.Low, none)
	p.Add(setPinned, float64(s.Pinned), none)
	p.Add(setSave, s.Save, none)
	var saves histogram.Snapshot
	s.Saves.AddTo(&saves)
	p.AddHistogram(setSaves, &saves, none)
	for _, kind := range slices.Sorted(maps.Keys(s.Sent)) {
		p.Add(setSent, float64(s.Sent[kind]), metrics.LabelsOf("kind", kind))
	}
	p.Add(setScrubbed, float64(s.Scrubbed), none)
	p.Add(setScrubLost, float64(s.ScrubLost), none)
	p.Add(setScrubEnded, float64(s.ScrubEnded), none)
	p.Add(setMended, float64(s.Mended), none)
	p.Add(setUnobtainable, float64(s.Unobtainable), none)
	for i := range s.Members {
		m := &s.Members[i]
		labels := metrics.LabelsOf("member", m.Address)
		p.AddTruth(setConnected, m.Connected, labels)
		p.Add(setRTT, m.RTT, labels)
		p.Add(setSkew, m.Skew, labels)
	}
	for i := range s.Shards {
		fillShard(p, &s.Shards[i])
	}
}

func fillShard(p *metrics.Page, s *ShardFigures) {
	shard := strconv.FormatUint(uint64(s.Shard), 10)
	labels := metrics.LabelsOf("shard", shard)
	p.AddTruth(setLeader, s.Leader, labels)
	p.AddTruth(setHasLeader, s.HasLeader, labels)
	p.Add(setTerm, float64(s.Term), labels)
	p.Add(setApplied, float64(s.Applied), labels)
	p.Add(setLag, float64(s.Lag), labels)
	p.Add(setStalled, s.Stalled, labels)
	p.Add(setRefused, float64(s.Refused), labels)
	p.Add(setElections, float64(s.Elections), labels)
	p.Add(setChanges, float64(s.Changes), labels)
	p.Add(setRepeated, float64(s.Repeated), labels)
	p.Add(setTaken, float64(s.Snapshots), labels)
	for i := range s.Followers {
		f := &s.Followers[i]
		labels := metrics.LabelsOf("member", f.Address, "shard", shard)
		p.Add(setBehind, float64(f.Lag), labels)
		p.AddTruth(setActive, f.Active, labels)
		p.AddTruth(setSnapshot, f.Snapshot, labels)
		p.Add(setGiven, float64(f.Given), labels)
	}
}
