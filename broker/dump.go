package broker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/message"
	"qmq/state"
)

// DumpOptions say which records Dump reads, and where.
type DumpOptions struct {
	// CheckOptions name a data directory, or the directory of one topic's log, such
	// as one that is kept because no journal knows it.
	CheckOptions
	Topics  []string // by name; empty: all of them
	Channel string   // read only what this channel has not finished; empty: all that is there
	// From and To (exclusive) bound the sequence numbers; 0: no bound.
	From, To uint64
}

// Dumped is a record of a log at rest. It is valid until the call ends that it was
// passed to.
type Dumped struct {
	Topic string
	message.View
	// Channels are those that have not finished the message, by name, as the journal
	// knows it; of a log that was read without a journal there are none.
	Channels []string
}

// Dump calls take with each good record of a data directory at rest that is asked
// for, topic by topic in the order of their names, and changes nothing. An error
// of take ends it and is returned. What is amiss with the records that were asked
// for, or keeps it from knowing which there are, is returned as findings.
//
// While it reads, no process can take the directory into use. The error wraps
// vfs.ErrLocked when one has it, and is else ErrNoData, that of take or what kept
// Dump from reading.
func Dump(o DumpOptions, take func(*Dumped) error) (findings []CheckedFinding, err error) {
	if o.To == 0 {
		o.To = math.MaxUint64
	}
	d := &dump{o: o, take: take}
	if of, ok := d.topicDir(); ok {
		if len(o.Topics) > 0 || o.Channel != "" {
			return nil, errors.New("the directory of one topic's log is read without the journal, which knows topics and channels")
		}
		err = d.alone(of)
	} else {
		err = d.all()
	}
	return d.findings, err
}

// dump is a Dump under way.
type dump struct {
	o        DumpOptions
	take     func(*Dumped) error
	findings []CheckedFinding
}

// topicDir tells whether it is the directory of a topic's log that is read.
func (d *dump) topicDir() (topicDir, bool) {
	path, err := filepath.Abs(d.o.DataPath)
	if err != nil {
		return topicDir{}, false
	}
	of := parseTopicDir(filepath.Base(path))
	_, err = d.o.FS.ReadDir(dataDir{path: path}.topics())
	return of, of.incarnation > 0 && isNotExist(err) // else it is a data directory with a strange name
}

// alone reads one log, whose name says which topic it is of. If it is in a data
// directory, that is locked.
func (d *dump) alone(of topicDir) error {
	path, err := filepath.Abs(d.o.DataPath)
	if err != nil {
		return err
	}
	if topics := filepath.Dir(path); topics == (dataDir{path: filepath.Dir(topics)}).topics() {
		lock, err := d.o.FS.Lock(filepath.Dir(topics))
		if err != nil {
			return err
		}
		defer lock.Close() // nothing was written through it
	}
	if _, err := d.o.FS.ReadDir(path); err != nil {
		return err
	}
	return d.log(of.name, of.incarnation, path, diskqueue.Expected{}, nil)
}

// all reads the topics of a data directory.
func (d *dump) all() error {
	lock, err := d.o.FS.Lock(d.o.DataPath)
	if err != nil {
		return err
	}
	defer lock.Close() // nothing was written through it
	c := &checkup{dataDir: dataDir{vfs.ReadOnly(d.o.FS), d.o.DataPath}, boot: d.o.BootID, out: new(Checked)}
	if err := c.survey(); err != nil {
		return err
	}
	d.findings = append(d.findings, c.out.Findings...)
	topics, err := d.chosen(c)
	if err != nil {
		return err
	}
	for _, ts := range topics {
		expected := knownOf(ts, c.found.SameBoot, c.made[ts.Incarnation]).Expected
		if err := d.log(ts.Name, ts.Incarnation, c.log(ts.Name, ts.Incarnation), expected, ts); err != nil {
			return err
		}
	}
	return nil
}

// chosen are the topics that are asked for, by name.
func (d *dump) chosen(c *checkup) (list []*state.Topic, err error) {
	byName := func(a, b *state.Topic) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Incarnation, b.Incarnation))
	}
	hasChannel := func(ts *state.Topic) bool {
		return d.o.Channel == "" || channelOf(ts, d.o.Channel) != nil
	}
	wanted := make(map[string]bool)
	for _, name := range d.o.Topics {
		wanted[name] = true
	}
	for _, ts := range slices.SortedFunc(maps.Values(c.found.State.Topics), byName) {
		switch {
		case len(d.o.Topics) > 0 && !wanted[ts.Name]:
			continue
		case hasChannel(ts):
			list = append(list, ts)
		case len(d.o.Topics) > 0:
			return nil, fmt.Errorf("topic %s has no channel %s", ts.Name, d.o.Channel)
		}
		delete(wanted, ts.Name)
	}
	if missing := slices.Sorted(maps.Keys(wanted)); len(missing) > 0 {
		return nil, fmt.Errorf("%s: there is no topic %s", c.path, strings.Join(missing, ", "))
	}
	if d.o.Channel != "" && len(list) == 0 {
		return nil, fmt.Errorf("%s: no topic has a channel %s", c.path, d.o.Channel)
	}
	return list, nil
}

func channelOf(ts *state.Topic, name string) *state.Channel {
	for _, cs := range ts.Channels {
		if cs.Name == name {
			return cs
		}
	}
	return nil
}

// log reads a topic's log; ts is nil where no journal knows it.
func (d *dump) log(name string, incarnation uint64, path string, expected diskqueue.Expected, ts *state.Topic) error {
	o := diskqueue.CheckOptions{Dir: path, Incarnation: incarnation, Expected: expected}
	var channels []*state.Channel
	if ts != nil {
		byName := func(a, b *state.Channel) int { return strings.Compare(a.Name, b.Name) }
		channels = slices.SortedFunc(maps.Values(ts.Channels), byName)
	}
	out := Dumped{Topic: name}
	found, err := diskqueue.Dump(d.o.FS, o, seqset.Range{From: d.o.From, To: d.o.To}, func(v message.View) error {
		out.View, out.Channels = v, out.Channels[:0]
		for _, cs := range channels {
			if owes(ts, cs, v.Seq) {
				out.Channels = append(out.Channels, cs.Name)
			}
		}
		if d.o.Channel != "" && !slices.Contains(out.Channels, d.o.Channel) {
			return nil
		}
		return d.take(&out)
	})
	for _, lf := range found {
		f := logFinding(name, incarnation, lf)
		d.findings = append(d.findings, CheckedFinding{Kind: f.Kind, Topic: f.Topic, From: f.From, To: f.To, Messages: f.Messages, Path: f.Path, Text: f.Text})
	}
	return err
}

// owes tells whether a channel has not finished a message yet, or is still to get
// it.
func owes(ts *state.Topic, cs *state.Channel, seq uint64) bool {
	void := seqset.Meets(ts.Voids, seqset.Range{From: seq, To: seq + 1})
	return !void && seq >= cs.Start && (cs.Acked == nil || !cs.Acked.Contains(seq))
}
