package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"qmq/cluster/link"
	"qmq/internal/crc32c"
	"qmq/internal/vfs"
)

// id is that of a member or a set, written as 16 hex digits.
type id uint64

// MarshalText writes 16 digits.
func (i id) MarshalText() ([]byte, error) { return []byte(link.ID(uint64(i))), nil }

// UnmarshalText reads what MarshalText writes.
func (i *id) UnmarshalText(text []byte) error {
	v, err := link.ParseID(string(text))
	*i = id(v)
	return err
}

func newID() id {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails
		if v := binary.LittleEndian.Uint64(b[:]); v != 0 {
			return id(v)
		}
	}
}

// identity is who this node is: the file raft/member of its data directory. It is a
// line of JSON and one with the CRC-32C of the first in hex, and always whole: a new
// one is written beside it and takes its place.
type identity struct {
	Member  id     `json:"member"`
	Cluster id     `json:"cluster"` // 0: it is in no set
	Epoch   uint64 `json:"epoch"`   // grows with each start
	// Record is that of the set, with Cluster 0 one that was offered: the set may have
	// begun or not.
	Record *record `json:"record,omitempty"`
	// Number is the set's in ids of messages.
	Number int `json:"number,omitempty"`
	// Joined says that the set was there before this member. It has no part in shards
	// but what their leaders bring.
	Joined bool `json:"joined,omitempty"`
	// Level is a feature level that the set uses: the highest that this member ever heard of,
	// which it must not leave out before it has heard again.
	Level uint32 `json:"level,omitempty"`
	// Ran says that the member may have voted or acknowledged.
	Ran bool `json:"ran,omitempty"`
	// Renewing is who this node is to be in a set that begins anew from what it has. While
	// it is set that is under way, and the node must not start.
	Renewing *renewing `json:"renewing,omitempty"`
	// Former is who this node was, whose files are still there, while it is in no set.
	Former *former `json:"former,omitempty"`
}

// former is a member that must not take part any more: it may have forgotten what it
// acknowledged. Its node may only join the set again, never begin one: what the set
// had would be lost.
type former struct {
	Member  id     `json:"member"`  // 0: unknown
	Cluster id     `json:"cluster"` // 0: unknown
	Why     string `json:"why"`
}

// renewing is the first member of a set that begins anew.
type renewing struct {
	Member  id     `json:"member"`
	Cluster id     `json:"cluster"`
	Address string `json:"address"`
}

// identityFile keeps an identity. It has one user at a time.
type identityFile struct {
	fs  vfs.FS
	dir string // raft, in the data directory
}

const identityName = "member"

func (f identityFile) path() string { return filepath.Join(f.dir, identityName) }

// load reads the identity; without a file it is nil.
func (f identityFile) load() (*identity, error) {
	content, err := vfs.ReadFile(f.fs, f.path(), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	line, ok := checkedLine(content)
	i := new(identity)
	if !ok || json.Unmarshal(line, i) != nil || i.Member == 0 {
		return nil, fmt.Errorf("%s is damaged: it says which member of the set this node is. Restore it, or remove the directories raft and replicated: then the node joins its set again with nothing", f.path())
	}
	return i, nil
}

// store makes i what the file says, for good.
func (f identityFile) store(i *identity) error {
	if err := makeDir(f.fs, f.dir); err != nil {
		return err
	}
	line, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return replaceFile(f.fs, f.path(), appendCheck(line))
}

// open is the identity of this start: the one in the file with the next epoch, or a
// new one. It is on the disk.
func (f identityFile) open() (*identity, error) {
	i, err := f.load()
	if err != nil {
		return nil, err
	}
	if i != nil && i.Renewing != nil {
		return nil, fmt.Errorf("%s was to begin a set anew and has not come to its end: repeat that command first", f.dir)
	}
	if i == nil {
		i = &identity{Member: newID()}
		if _, err := f.fs.ReadDir(filepath.Join(f.dir, walName)); err == nil {
			i.Former = &former{Why: f.path() + " is missing"}
		}
	}
	i.Epoch++
	return i, f.store(i)
}

const walName = "wal" // of the directory of the log

// setAside moves the files of whoever this node was out of the way, and returns where
// they are; empty: there are none. The reserves are the node's, and have nothing in them.
func (f identityFile) setAside(dir string, was *former) (kept string, err error) {
	kept = filepath.Join(dir, "replaced-"+show(was.Member))
	moved := false
	for _, name := range []string{"raft", "replicated"} {
		from := filepath.Join(dir, name)
		entries, err := f.fs.ReadDir(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if from == f.dir {
			entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
				return e.Name() == identityName || e.Name() == reserveName || e.Name() == startName
			})
		}
		to := filepath.Join(kept, name)
		if _, err := f.fs.ReadDir(to); len(entries) == 0 && errors.Is(err, fs.ErrNotExist) {
			continue // nor was anything moved that is not synced
		}
		if err := f.fs.MkdirAll(to); err != nil {
			return "", err
		}
		for _, e := range entries {
			if err := f.fs.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return "", err
			}
			moved = true
		}
		for _, d := range []string{to, from, kept, dir} {
			if err := f.fs.SyncDir(d); err != nil {
				return "", err
			}
		}
	}
	if !moved {
		return "", nil
	}
	return kept, nil
}

// appendCheck makes a line checkable.
func appendCheck(line []byte) []byte {
	return fmt.Appendf(line, "\n%08x\n", crc32c.Sum(line))
}

// checkedLine is the line of appendCheck; ok is false when it is not as it was.
func checkedLine(content []byte) (line []byte, ok bool) {
	line, _, ok = bytes.Cut(content, []byte("\n"))
	return line, ok && bytes.Equal(appendCheck(bytes.Clone(line)), content)
}

const maxFile = 4 << 20 // of those that are read as a whole

// replaceFile makes content that of a file: after a crash it has the old one or the
// new one.
func replaceFile(fsys vfs.FS, path string, content []byte) (err error) {
	beside := path + ".new"
	if err := fsys.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := fsys.Create(beside)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(beside, path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// makeDir makes a directory that survives a crash of the machine.
func makeDir(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}
