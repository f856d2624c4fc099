package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/journal"
	"qmq/state"
)

// ErrNoData means that a directory is none that a broker made.
var ErrNoData = errors.New("no data directory: there is neither a journal nor a topic in it")

// CheckOptions say which data directory Check looks at.
type CheckOptions struct {
	FS       vfs.FS
	DataPath string
	// BootID tells this boot of the machine from others; empty: unknown.
	BootID string
	// Set looks at what the directory has of a replicated set, and changes nothing; nil:
	// nobody does.
	Set func(fsys vfs.FS, dataPath string) (Checked, error)
}

// Checked is what Check found in a data directory.
type Checked struct {
	Topics   []CheckedTopic   `json:"topics"`   // by name, the replicated ones last, by shard
	Findings []CheckedFinding `json:"findings"` // those of the node first, then by topic
	// Entries are those of a set's log that a start applies again; Topics are without them.
	Entries uint64 `json:"entries,omitempty"`
}

// Amiss is how many findings there are that nobody acknowledged.
func (c *Checked) Amiss() (n int) {
	for _, f := range c.Findings {
		if !f.Acknowledged {
			n++
		}
	}
	return n
}

// CheckedTopic is a topic with what is in its log.
type CheckedTopic struct {
	Name     string   `json:"name"`
	Shard    uint32   `json:"shard,omitempty"` // of a replicated topic
	Channels []string `json:"channels"`
	Segments int      `json:"segments"`
	Messages uint64   `json:"messages"` // in its segments, owed or not
	Bytes    int64    `json:"bytes"`    // of its segments
	// TornBytes stand behind the ends of segments: what a write left that was cut
	// short. Nothing of it was answered OK.
	TornBytes int64 `json:"torn_bytes,omitempty"`
}

// CheckedFinding is something amiss in a data directory.
type CheckedFinding struct {
	Kind    DamageKind `json:"kind"`
	Topic   string     `json:"topic,omitempty"`
	Channel string     `json:"channel,omitempty"`
	Shard   uint32     `json:"shard,omitempty"` // of a replicated set
	// From and To (exclusive) are sequence numbers.
	From uint64 `json:"from,omitempty"`
	To   uint64 `json:"to,omitempty"`
	// Messages are those that are lost; of a replicated topic they are lost here, and the
	// other members have them.
	Messages uint64 `json:"messages,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"` // of the journal
	Path     string `json:"path,omitempty"`  // of the file or directory
	Text     string `json:"text"`
	// Acknowledged says that a node found it, and somebody acknowledged it there.
	Acknowledged bool `json:"acknowledged,omitempty"`

	id string // that of the Finding that a node would report; empty: it would report none
}

// Check looks at a data directory at rest, and changes nothing. It reads the
// journal, metadata.json and every record of every topic's log, has CheckOptions.Set look
// at what is of a replicated set, and holds them to what they promise, each by itself and
// all together. While it looks, no process can take the directory into use. The error wraps vfs.ErrLocked when
// one has it, and is else ErrNoData or what kept Check from looking.
func Check(o CheckOptions) (*Checked, error) {
	lock, err := o.FS.Lock(o.DataPath)
	if err != nil {
		return nil, err
	}
	c := &checkup{dataDir: dataDir{vfs.ReadOnly(o.FS), o.DataPath}, boot: o.BootID, out: &Checked{Topics: []CheckedTopic{}, Findings: []CheckedFinding{}}}
	if err = c.run(); err == nil && o.Set != nil {
		err = c.checkSet(o.Set)
	}
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, err
	}
	return c.out, nil
}

// checkup is a Check under way. It sees the state as the next start would: what
// a start would make again, or take for deleted, is so here.
type checkup struct {
	dataDir        // read-only
	boot    string // of the machine
	found   *journal.Found
	dirs    []topicDir
	made    map[uint64]bool // incarnations that the journal lost and a start makes again
	out     *Checked
}

func (c *checkup) run() error {
	if err := c.survey(); err != nil {
		return err
	}
	c.checkDirectories()
	byName := func(a, b *state.Topic) int { return strings.Compare(a.Name, b.Name) }
	for _, ts := range slices.SortedFunc(maps.Values(c.found.State.Topics), byName) {
		if err := c.checkTopic(ts); err != nil {
			return err
		}
	}
	return nil
}

