package admin

import (
	"slices"
	"strconv"
	"strings"
)

// semver is the numeric part of a semantic version, and 1 for a release, 0 for
// what comes before it.
type semver [4]int

// parseVersion reads one; what cannot be read is 0.0.0, as nsqadmin has it.
func parseVersion(text string) (v semver) {
	core, _, _ := strings.Cut(text, "+")
	core, _, before := strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return semver{}
	}
	if !before {
		v[3] = 1
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
