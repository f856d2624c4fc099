package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"qmq/broker"
	"qmq/internal/vfs"
	"qmq/raftlog"
	"qmq/replica"
	shardentry "qmq/replica/entry"
	"qmq/replica/machine"
)

// Check looks at what a data directory at rest has of a set, and changes nothing: who the
// member is and who the others are, the node's log, the checkpoints of all shards, and
// every record of every replicated topic's log up to where its shard's checkpoint has it.
// What is behind that a start takes away and applies again, from the node's log: torn or
// not, it is nothing amiss. What is missing is told by what the entries in the log finish.
// It is part of a broker.Check, which keeps processes from the directory meanwhile; of a
// node that is in no set it finds nothing. The error is one of the file system, or that a
// newer version wrote the directory.
func Check(fsys vfs.FS, dir string) (broker.Checked, error) {
	c := &check{fs: vfs.ReadOnly(fsys), file: identityFile{fs: vfs.ReadOnly(fsys), dir: filepath.Join(dir, "raft")}, dir: dir}
	err := c.run()
	if c.log != nil {
		c.log.Close()
	}
	return c.out, err
}

// check is a Check under way.
type check struct {
	fs   vfs.FS
	dir  string
	file identityFile
	log  *raftlog.Reading // nil: there is none, or none that can be relied on
	out  broker.Checked
}

// anew is what the node does where its member may have forgotten something.
const anew = "the node will set aside what it has of the set, and join it anew with what the other members have"

func (c *check) run() error {
	i, err := c.identity()
	if err != nil {
		return err
	}
	if err := c.readLog(i); err != nil {
		return err
	}
	if i != nil && (i.Former != nil || i.Renewing != nil) {
		return nil // what is left may be half of it
	}
	if err := c.members(); err != nil {
		return err
	}
	for n := uint32(1); n <= Shards; n++ {
		if err := c.shard(n); err != nil {
			return err
		}
	}
	return c.strangers()
}

func (c *check) report(f broker.CheckedFinding) { c.out.Findings = append(c.out.Findings, f) }

