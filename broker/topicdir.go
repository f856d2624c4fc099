package broker

import (
	"fmt"
	"path/filepath"
	"qmq/internal/vfs"
	"strconv"
	"strings"

	"qmq/internal/names"
)

// topicDir is a directory among those of the topics' logs.
type topicDir struct {
	base        string
	name        string // of the topic; empty when that is not to be read from base
	incarnation uint64 // 0 likewise
	deleted     bool   // a deletion left it
}

// logDirName is the name of the directory of a topic's log. Names may hold dots
// and differ by case only: all but lowercase letters, digits, '_' and '-' are
// escaped, so that neither can hurt on any file system.
func logDirName(name string, incarnation uint64) string {
	var sb strings.Builder
	for _, c := range []byte(name) {
		if plain(c) {
			sb.WriteByte(c)
		} else {
			fmt.Fprintf(&sb, "%%%02x", c)
		}
	}
	fmt.Fprintf(&sb, "-%016x", incarnation)
	return sb.String()
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// parseTopicDir is the inverse of logDirName, and tells what a deletion left.
func parseTopicDir(base string) topicDir {
	rest, deleted := strings.CutPrefix(base, deletedPrefix)
	d := topicDir{base: base, deleted: deleted}
	i := strings.LastIndexByte(rest, '-')
	if i < 0 || len(rest)-i != 17 {
		return d
	}
	n, err := strconv.ParseUint(rest[i+1:], 16, 64)
	name, ok := unescape(rest[:i])
	if err != nil || !ok || !names.Valid(name) || names.IsEphemeral(name) {
		return d
	}
	d.name, d.incarnation = name, n
	return d
}

func unescape(s string) (string, bool) {
	var sb strings.Builder
	for len(s) > 0 {
		c, rest := s[0], s[1:]
		if c == '%' {
			if len(rest) < 2 {
				return "", false
			}
			n, err := strconv.ParseUint(rest[:2], 16, 8)
			if err != nil || plain(byte(n)) {
				return "", false
			}
			c, rest = byte(n), rest[2:]
		} else if !plain(c) {
			return "", false
		}
		sb.WriteByte(c)
		s = rest
	}
	return sb.String(), true
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
	return filepath.Join(d.topics(), logDirName(name, incarnation))
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