// checkSet adds what is of a replicated set, behind what is of this node alone.
func (c *checkup) checkSet(look func(vfs.FS, string) (Checked, error)) error {
	of, err := look(c.fs, c.path)
	c.out.Topics, c.out.Findings = append(c.out.Topics, of.Topics...), append(c.out.Findings, of.Findings...)
	c.out.Entries = of.Entries
	return err
}

// survey reads what tells which topics there are, and reports what is amiss with
// that.
func (c *checkup) survey() (err error) {
	c.found, err = journal.Read(journal.Options{
		FS: c.fs, Dir: c.journal(), BootID: c.boot, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if c.dirs, err = c.topicDirs(); err != nil {
		return err
	}
	if c.found.Empty && len(c.dirs) == 0 {
		return c.noData()
	}
	for _, ts := range deletedByDirectory(c.found.State, c.dirs) {
		c.found.State.Apply(state.Entry{Op: state.DeleteTopic, Topic: ts.Incarnation})
	}
	metadata, missing := c.checkMetadata()
	c.checkJournal()
	c.reconstruct(&evidence{dirs: c.dirs, metadata: metadata, missing: missing, knows: c.known(), boot: c.boot})
	return nil
}

// noData is ErrNoData, and says what there is of a node all the same.
func (c *checkup) noData() error {
	entries, err := c.fs.ReadDir(c.path)
	if err != nil && !isNotExist(err) {
		return err
	}
	var there []string
	for _, e := range entries {
		if slices.Contains([]string{"raft", "replicated", metadataName, filepath.Base(c.damage())}, e.Name()) {
			there = append(there, e.Name())
		}
	}
	if len(there) == 0 {
		return fmt.Errorf("%s: %w", c.path, ErrNoData)
	}
	return fmt.Errorf("%s: %w; there is what else a node has: %s. Its journal is missing, unless q cluster restore has just made the directory: a start goes on with a new journal and no topics of its own",
		c.path, ErrNoData, strings.Join(there, ", "))
}

func (c *checkup) report(f CheckedFinding) { c.out.Findings = append(c.out.Findings, f) }

func (c *checkup) acknowledged(id string) bool { return c.found.State.Acknowledged[id] }

// known says which findings a node had that nobody acknowledged, or somebody did.
func (c *checkup) known() func(id string) bool {
	was, _ := c.readDamage() // a start does without it, too
	ids := make(map[string]bool)
	for _, f := range was.Findings {
		ids[f.ID] = true
	}
	return func(id string) bool { return ids[id] || c.acknowledged(id) }
}

// checkMetadata looks whether metadata.json tells of more than the journal does,
// whose end is missing then.
func (c *checkup) checkMetadata() (m metadataFile, missing error) {
	m, missing = c.readMetadata()
	path := filepath.Join(c.path, metadataName)
	switch {
	case missing == nil && m.tellsMore(c.found) && !c.found.Incomplete:
		c.found.Incomplete = true
		c.found.Damage = append(c.found.Damage, journal.Damage{Err: fmt.Errorf("its end is missing: %s tells of more than it does", path)})
	case missing != nil && !isNotExist(missing):
		c.report(CheckedFinding{
			Kind: DamagedMetadata, Path: path,
			Text: fmt.Sprintf("The file cannot be read: %v. A node writes it anew; it is needed only where the journal is damaged.", missing),
		})
	}
	return m, missing
}

// checkJournal reports what of the journal cannot be read, and what breaks the
// state's invariants.
func (c *checkup) checkJournal() {
	f, _ := c.journalFinding(c.found)
	for _, d := range c.found.Damage {
		text := fmt.Sprintf("A part of the journal cannot be read or is missing: %v.", d.Err)
		if d.Bytes > 0 {
			text = fmt.Sprintf("%d bytes at offset %d of the journal cannot be read: %v.", d.Bytes, d.Offset, d.Err)
		}
		c.report(CheckedFinding{
			Kind: DamagedJournal, Bytes: d.Bytes, Path: filepath.Join(c.journal(), d.File), Text: text,
			Acknowledged: c.acknowledged(f.ID), id: f.ID,
		})
	}
	for _, flaw := range c.found.State.Check() {
		c.report(c.flaw(flaw))
	}
}

// reconstruct adds what a start would make again, and reports it where that is
// not only what was lost with the power.
func (c *checkup) reconstruct(e *evidence) {
	r := e.reconstruct(c.found)
	if r == nil {
		return
	}
	c.made = r.made
	if !r.damaged {
		return
	}
	for _, f := range c.doubts(c.found.State, r.doubted) {
		c.report(CheckedFinding{Kind: f.Kind, Topic: f.Topic, Channel: f.Channel, Path: f.Path, Text: f.Text, Acknowledged: c.acknowledged(f.ID), id: f.ID})
	}
	for _, ts := range c.found.State.Topics {
		path := c.log(ts.Name, ts.Incarnation)
		if r.made[ts.Incarnation] {
			c.report(CheckedFinding{Kind: Reconstructed, Topic: ts.Name, Path: path, Text: reconstructedText(ts)})
		}
		for _, cs := range ts.Channels {
			if r.made[cs.Incarnation] {
				c.report(CheckedFinding{Kind: Reconstructed, Topic: ts.Name, Channel: cs.Name, Path: path, Text: reconstructedChannel})
			}
		}
	}
}

func (c *checkup) flaw(flaw state.Flaw) CheckedFinding {
	f := CheckedFinding{Kind: Inconsistent, Path: c.journal(), Text: "The journal contradicts itself: " + flaw.String() + "."}
	if ts := c.found.State.Topics[flaw.Topic]; ts != nil {
		f.Topic = ts.Name
		if cs := ts.Channels[flaw.Channel]; cs != nil {
			f.Channel = cs.Name
		}
	}
	return f
}

// checkDirectories reports the directories of topics that the journal does not
// know.
func (c *checkup) checkDirectories() {
	known := knownDirs(c.found.State)
	for _, d := range c.dirs {
		if known[d.base] || d.deleted || c.found.State.Deleted[d.incarnation] {
			continue // it is served, or removed by the next start
		}
		c.report(CheckedFinding{
			Kind: UnknownDirectory, Topic: d.name, Path: filepath.Join(c.topics(), d.base),
			Text: unknownText, Acknowledged: c.acknowledged(unknownID(d.base)), id: unknownID(d.base),
		})
	}
}

// checkTopic looks at a topic's log, and at what its channels say of it.
func (c *checkup) checkTopic(ts *state.Topic) error {
	expected := knownOf(ts, c.found.SameBoot, c.made[ts.Incarnation]).Expected
	dir := c.log(ts.Name, ts.Incarnation)
	log, err := diskqueue.Check(c.fs, diskqueue.CheckOptions{Dir: dir, Incarnation: ts.Incarnation, Expected: expected})
	if err != nil {
		return err
	}
	end := max(log.End, expected.KnownEnd) // of what is there, missing, or not wanted any more
	for _, lf := range log.Findings {
		end = max(end, lf.Range.To)
		f := logFinding(ts.Name, ts.Incarnation, lf)
		c.report(CheckedFinding{
			Kind: f.Kind, Topic: f.Topic, From: f.From, To: f.To, Messages: f.Messages, Path: f.Path, Text: f.Text,
			Acknowledged: c.acknowledged(f.ID), id: f.ID,
		})
	}
	t := CheckedTopic{
		Name: ts.Name, Channels: []string{}, Segments: log.Segments, Messages: log.Records, Bytes: log.Bytes, TornBytes: log.TornBytes,
	}
	for _, r := range expected.GivenUp {
		end = max(end, r.To)
	}
	byName := func(a, b *state.Channel) int { return strings.Compare(a.Name, b.Name) }
	for _, cs := range slices.SortedFunc(maps.Values(ts.Channels), byName) {
		t.Channels = append(t.Channels, cs.Name)
		if c.found.SameBoot {
			c.checkOpen(ts, cs, end, dir)
		}
	}
	c.out.Topics = append(c.out.Topics, t)
	return nil
}

// checkOpen reports the messages that were given to a channel and are not in the
// log, nor known to have been in it: what was given out was written, and that is
// gone only where the machine ended since then.
func (c *checkup) checkOpen(ts *state.Topic, cs *state.Channel, end uint64, dir string) {
	f := CheckedFinding{Kind: MissingRecords, Topic: ts.Name, Channel: cs.Name, Path: dir}
	for o := range cs.Open.All() {
		seq := o.Seq
		if seq < end {
			continue
		}
		if f.Messages++; f.Messages == 1 {
			f.From, f.To = seq, seq+1
		}
		f.From, f.To = min(f.From, seq), max(f.To, seq+1)
	}
	if f.Messages > 0 {
		f.Text = fmt.Sprintf("Messages were given to the channel that the log does not have: it ends before %d.", end)
		c.report(f)
	}
}
