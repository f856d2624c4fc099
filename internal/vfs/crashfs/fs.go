// Package crashfs is a file system in memory for tests: it can lose power, have
// its process killed, fill up, fail and flip bits. It keeps two states, what
// programs see and what is on the platter, and the unsynced changes that lead
// from one to the other. It does no real I/O and starts no goroutine, so it
// works inside a synctest bubble; what it does by chance comes from the seed.
package crashfs

import (
	"errors"
	"math/rand/v2"
	"sync"

	"qmq/internal/vfs"
	"qmq/internal/vfs/ram"
)

// ErrCrashed is wrapped by the errors of every call on a File, lock or Mount
// from before a Crash or Kill.
var ErrCrashed = errors.New("crashed")

// Mode says what a Crash does to changes that were not synced.
type Mode int

const (
	// DropAll undoes all of them.
	DropAll Mode = iota
	// Random lets some survive. Of each file, every write is kept, lost or torn
	// at borders of 512 bytes, every truncate kept or lost, independently; the
	// size is what the survivors make it. Of each directory, the first few of
	// its changes are kept, how many is random; a rename is kept or lost as one.
	Random
)

// Op is a kind of operation, as told to the hook set with FS.Fail.
type Op string

// The operations a hook is asked about.
const (
	OpCreate   Op = "create"
	OpOpen     Op = "open"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpTruncate Op = "truncate"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpMkdir    Op = "mkdir"
	OpReadDir  Op = "readdir"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
)

type (
	node   = ram.Node[*file]
	change = ram.Change[*file]
)

// FS is a vfs.FS for tests. All methods may be called concurrently. Names are
// clean slash-separated paths; the root exists from the start and is also the
// working directory.
//
// FS itself goes on working after a Crash or Kill, as the machine's next boot;
// handles and locks from before do not. Where the code under test may go on
// using its vfs.FS after its own death, give it a Mount.
type FS struct {
	mount // of no life in particular: never dies

	mu   sync.Mutex // guards all below, and the files
	rng  *rand.Rand
	life int // grows with every Crash and Kill
	hook func(Op, string) error

	tree    *ram.Tree[*file]
	platter map[*node]map[string]*node // each directory's entries, as synced
	changes []change                   // of directories, not synced, oldest first

	locks map[*node]*lock
	limit int64 // bytes of all files together; negative: none
	used  int64
}

// New returns an empty file system. The same seed and the same calls in the
// same order give the same outcome.
func New(seed uint64) *FS {
	c := &FS{
		rng:     rand.New(rand.NewPCG(seed, 0)),
		tree:    ram.NewTree[*file](),
		platter: make(map[*node]map[string]*node),
		locks:   make(map[*node]*lock),
		limit:   -1,
		life:    1,
	}
	c.mount.c = c
	return c
}

// Mount is the file system as one process sees it: at the next Crash or Kill it
// ends, and all its methods return ErrCrashed.
func (c *FS) Mount() vfs.FS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return mount{c: c, life: c.life}
}

// Crash takes the machine's power away and switches it on again: the file
// system shows what was on the platter, all locks are free, and all handles
// from before are dead. It may be called by a hook; the operation that the hook
// was asked about then does not happen.
func (c *FS) Crash(mode Mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mode == Random {
		c.settleDirs()
	}
	c.restoreTree()
	c.tree.Root.Walk("/", func(_ string, n *node) {
		if !n.IsDir() {
			n.File.crash(mode, c.rng)
		}
	})
	c.endLife()
}

// Kill ends the process, not the machine: nothing that was written is lost, but
// all locks are free and all handles from before are dead. It may be called by
// a hook, as Crash may.
func (c *FS) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLife()
}

// endLife makes handles, locks and mounts of the present life dead. Files that
// only handles kept go with them.
func (c *FS) endLife() {
	c.life++
	clear(c.locks)
	c.used = 0
	c.tree.Root.Walk("/", func(_ string, n *node) {
		if !n.IsDir() {
			n.File.opens = 0
			c.used += n.File.now.space()
		}
	})
}

// Limit sets the space for all files together; -1 lifts it. Bytes count once
// they are written to, not where Truncate left a hole. A write that does not
// fit stores what fits and returns syscall.ENOSPC. A removed file takes space
// while it is open. Space already taken beyond a new limit stays taken.
func (c *FS) Limit(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = bytes
}

// Used is the space taken now, as Limit counts it.
func (c *FS) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Fail sets the hook that is asked before each operation, nil for none. If it
// returns an error, the operation fails with it and does nothing, except that
//   - OpWrite stores a random part of the bytes, from their start, not all;
//   - OpSync makes the file's unsynced changes readable but unsyncable, as
//     Linux does: a later Sync returns nil and does NOT save them. Only what is
//     written after the failure can be saved.
//
// The name is that given to the call, or to the call that opened the file; for
// OpRename it is the old one. RemoveAll asks once for each file and directory.
// The hook runs without locks and may call any method.
func (c *FS) Fail(hook func(op Op, name string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}
