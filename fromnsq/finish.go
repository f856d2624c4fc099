package fromnsq

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"qmq/internal/crc32c"
	"qmq/internal/nsqdata"
	"qmq/internal/vfs"
)

// manifestName is the file of a finished import that names nsqd's files as they were.
const manifestName = "manifest.json"

// manifest is what was imported.
type manifest struct {
	Files []listed `json:"files"`
}

// listed is a file of nsqd's. A later start of nsqd makes a file of records longer,
// and writes others anew.
type listed struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Sum  uint32 `json:"sum,omitempty"` // CRC-32C, of a file that holds no messages
}

// list is nsqd's files as they are.
func (m *move) list(files []nsqdata.File) ([]listed, error) {
	var all []listed
	for _, f := range files {
		l := listed{Name: f.Name, Size: f.Size}
		if !f.Data {
			text, err := vfs.ReadFile(vfs.ReadOnly(m.FS), m.path(f.Name), vfs.NoLimit)
			if err != nil {
				return nil, err
			}
			l.Size, l.Sum = int64(len(text)), crc32c.Update(0, text)
		}
		all = append(all, l)
	}
	return all, nil
}

// commit makes what was built count: from now on the import is only to be ended.
func (m *move) commit(d *nsqdata.Directory) error {
	files, err := m.list(d.Files)
	if err != nil {
		return err
	}
	text, err := json.Marshal(manifest{files})
	if err != nil {
		return err
	}
	f, err := m.FS.Create(m.path(buildingName, manifestName))
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := m.FS.SyncDir(m.path(buildingName)); err != nil {
		return err
	}
	if err := m.FS.Rename(m.path(buildingName), m.path(readyName)); err != nil {
		return err
	}
	return m.FS.SyncDir(m.DataPath)
}

// finish ends an import of which all is there: nsqd's files are set aside, and what
// was built is moved to where a node looks for it. It may be interrupted anywhere and
// begun again. Should nsqd have run once more before the first of its files was moved,
// the import does not count.
func (m *move) finish() error {
	text, err := vfs.ReadFile(vfs.ReadOnly(m.FS), m.path(readyName, manifestName), vfs.NoLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return m.discardEmpty()
	}
	if err != nil {
		return err
	}
	var all manifest
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("%s: %w", m.path(readyName, manifestName), err)
	}
	if begun, err := m.begun(); err != nil {
		return err
	} else if !begun {
		if same, err := m.same(&all); err != nil {
			return err
		} else if !same {
			m.Logger.Warn("nsqd was started after its data was imported: the import begins anew", slog.String("path", m.DataPath))
			return m.discard(readyName)
		}
	}
	if err := m.setAside(&all); err != nil {
		return err
	}
	for _, name := range []string{"topics", "journal"} {
		if err := m.place(name); err != nil {
			return err
		}
	}
	if err := m.FS.SyncDir(m.DataPath); err != nil {
		return err
	}
	return m.discard(readyName)
}

// discardEmpty removes what is left of the directory of an import that is at its end.
func (m *move) discardEmpty() error {
	entries, err := m.FS.ReadDir(m.path(readyName))
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s has no %s: nobody knows what it is", m.path(readyName), manifestName)
	}
	return m.discard(readyName)
}

// begun says that a file of nsqd's was moved already.
func (m *move) begun() (bool, error) {
	entries, err := m.FS.ReadDir(m.path(AsideName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// same says that nsqd's files are as they were when they were imported.
func (m *move) same(all *manifest) (bool, error) {
	d, err := nsqdata.Read(m.FS, m.DataPath)
	if err != nil || d == nil {
		return false, err
	}
	now, err := m.list(d.Files)
	if err != nil || len(now) != len(all.Files) {
		return false, err
	}
	for i := range now {
		if now[i] != all.Files[i] {
			return false, nil
		}
	}
	return true, nil
}

// setAside moves nsqd's files, but for such as an nsqd made meanwhile.
func (m *move) setAside(all *manifest) error {
	aside := m.path(AsideName)
	if err := m.FS.MkdirAll(aside); err != nil {
		return err
	}
	if err := m.FS.SyncDir(m.DataPath); err != nil {
		return err
	}
	there, err := m.FS.ReadDir(aside)
	if err != nil {
		return err
	}
	moved := make(map[string]bool, len(there))
	for _, e := range there {
		moved[e.Name()] = true
	}
	for _, f := range all.Files {
		if moved[f.Name] {
			continue
		}
		if err := m.FS.Rename(m.path(f.Name), filepath.Join(aside, f.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := m.FS.SyncDir(aside); err != nil {
		return err
	}
	return m.FS.SyncDir(m.DataPath)
}

// place moves a directory that was built to where it belongs, unless it is there.
func (m *move) place(name string) error {
	if _, err := m.FS.ReadDir(m.path(readyName, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := m.FS.Remove(m.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // it is empty, or what is in it came between
	}
	return m.FS.Rename(m.path(readyName, name), m.path(name))
}
