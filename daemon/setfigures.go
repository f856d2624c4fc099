package daemon

import (
	"qmq/api"
	"qmq/cluster"
)

// setFigures are what /metrics tells of a set.
func setFigures(st cluster.Status, c cluster.Counts) api.SetFigures {
	const us, ms = 1e-6, 1e-3
	f := api.SetFigures{CutOff: st.State == cluster.StateCutOff, Low: st.Disk.Low, Pinned: st.Log.Pinned, Save: float64(st.Disk.Save) * us, Saves: c.Saves, Sent: c.Sent}
	f.Scrubbed, f.ScrubLost, f.ScrubEnded, f.Mended, f.Unobtainable = c.Scrub.Bytes, c.Scrub.Lost, c.Scrub.Ended, c.Mended, c.Unobtainable
	for _, m := range st.Members {
		f.Members = append(f.Members, api.MemberFigures{Address: m.Address, Connected: m.Connected, RTT: float64(m.RTT) * us, Skew: float64(m.Skew) * ms})
	}
	for _, s := range st.Shards {
		shard := api.ShardFigures{
			Shard: s.Shard, Leader: s.Leader != "" && s.Leader == st.Address, HasLeader: s.Leader != "",
			Term: s.Term, Applied: s.Applied, Lag: s.Lag, Refused: s.Refused, Stalled: float64(s.Stalled) * ms,
		}
		of := c.Shards[s.Shard]
		shard.Elections, shard.Changes, shard.Repeated, shard.Snapshots = of.Elections, of.Changes, of.Repeated, of.Snapshots
		for _, w := range s.Followers {
			given := int64(0)
			for _, g := range c.Giving {
				if g.Shard == s.Shard && g.To == w.Address {
					given = g.Bytes
				}
			}
			shard.Followers = append(shard.Followers, api.FollowerFigures{Address: w.Address, Lag: w.Lag, Active: w.Active, Snapshot: w.Snapshot, Given: given})
		}
		f.Shards = append(f.Shards, shard)
	}
	return f
}
