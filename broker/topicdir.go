package broker

import (
	"path/filepath"
	"strings"

	"qmq/internal/names"
	"qmq/internal/vfs"
)

// topicDir is a directory among those of the topics' logs.
type topicDir struct {
	base        string
	name        string // of the topic; empty when that is not to be read from base
	incarnation uint64 // 0 likewise
	deleted     bool   // a deletion left it
}

// parseTopicDir tells what a directory is by its name.
func parseTopicDir(base string) topicDir {
	rest, deleted := strings.CutPrefix(base, names.DeletedPrefix)
	name, incarnation, _ := names.ParseDir(rest)
	return topicDir{base: base, name: name, incarnation: incarnation, deleted: deleted}
}

// dataDir is where things are in a data directory.
type dataDir struct {
	fs   vfs.FS
	path string
}

func (d dataDir) journal() string { return filepath.Join(d.path, "journal") }
func (d dataDir) topics() string  { return filepath.Join(d.path, "topics") }

// log is the directory of a topic's log.
func (d dataDir) log(name string, incarnation uint64) string {
	return filepath.Join(d.topics(), names.Dir(name, incarnation))
}

// topicDirs lists what is among the directories of the topics' logs.
func (d dataDir) topicDirs() ([]topicDir, error) {
	entries, err := d.fs.ReadDir(d.topics())
	if isNotExist(err) {
		return nil, nil // there is no room for it
	}
	if err != nil {
		return nil, err
	}
	dirs := make([]topicDir, 0, len(entries))
	for _, e := range entries {
		dirs = append(dirs, parseTopicDir(e.Name()))
	}
	return dirs, nil
}
