package crashfs

import (
	"path"
	"syscall"
)

// Info describes a file as programs see it.
type Info struct {
	Name string // absolute
	Size int64  // bytes
}

// Files lists all files, parents before children and by name. It, ReadFile,
// WriteFile and FlipBit ask no hook and know no limit.
func (c *FS) Files() []Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	var files []Info
	c.tree.Root.Walk("/", func(name string, n *node) {
		if !n.IsDir() {
			files = append(files, Info{name, n.File.now.bytes.Size()})
		}
	})
	return files
}

// ReadFile is the file's contents as programs see them.
func (c *FS) ReadFile(name string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.tree.FindFile(name)
	if err != nil {
		return nil, pathError(OpRead, name, err)
	}
	return n.File.now.contents(), nil
}

// WriteFile puts a file there, on the platter too, replacing the contents of
// one of that name. It makes missing directories, and syncs the file and the
// directories that lead to it.
func (c *FS) WriteFile(name string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := path.Dir(path.Clean("/" + name))
	made, err := c.tree.MkdirAll(dir)
	c.record(made...)
	if err != nil {
		return pathError(OpWrite, name, err)
	}
	n, err := c.tree.FindFile(name)
	if err == syscall.ENOENT {
		var ch change
		if ch, err = c.tree.Create(name, &file{}); err == nil {
			c.record(ch)
			n = ch.Node
		}
	}
	if err != nil {
		return pathError(OpWrite, name, err)
	}
	c.used -= n.File.now.space()
	n.File.mutate(mutation{off: 0})
	n.File.mutate(mutation{0, append([]byte{}, data...)})
	n.File.sync()
	c.used += n.File.now.space()
	for ; ; dir = path.Dir(dir) {
		d, err := c.tree.FindDir(dir)
		if err != nil {
			return pathError(OpWrite, name, err)
		}
		c.syncDir(d)
		if dir == "/" {
			return nil
		}
	}
}

// BadSectors has reads fail with syscall.EIO where they meet the bytes of the
// file between the two offsets; with equal ones, nowhere again.
func (c *FS) BadSectors(name string, from, to int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.tree.FindFile(name)
	if err != nil {
		return pathError(OpRead, name, err)
	}
	n.File.bad = [2]int64{from, to}
	return nil
}

// FlipBit changes one bit of the byte at the offset, bit offset mod 8, in
// what programs see and in what is or may come on the platter. Doing it twice
// undoes it.
func (c *FS) FlipBit(name string, offset int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.tree.FindFile(name)
	if err == nil && (offset < 0 || offset >= n.File.now.bytes.Size()) {
		err = syscall.EINVAL
	}
	if err != nil {
		return pathError(OpWrite, name, err)
	}
	n.File.now.flip(offset)
	n.File.disk.flip(offset)
	for _, m := range n.File.unsynced {
		if at := offset - m.off; at >= 0 && at < int64(len(m.data)) {
			m.data[at] ^= flipped(offset)
		}
	}
	return nil
}
