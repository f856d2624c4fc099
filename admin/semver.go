package admin

import (
	"slices"
	"strconv"
	"strings"
)

// semver is the numeric part of a semantic version.
type semver [3]int

// parseVersion reads one; what cannot be read is 0.0.0, as nsqadmin has it.
func parseVersion(text string) (v semver) {
	core, _, _ := strings.Cut(text, "+")
	core, _, _ = strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	if len(parts) != len(v) {
		return semver{}
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return semver{}
		}
		v[i] = n
	}
	return v
}

func (v semver) less(o semver) bool { return slices.Compare(v[:], o[:]) < 0 }
