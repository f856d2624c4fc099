package machine

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"qmq/internal/names"
)

// The directory of a deleted topic gets another name at once, which says so, and
// is removed in the background. What is neither a topic's nor has such a name is
// kept, and told.

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// removeLeft removes in the background what deletions before the last stop left.
func (m *Machine) removeLeft() error {
	entries, err := m.fs.ReadDir(m.topicsDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), names.DeletedPrefix) {
			path := filepath.Join(m.topicsDir(), e.Name())
			m.run(func() { m.removeAll(path) })
		}
	}
	return nil
}

func (m *Machine) removeAll(path string) {
	if err := m.fs.RemoveAll(path); err != nil {
		m.o.Logger.Warn("log of a deleted topic is not removed", "path", path, "error", err)
	}
}

// sweepDoomed gives the directories of topics that are deleted the name of such.
// It reports whether there were any.
func (m *Machine) sweepDoomed() bool {
	m.mu.Lock()
	list := m.doomed
	m.mu.Unlock()
	if len(list) == 0 || m.atRest {
		return false
	}
	m.sweeping.Lock()
	defer m.sweeping.Unlock()
	m.mu.Lock()
	list, m.doomed = m.doomed, nil
	m.mu.Unlock()
	for _, tl := range list {
		m.doom(tl)
	}
	return true
}

// doom renames the directory of a deleted topic and has it removed once nobody
// reads its log. The caller holds m.sweeping.
func (m *Machine) doom(tl *topicLog) {
	if log := tl.opened(); log != nil {
		log.Abandon()
	}
	base := names.Dir(tl.name, tl.incarnation)
	dir, doomed := filepath.Join(m.topicsDir(), base), filepath.Join(m.topicsDir(), names.DeletedPrefix+base)
	if err := m.fs.Rename(dir, doomed); err != nil {
		if doomed = ""; !isNotExist(err) { // it never had a record
			m.o.Logger.Warn("log of a deleted topic is kept", "path", dir, "error", err)
		}
	}
	gone := func() {
		tl.discard()
		if doomed != "" {
			m.removeAll(doomed)
		}
	}
	m.mu.Lock()
	tl.gone = gone
	inUse := tl.users > 0
	m.mu.Unlock()
	if !inUse {
		m.run(gone)
	}
}

// tellUnknown tells of directories that are no topic's and that no deletion left.
// Those of incarnations that are still to come may be of entries that are to be
// applied again.
func (m *Machine) tellUnknown() {
	entries, err := m.fs.ReadDir(m.topicsDir())
	if err != nil {
		return // whoever needs it will say so
	}
	m.sweeping.Lock()
	defer m.sweeping.Unlock()
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, names.DeletedPrefix) && !m.told[name] && m.unknown(name) {
			m.told[name] = true
			m.o.Logger.Warn("directory of an unknown topic is kept", "path", filepath.Join(m.topicsDir(), name))
		}
	}
}

// unknown says that no topic has a directory, nor will.
func (m *Machine) unknown(dir string) bool {
	name, incarnation, ok := names.ParseDir(dir)
	if !ok {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tl := m.logs[incarnation]
	return incarnation <= m.s.st.MaxIncarnation && (tl == nil || tl.name != name)
}
