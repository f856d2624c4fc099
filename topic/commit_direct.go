package topic

import "qmq/diskqueue"

// direct commits a group when it is written: it is in the kernel, and survives
// the end of the process. The log is synced behind the publishes.
type direct struct {
	appender
	background *backgroundSync // nil for a log in memory
}

func newDirect(log *diskqueue.Log, freeSpace func() bool, background *backgroundSync) *direct {
	return &direct{appender: appender{log: log, freeSpace: freeSpace}, background: background}
}

// Propose is part of Committer.
func (d *direct) Propose(g *Group, done func(diskqueue.Appended, error)) {
	added, err := d.append(g)
	done(added, err)
	if err == nil {
		d.background.wrote(int64(added.End - added.First))
	}
}

// Probe is part of Committer.
func (d *direct) Probe() error { return d.probe() }

// Close is part of Committer. It waits for the sync under way.
func (d *direct) Close() error {
	d.background.wait()
	return nil
}
