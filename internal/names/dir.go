package names

import (
	"fmt"
	"strconv"
	"strings"
)

// DeletedPrefix begins the names of directories that a topic's deletion left.
const DeletedPrefix = ".deleted-"

// Dir is the name of the directory of a topic's log. Names may hold dots and
// differ by case only: all but lowercase letters, digits, '_' and '-' are escaped,
// so that neither can hurt on any file system.
func Dir(topic string, incarnation uint64) string {
	var sb strings.Builder
	for _, c := range []byte(topic) {
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

// ParseDir is the inverse of Dir; ok is false for what is the name of no
// directory of a topic that is kept.
func ParseDir(dir string) (topic string, incarnation uint64, ok bool) {
	i := strings.LastIndexByte(dir, '-')
	if i < 0 || len(dir)-i != 17 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(dir[i+1:], 16, 64)
	name, ok := unescape(dir[:i])
	if err != nil || !ok || !Valid(name) || IsEphemeral(name) {
		return "", 0, false
	}
	return name, n, true
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