// ofFileSystem tells what kept from reading a file from what is wrong with it.
func ofFileSystem(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

// identity looks at who the member is.
func (c *check) identity() (*identity, error) {
	f := broker.CheckedFinding{Kind: broker.DamagedMember, Path: c.file.path()}
	i, err := c.file.load()
	switch {
	case err != nil && ofFileSystem(err):
		return nil, err
	case err != nil:
		f.Text = err.Error() + "."
	case i == nil:
		if _, err := c.fs.ReadDir(filepath.Join(c.file.dir, walName)); err != nil {
			return nil, nil // it is in no set
		}
		f.Text = "The file says which member of the set this node is, and is missing: " + anew + "."
	case i.Renewing != nil:
		f.Text = "A set was to begin anew from this directory, and that has not come to its end: the command has to be repeated first."
	case i.Former != nil:
		f.Text = fmt.Sprintf("The member takes no part in its set any more (%s): %s.", i.Former.Why, anew)
	default:
		return i, nil
	}
	c.report(f)
	return i, nil
}

// readLog looks at votes and entries. An end that is torn is nothing amiss.
func (c *check) readLog(i *identity) error {
	dir := filepath.Join(c.file.dir, walName)
	read, err := raftlog.Read(c.fs, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && read.New:
		if i != nil && i.Ran && i.Former == nil && i.Renewing == nil {
			c.report(broker.CheckedFinding{Kind: broker.DamagedRaftLog, Path: dir, Text: "Votes and entries are gone: " + anew + "."})
		}
	case err != nil:
		return err
	}
	if read == nil {
		return nil
	}
	if i != nil && i.Cluster != 0 && read.Files > 0 && (read.Node != uint64(i.Member) || read.Cluster != uint64(i.Cluster)) {
		c.report(broker.CheckedFinding{Kind: broker.DamagedRaftLog, Path: dir, Text: fmt.Sprintf(
			"The log is of member %s of set %s, and the node is member %s of set %s: it will not start.", show(id(read.Node)), show(id(read.Cluster)), show(i.Member), show(i.Cluster))})
	}
	for _, f := range read.Damaged {
		c.report(broker.CheckedFinding{Kind: broker.DamagedRaftLog, Path: f.Path, Text: fmt.Sprintf("At offset %d: %v; %s.", f.Offset, f.Err, anew)})
	}
	for _, f := range read.Flaws {
		c.report(broker.CheckedFinding{Kind: broker.DamagedRaftLog, Path: f.Path, Text: fmt.Sprintf("One of the two copies of the header: %v; the other one is good.", f.Err)})
	}
	if read.Doubt != "" {
		c.report(broker.CheckedFinding{Kind: broker.DamagedRaftLog, Path: dir, Text: read.Doubt + ": " + anew + "."})
	}
	if len(read.Damaged) > 0 {
		read.Close()
		return nil
	}
	c.log = read
	return nil
}

// members looks at who the members are: the checkpoint of shard 0, and its entries.
func (c *check) members() error {
	dir := filepath.Join(c.file.dir, "0")
	g, err := openGroup0(c.fs, dir, nil, func(*registry) {})
	switch {
	case err == nil:
		_, err = c.replay(0, g)
		return err
	case ofFileSystem(err):
		return err
	}
	c.report(broker.CheckedFinding{Kind: broker.DamagedMember, Path: filepath.Join(dir, group0Name), Text: err.Error() + "."})
	return nil
}

// shard looks at a shard: its checkpoints, the entries behind them, and the logs of its
// topics.
func (c *check) shard(n uint32) error {
	rest, err := machine.OpenAtRest(c.fs, c.dir, n)
	if err != nil {
		return fmt.Errorf("shard %d: %w", n, err)
	}
	index, _ := rest.Applied()
	all := false
	if !rest.None {
		if all, err = c.replay(n, rest.Raft()); err != nil {
			return err
		}
	}
	for _, d := range rest.Damaged {
		text := fmt.Sprintf("A checkpoint of shard %d: %v; the one before it, of entry %d, and the log say the same.", n, d.Err, index)
		if rest.None {
			text = fmt.Sprintf("A checkpoint of shard %d: %v. No other can be used: %s.", n, d.Err, anew)
		} else if !all {
			text = fmt.Sprintf("A checkpoint of shard %d: %v. The one before it is of entry %d.", n, d.Err, index)
		}
		c.report(broker.CheckedFinding{Kind: broker.DamagedCheckpoint, Shard: n, Path: d.Path, Text: text})
	}
	if err := rest.Check(func(l *machine.CheckedLog) { c.topic(n, l, all) }); err != nil {
		return err
	}
	unknown, err := rest.Unknown()
	for _, path := range unknown {
		c.report(broker.CheckedFinding{Kind: broker.UnknownDirectory, Shard: n, Path: path, Text: "The directory is of no topic that shard " + strconv.Itoa(int(n)) + " knows. It is kept, and not served."})
	}
	return err
}

// replay applies what the log has behind a shard's checkpoint. Without all of it, it is
// not known what else is finished; what the node does about that is told.
func (c *check) replay(n uint32, m replica.Machine) (all bool, err error) {
	if c.log == nil {
		return false, nil
	}
	index, _ := m.Applied()
	f := broker.CheckedFinding{Kind: broker.DamagedRaftLog, Shard: n, Path: filepath.Join(c.file.dir, walName)}
	err = replica.Replay(c.log.Shard(n), m)
	i := slices.IndexFunc(c.log.Shards, func(s raftlog.ShardReport) bool { return s.ID == n })
	switch {
	case errors.Is(err, shardentry.ErrUnknownEntry) || errors.Is(err, errUnknownEntry):
		return false, fmt.Errorf("shard %d: %w", n, err)
	case errors.Is(err, replica.ErrGap):
		f.Text = fmt.Sprintf("The log of shard %d does not go on where its checkpoint ends, at entry %d: %s.", n, index, anew)
	case err != nil:
		f.Text = fmt.Sprintf("Entries of shard %d cannot be applied: %v.", n, err)
	case i >= 0 && c.log.Shards[i].Commit > max(c.log.Shards[i].Last, index):
		f.Text = fmt.Sprintf("Entry %d of shard %d was committed, and the log ends at %d: %s.", c.log.Shards[i].Commit, n, c.log.Shards[i].Last, anew)
	default:
		if i >= 0 {
			c.out.Entries += max(c.log.Shards[i].Last, index) - index
		}
		return true, nil
	}
	c.report(f)
	return false, nil
}

// topic tells what was found of a topic; all says that what is finished is known.
func (c *check) topic(n uint32, l *machine.CheckedLog, all bool) {
	c.out.Topics = append(c.out.Topics, broker.CheckedTopic{
		Name: l.Name, Shard: n, Channels: l.Channels, Segments: l.Segments, Messages: l.Records, Bytes: l.Bytes, TornBytes: l.TornBytes,
	})
	for _, lf := range l.Findings {
		f := broker.CheckedFinding{
			Kind: broker.DamageKind(lf.Kind), Topic: l.Name, Shard: n, From: lf.Range.From, To: lf.Range.To, Messages: lf.Lost, Path: lf.Path,
		}
		if all && f.Messages > 0 {
			f.Messages = l.Wanted(lf.Range)
		}
		f.Text = fmt.Sprintf("%s: %v. %s", whatOfLog[f.Kind], lf.Err, willOf(&f))
		c.report(f)
	}
	if !all {
		return
	}
	for _, r := range l.Missing {
		f := broker.CheckedFinding{Kind: broker.MissingRecords, Topic: l.Name, Shard: n, From: r.From, To: r.To, Messages: r.Len(), Path: l.Dir}
		f.Text = whatOfLog[f.Kind] + ". " + willOf(&f)
		c.report(f)
	}
}

var whatOfLog = map[broker.DamageKind]string{
	broker.DamagedRecords:    "Messages are damaged on the disk",
	broker.UnreadableRecords: "Messages are where the disk cannot be read",
	broker.MissingRecords:    "Messages that the member ought to have are in no segment here",
	broker.DamagedHeader:     "The header of a segment is damaged",
	broker.MisplacedFile:     "A segment has the name of another",
	broker.ForeignFile:       "A file with the name of a segment cannot be told to be one of this topic",
	broker.Inconsistent:      "The log contradicts itself",
}

// willOf is what the node will do about something amiss with a replicated topic's log.
func willOf(f *broker.CheckedFinding) string {
	switch f.Kind {
	case broker.DamagedHeader, broker.MisplacedFile:
		return "The segment is served all the same."
	case broker.ForeignFile:
		return "It is left alone."
	case broker.Inconsistent:
		return "The records count."
	}
	if f.Messages == 0 {
		return "No channel needs them any more."
	}
	return "The node fetches them from the other members while it runs."
}

// strangers reports what is where shards have their logs and is of none.
func (c *check) strangers() error {
	dir := filepath.Join(c.dir, "replicated")
	entries, err := c.fs.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= 1 && n <= Shards && e.Name() == strconv.Itoa(n) {
			continue
		}
		c.report(broker.CheckedFinding{Kind: broker.UnknownDirectory, Path: filepath.Join(dir, e.Name()), Text: "It is of no shard. It is kept, and not served."})
	}
	return nil
}
