package crashfs

import (
	"maps"
	"slices"
)

// record notes changes of directories as unsynced.
func (c *FS) record(changes ...change) { c.changes = append(c.changes, changes...) }

// changed lists the directories of a change, each once.
func changed(ch change) []*node {
	dirs := []*node{ch.Edits[0].Dir}
	if len(ch.Edits) == 2 && ch.Edits[1].Dir != dirs[0] {
		dirs = append(dirs, ch.Edits[1].Dir)
	}
	return dirs
}

// movesTree tells whether a change moves a directory to another parent. Such
// moves reach the platter in their order, as otherwise two of them could leave
// each directory inside the other.
func movesTree(ch change) bool {
	return ch.Node.IsDir() && len(changed(ch)) == 2
}

// removesDir tells whether a change removes a directory. It reaches the platter
// after all changes of that directory, as these are what made it empty: a file
// moved out of it must not vanish.
func removesDir(ch change) bool {
	return ch.Node.IsDir() && len(ch.Edits) == 1 && ch.Edits[0].Node == nil
}

// applyToPlatter puts a change on the platter.
func (c *FS) applyToPlatter(ch change) {
	for _, e := range ch.Edits {
		if e.Node == nil {
			delete(c.platter[e.Dir], e.Name)
			continue
		}
		if c.platter[e.Dir] == nil {
			c.platter[e.Dir] = make(map[string]*node)
		}
		c.platter[e.Dir][e.Name] = e.Node
	}
}

// syncDir puts the directory's changes on the platter, and with them only what
// must come before: a rename brings the other directory's earlier changes.
func (c *FS) syncDir(dir *node) {
	synced := map[*node]bool{dir: true} // directories whose changes up to here must reach it
	moves := false                      // whether movesTree changes up to here must
	due := make([]bool, len(c.changes))
	for i, ch := range slices.Backward(c.changes) {
		due[i] = moves && movesTree(ch) ||
			slices.ContainsFunc(changed(ch), func(d *node) bool { return synced[d] })
		if !due[i] {
			continue
		}
		for _, d := range changed(ch) {
			synced[d] = true
		}
		if removesDir(ch) {
			synced[ch.Node] = true
		}
		moves = moves || movesTree(ch)
	}
	c.applySome(func(i int) bool { return due[i] })
}

// settleDirs puts a random prefix of each directory's changes on the platter.
func (c *FS) settleDirs() {
	left := c.prefixes()
	movesLost := false
	c.applySome(func(i int) bool {
		ch := c.changes[i]
		keep := !(movesLost && movesTree(ch))
		for _, d := range changed(ch) {
			keep = keep && left[d] > 0
		}
		if removesDir(ch) {
			keep = keep && left[ch.Node] != lost
		}
		for _, d := range changed(ch) {
			if keep {
				left[d]--
			} else {
				left[d] = lost
			}
		}
		movesLost = movesLost || !keep && movesTree(ch)
		return keep
	})
}

// lost stands for the rest of a directory's prefix once a change is not in it.
const lost = -1

// prefixes draws for each directory how many of its changes survive.
func (c *FS) prefixes() map[*node]int {
	count := make(map[*node]int)
	var dirs []*node // in the order of their first change, as a map has none
	for _, ch := range c.changes {
		for _, d := range changed(ch) {
			if count[d]++; count[d] == 1 {
				dirs = append(dirs, d)
			}
		}
	}
	for _, d := range dirs {
		count[d] = c.rng.IntN(count[d] + 1)
	}
	return count
}

// applySome applies the changes that are due, asked in order, and keeps the
// others as unsynced.
func (c *FS) applySome(due func(i int) bool) {
	var rest []change
	for i, ch := range c.changes {
		if due(i) {
			c.applyToPlatter(ch)
		} else {
			rest = append(rest, ch)
		}
	}
	c.changes = rest
}

// restoreTree makes programs see the platter's directories, and forgets
// unsynced changes and directories that no name leads to.
func (c *FS) restoreTree() {
	c.changes = nil
	reached := make(map[*node]map[string]*node)
	var restore func(dir *node)
	restore = func(dir *node) {
		reached[dir] = c.platter[dir]
		dir.Entries = maps.Clone(c.platter[dir])
		if dir.Entries == nil {
			dir.Entries = make(map[string]*node)
		}
		for _, n := range dir.Entries {
			if n.IsDir() {
				restore(n)
			}
		}
	}
	restore(c.tree.Root)
	c.platter = reached
}
