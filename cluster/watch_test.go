package cluster

import (
	"testing"
	"time"

	"qmq/replica"
)

// A save that takes long is no sign of a disk that hangs while the process itself does not
// get the CPU; one that takes very long is.
func TestStarvedMemberDoesNotBlameItsDisk(t *testing.T) {
	slow := replica.Disk{Oldest: 400 * time.Millisecond, Waiting: time.Second}
	var p pulse
	now := time.Second
	for range 10 {
		p.look(now)
		now += watchEvery
	}
	if d := p.disk(now, slow); d != slow {
		t.Errorf("with all looks in time: %+v", d)
	}
	now += lateLook
	p.look(now)
	if d := p.disk(now, slow); d.Oldest != 0 || d.Waiting != slow.Waiting {
		t.Errorf("after a late look: %+v", d)
	}
	hung := replica.Disk{Oldest: surelyHangs}
	if d := p.disk(now, hung); d != hung {
		t.Errorf("after very long: %+v", d)
	}
	for range steadyAfter / watchEvery {
		now += watchEvery
		p.look(now)
	}
	if d := p.disk(now, slow); d != slow {
		t.Errorf("when looks are in time again: %+v", d)
	}
}
