package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"qmq/internal/vfs"
)

// mount is the file system during one life, or during all if life is 0.
type mount struct {
	c    *FS
	life int
}

// begin asks the hook and takes FS.mu for an operation; after an error it is
// not held. The error wraps that of the hook, or ErrCrashed if the life has
// ended, be it that the hook ended it.
func (m mount) begin(op Op, name string) error {
	m.c.mu.Lock()
	life, hook := m.c.life, m.c.hook
	if m.life != 0 {
		life = m.life
	}
	if hook != nil && life == m.c.life {
		m.c.mu.Unlock()
		if err := hook(op, name); err != nil {
			return pathError(op, name, err)
		}
		m.c.mu.Lock()
	}
	if life != m.c.life {
		m.c.mu.Unlock()
		return pathError(op, name, ErrCrashed)
	}
	return nil
}

func (m mount) Create(name string) (vfs.File, error) {
	if err := m.begin(OpCreate, name); err != nil {
		return nil, err
	}
	defer m.c.mu.Unlock()
	ch, err := m.c.tree.Create(name, &file{})
	if err != nil {
		return nil, pathError(OpCreate, name, err)
	}
	m.c.record(ch)
	return m.c.open(name, ch.Node.File), nil
}

func (m mount) Open(name string) (vfs.File, error) {
	if err := m.begin(OpOpen, name); err != nil {
		return nil, err
	}
	defer m.c.mu.Unlock()
	n, err := m.c.tree.FindFile(name)
	if err != nil {
		return nil, pathError(OpOpen, name, err)
	}
	return m.c.open(name, n.File), nil
}

func (m mount) Rename(oldname, newname string) error {
	if err := m.begin(OpRename, oldname); err != nil {
		return err
	}
	defer m.c.mu.Unlock()
	ch, err := m.c.tree.Rename(oldname, newname)
	if err != nil {
		return &os.LinkError{Op: string(OpRename), Old: oldname, New: newname, Err: err}
	}
	if len(ch.Edits) > 0 {
		m.c.record(ch)
	}
	if ch.Replaced != nil {
		m.c.unlink(ch.Replaced.File)
	}
	return nil
}

func (m mount) Remove(name string) error {
	if err := m.begin(OpRemove, name); err != nil {
		return err
	}
	defer m.c.mu.Unlock()
	ch, err := m.c.tree.Remove(name)
	if err != nil {
		return pathError(OpRemove, name, err)
	}
	m.c.record(ch)
	if !ch.Node.IsDir() {
		m.c.unlink(ch.Node.File)
	}
	return nil
}

// RemoveAll removes one name after the other, the lowest first, as the real
// thing does: a crash or an error may leave it half done.
func (m mount) RemoveAll(name string) error {
	m = m.bound() // what a crash brings back is not for this call to remove
	names, err := m.below(name)
	for len(names) > 0 && err == nil {
		last := len(names) - 1
		if err = m.Remove(names[last]); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		names = names[:last]
	}
	return err
}

// bound is the mount during one life only.
func (m mount) bound() mount {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.life == 0 {
		m.life = m.c.life
	}
	return m
}

// below lists a name and all below it, parents first; nothing if it is missing.
func (m mount) below(name string) (names []string, err error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.life != m.c.life {
		return nil, pathError(OpRemove, name, ErrCrashed)
	}
	n, err := m.c.tree.Find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pathError(OpRemove, name, err)
	}
	n.Walk(path.Clean(name), func(name string, _ *node) { names = append(names, name) })
	return names, nil
}

func (m mount) MkdirAll(name string) error {
	if err := m.begin(OpMkdir, name); err != nil {
		return err
	}
	defer m.c.mu.Unlock()
	made, err := m.c.tree.MkdirAll(name)
	m.c.record(made...)
	return pathError(OpMkdir, name, err)
}

func (m mount) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := m.begin(OpReadDir, name); err != nil {
		return nil, err
	}
	defer m.c.mu.Unlock()
	d, err := m.c.tree.FindDir(name)
	if err != nil {
		return nil, pathError(OpReadDir, name, err)
	}
	return d.DirEntries(func(f *file) int64 { return f.now.bytes.Size() }), nil
}

func (m mount) SyncDir(name string) error {
	if err := m.begin(OpSyncDir, name); err != nil {
		return err
	}
	defer m.c.mu.Unlock()
	d, err := m.c.tree.FindDir(name)
	if err != nil {
		return pathError(OpSyncDir, name, err)
	}
	m.c.syncDir(d)
	return nil
}

func (m mount) Lock(dir string) (io.Closer, error) {
	if err := m.begin(OpLock, dir); err != nil {
		return nil, err
	}
	defer m.c.mu.Unlock()
	d, err := m.c.tree.FindDir(dir)
	if err == nil && m.c.locks[d] != nil {
		err = vfs.ErrLocked
	}
	if err != nil {
		return nil, pathError(OpLock, dir, err)
	}
	l := &lock{c: m.c, dir: d, life: m.c.life}
	m.c.locks[d] = l
	return l, nil
}

type lock struct {
	c    *FS
	dir  *node
	life int
}

func (l *lock) Close() error {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.life != l.c.life {
		return ErrCrashed
	}
	if l.c.locks[l.dir] != l {
		return fs.ErrClosed
	}
	delete(l.c.locks, l.dir)
	return nil
}

// unlink notes that no name leads to the file any more.
func (c *FS) unlink(f *file) {
	f.unlinked = true
	c.release(f)
}

// release gives back the space of a file that nobody can reach.
func (c *FS) release(f *file) {
	if f.unlinked && f.opens == 0 {
		c.used -= f.now.space()
	}
}

func pathError(op Op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: string(op), Path: name, Err: err}
}
