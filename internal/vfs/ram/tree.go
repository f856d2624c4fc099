package ram

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Node is a directory, or a file of the kind F.
type Node[F any] struct {
	File    F                   // of a file
	Entries map[string]*Node[F] // of a directory; nil for a file
}

// IsDir tells a directory from a file.
func (n *Node[F]) IsDir() bool { return n.Entries != nil }

// Edit is one change of one directory: Name stands for Node from now on, or
// for nothing if Node is nil.
type Edit[F any] struct {
	Dir  *Node[F]
	Name string
	Node *Node[F]
}

// Change is what one call did to the tree, all or nothing.
type Change[F any] struct {
	Node     *Node[F]  // made, moved or removed
	Replaced *Node[F]  // the file that a move took the name of, or nil
	Edits    []Edit[F] // two for a move, else one
}

// Tree is a hierarchy of names. Absolute and relative names mean the same: the
// root is also the working directory. Errors are those of Linux's system calls,
// as syscall.Errno without the name; they leave the tree as it was. Look-ups
// may run concurrently with each other, but not with a change.
type Tree[F any] struct {
	Root *Node[F]
}

// NewTree has a root without entries.
func NewTree[F any]() *Tree[F] { return &Tree[F]{Root: newDir[F]()} }

func newDir[F any]() *Node[F] { return &Node[F]{Entries: make(map[string]*Node[F])} }

// clean is the one form of a name that all its spellings share.
func clean(name string) string { return path.Clean("/" + filepath.ToSlash(name)) }

// Find is the node of that name.
func (t *Tree[F]) Find(name string) (*Node[F], error) {
	if name == "" {
		return nil, syscall.ENOENT
	}
	n := t.Root
	for part := range strings.SplitSeq(clean(name)[1:], "/") {
		if part == "" {
			continue
		}
		if !n.IsDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.Entries[part]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// FindDir is the directory of that name.
func (t *Tree[F]) FindDir(name string) (*Node[F], error) {
	n, err := t.Find(name)
	if err == nil && !n.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return n, err
}

// FindFile is the file of that name.
func (t *Tree[F]) FindFile(name string) (*Node[F], error) {
	n, err := t.Find(name)
	if err == nil && n.IsDir() {
		return nil, syscall.EISDIR
	}
	return n, err
}

// place is the directory a name is in, its last part, and the node there or
// nil. The root is in no directory: its last part is empty.
func (t *Tree[F]) place(name string) (dir *Node[F], base string, n *Node[F], err error) {
	if name == "" {
		return nil, "", nil, syscall.ENOENT
	}
	parent, base := path.Split(clean(name))
	if dir, err = t.FindDir(parent); err != nil {
		return nil, "", nil, err
	}
	if base == "" {
		return dir, base, dir, nil
	}
	return dir, base, dir.Entries[base], nil
}

// Create adds a file.
func (t *Tree[F]) Create(name string, file F) (Change[F], error) {
	dir, base, taken, err := t.place(name)
	if err != nil {
		return Change[F]{}, err
	}
	if taken != nil {
		return Change[F]{}, syscall.EEXIST
	}
	n := &Node[F]{File: file}
	return apply(n, nil, Edit[F]{dir, base, n}), nil
}

// MkdirAll adds a directory and its missing parents, one change each.
func (t *Tree[F]) MkdirAll(name string) ([]Change[F], error) {
	dir, base, n, err := t.place(name)
	var made []Change[F]
	if err == syscall.ENOENT && name != "" {
		if made, err = t.MkdirAll(path.Dir(clean(name))); err == nil {
			dir, base, n, err = t.place(name)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case n == nil:
		d := newDir[F]()
		return append(made, apply(d, nil, Edit[F]{dir, base, d})), nil
	case !n.IsDir():
		return nil, syscall.ENOTDIR
	}
	return made, nil
}

// Remove takes away a file or an empty directory.
func (t *Tree[F]) Remove(name string) (Change[F], error) {
	dir, base, n, err := t.place(name)
	switch {
	case err != nil:
		return Change[F]{}, err
	case n == nil:
		return Change[F]{}, syscall.ENOENT
	case n == t.Root:
		return Change[F]{}, syscall.EBUSY
	case len(n.Entries) > 0:
		return Change[F]{}, syscall.ENOTEMPTY
	}
	return apply(n, nil, Edit[F]{dir, base, nil}), nil
}

// Rename moves a file, replacing a file of the new name, or a directory to a
// name that is free. A file moved to where it is changes nothing: no edits.
func (t *Tree[F]) Rename(oldname, newname string) (Change[F], error) {
	from, oldbase, n, err := t.place(oldname)
	if err != nil {
		return Change[F]{}, err
	}
	if n == nil {
		return Change[F]{}, syscall.ENOENT
	}
	to, newbase, taken, err := t.place(newname)
	switch {
	case err != nil:
		return Change[F]{}, err
	case n == t.Root:
		return Change[F]{}, syscall.EBUSY
	case taken != nil && taken.IsDir():
		return Change[F]{}, syscall.EEXIST
	case taken != nil && n.IsDir():
		return Change[F]{}, syscall.ENOTDIR
	case taken == n:
		return Change[F]{Node: n}, nil
	case n.IsDir() && strings.HasPrefix(clean(newname), clean(oldname)+"/"):
		return Change[F]{}, syscall.EINVAL
	}
	return apply(n, taken, Edit[F]{from, oldbase, nil}, Edit[F]{to, newbase, n}), nil
}

func apply[F any](n, replaced *Node[F], edits ...Edit[F]) Change[F] {
	for _, e := range edits {
		if e.Node == nil {
			delete(e.Dir.Entries, e.Name)
		} else {
			e.Dir.Entries[e.Name] = e.Node
		}
	}
	return Change[F]{Node: n, Replaced: replaced, Edits: edits}
}

// Walk calls f for the node and all below it, parents first, by name.
func (n *Node[F]) Walk(name string, f func(name string, n *Node[F])) {
	f(name, n)
	for _, base := range n.Names() {
		n.Entries[base].Walk(path.Join(name, base), f)
	}
}

// Names lists a directory, sorted.
func (n *Node[F]) Names() []string {
	names := make([]string, 0, len(n.Entries))
	for base := range n.Entries {
		names = append(names, base)
	}
	slices.Sort(names)
	return names
}

// DirEntries lists a directory, sorted by name, as of now. It has size tell
// the length of a file.
func (n *Node[F]) DirEntries(size func(F) int64) []fs.DirEntry {
	list := make([]fs.DirEntry, 0, len(n.Entries))
	for _, base := range n.Names() {
		info := info{name: base, mode: fs.ModeDir | 0o755}
		if e := n.Entries[base]; !e.IsDir() {
			info.mode, info.size = 0o600, size(e.File)
		}
		list = append(list, fs.FileInfoToDirEntry(info))
	}
	return list
}

// info is an fs.FileInfo; nothing in memory keeps a time of change.
type info struct {
	name string
	size int64
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
