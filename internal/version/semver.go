package version

import (
	"slices"
	"strconv"
	"strings"
)

// Semver is the numeric part of a semantic version, and 1 for a release, 0 for
// what comes before it.
type Semver [4]int

// Parse reads a semantic version; what cannot be read is 0.0.0, as nsqadmin has it.
func Parse(text string) (v Semver) {
	core, _, _ := strings.Cut(text, "+")
	core, _, before := strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return Semver{}
	}
	if !before {
		v[3] = 1
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return Semver{}
		}
		v[i] = n
	}
	return v
}

// Less tells whether v is older than o.
func (v Semver) Less(o Semver) bool { return slices.Compare(v[:], o[:]) < 0 }
