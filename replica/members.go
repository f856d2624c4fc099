package replica

import (
	"fmt"

	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// checkChange refuses a change of members that raft would panic on when it is
// applied.
func (c *core) checkChange(change *pb.ConfChangeV2) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrRefused, p)
		}
	}()
	for _, one := range change.GetChanges() {
		if one.GetNodeId() == 0 {
			return fmt.Errorf("%w: of member 0", ErrRefused)
		}
	}
	status := c.node.Status()
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(maxInFlight, maxInFlightBytes), LastIndex: c.last.index}
	changer.Tracker.Config = status.Config
	changer.Tracker.Progress = make(tracker.ProgressMap)
	for id, p := range status.Progress {
		changer.Tracker.Progress[id] = &p
	}
	if change.LeaveJoint() {
		_, _, err = changer.LeaveJoint()
	} else if auto, joint := change.EnterJoint(); joint {
		_, _, err = changer.EnterJoint(auto, change.Changes...)
	} else {
		_, _, err = changer.Simple(change.Changes...)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}
