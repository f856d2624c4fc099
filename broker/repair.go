package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"qmq/internal/vfs"
	"qmq/state"
)

// RepairOptions say what Repair does.
type RepairOptions struct {
	// Options are those of the broker that does what a start does. Directory and
	// Replicas are not used: nobody is told or asked of anything.
	Options
	// Adopt are directories of topics that the journal does not know, by name, each
	// with the topic that it becomes; empty: the one that its name tells.
	Adopt map[string]string
	// AdoptAll adopts all others too, as the topics that their names tell.
	AdoptAll bool
	// Acknowledge notes of what is found that somebody has seen it.
	Acknowledge bool
}

// Repaired is what Repair found and did.
type Repaired struct {
	Found    *Checked  `json:"found"`               // before
	Left     *Checked  `json:"left"`                // and afterwards
	SetAside []string  `json:"set_aside,omitempty"` // files that were damaged, by their new names
	Adopted  []Adopted `json:"adopted,omitempty"`
}

// Adopted is a directory of an unknown topic that was to be adopted.
type Adopted struct {
	Directory string `json:"directory"`
	Topic     string `json:"topic,omitempty"`
	Err       string `json:"error,omitempty"` // why it is not
}

// ErrMember means that a data directory is of a member of a replicated set, whose
// replicated topics only a node mends, with the others of the set.
var ErrMember = errors.New("it is of a member of a replicated set, which mends itself with the others when it starts")

// Repair checks a data directory at rest, does what a start of a node does to
// mend it, and checks it again. What the journal has lost is made again, as far
// as anything tells of it; bytes of damaged records are kept in files of their
// own; indexes and snapshots that are wrong are set aside, and made anew. Nothing
// that is damaged or unknown is removed; messages that are lost stay so. As at
// every start, what deletions left goes, and segments that nobody owes anything.
//
// The error wraps vfs.ErrLocked when a process has the directory in use, and is
// else ErrNoData, ErrMember or what kept Repair from its work, which may be done in part
// then, and can be done again.
func Repair(o RepairOptions) (*Repaired, error) {
	check := CheckOptions{FS: o.FS, DataPath: o.DataPath, BootID: o.BootID}
	found, err := Check(check)
	if err != nil {
		return nil, err
	}
	if _, err := o.FS.ReadDir(filepath.Join(o.DataPath, "raft", "wal")); !isNotExist(err) {
		return nil, errors.Join(ErrMember, err)
	}
	r := &Repaired{Found: found}
	if err := r.setAside(o.FS, o.DataPath); err != nil {
		return nil, err
	}
	o.Directory, o.Replicas = nobody{}, nil
	b, err := Open(o.Options)
	if err != nil {
		return nil, err
	}
	r.adopt(b, &o)
	if o.Acknowledge {
		err = r.acknowledge(b)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return nil, err
	}
	r.Left, err = Check(check)
	return r, err
}

// acknowledge notes of all that is known of that somebody has seen it: what the
// broker has found, and what only reading everything shows.
func (r *Repaired) acknowledge(b *Broker) error {
	if _, err := b.AcknowledgeDamage(math.MaxUint64); err != nil {
		return err
	}
	var entries []state.Entry
	for _, f := range r.Found.Findings {
		if f.id != "" && !f.Acknowledged {
			entries = append(entries, state.Entry{Op: state.AckDamage, Name: f.id})
		}
	}
	if err := b.journal.Commit(entries...); err != nil {
		return fmt.Errorf("not acknowledged: %w", err)
	}
	return nil
}

// nobody is a directory that never answers: topics that are still to learn their
// channels ask again when a node serves them.
type nobody struct{}

func (nobody) Register(string, uint64, string)   {}
func (nobody) Unregister(string, uint64, string) {}
func (nobody) TakingChanged()                    {}
func (nobody) Alone() bool                       { return false }
func (nobody) Elsewhere(context.Context, string) (map[string]bool, bool, error) {
	return nil, false, errors.New("nobody is asked")
}

// setAside gives files other names that are wrong and are made anew from what is
// right.
func (r *Repaired) setAside(fs vfs.FS, dataPath string) error {
	lock, err := fs.Lock(dataPath)
	if err != nil {
		return err
	}
	defer lock.Close() // nothing was written through it
	for _, f := range r.Found.Findings {
		isIndex := f.Kind == Inconsistent && strings.HasSuffix(f.Path, ".idx")
		if !isIndex && f.Kind != DamagedMetadata {
			continue
		}
		aside, err := freeName(fs, f.Path+asideSuffix)
		if err == nil {
			err = fs.Rename(f.Path, aside)
		}
		if isNotExist(err) {
			continue // another finding about it was first
		}
		if err == nil {
			err = fs.SyncDir(filepath.Dir(aside))
		}
		if err != nil {
			return fmt.Errorf("%s cannot be set aside: %w", f.Path, err)
		}
		r.SetAside = append(r.SetAside, aside)
	}
	return nil
}

// asideSuffix ends the names of files that were set aside. Nothing reads them.
const asideSuffix = ".aside"

// freeName is a name that no file has.
func freeName(fs vfs.FS, path string) (string, error) {
	entries, err := fs.ReadDir(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	taken := make(map[string]bool)
	for _, e := range entries {
		taken[e.Name()] = true
	}
	for n, name := 2, path; ; n++ {
		if !taken[filepath.Base(name)] {
			return name, nil
		}
		name = fmt.Sprintf("%s-%d", path, n)
	}
}

// adopt has the broker serve the directories that are to be adopted.
func (r *Repaired) adopt(b *Broker, o *RepairOptions) {
	wanted := make(map[string]string)
	if o.AdoptAll {
		for _, f := range r.Found.Findings {
			if f.Kind == UnknownDirectory {
				wanted[filepath.Base(f.Path)] = ""
			}
		}
	}
	for directory, name := range o.Adopt {
		wanted[filepath.Base(directory)] = name
	}
	for directory, name := range wanted {
		a := Adopted{Directory: directory}
		if t, err := b.Adopt(directory, name); err != nil {
			a.Err = err.Error()
		} else {
			a.Topic = t.Name()
		}
		r.Adopted = append(r.Adopted, a)
	}
	slices.SortFunc(r.Adopted, func(x, y Adopted) int { return cmp.Compare(x.Directory, y.Directory) })
}
