package daemon

import (
	"bytes"
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"qmq/internal/dedup"
)

// idShare is which part of the memory ids by which doubles of one topic are known may take.
const idShare = 8

// maxIDs is how many ids of a topic may be known; 0: as many as a table holds.
func maxIDs() int64 {
	memory := memoryLimit()
	if memory == 0 {
		return 0
	}
	return min(max(1, memory/idShare/dedup.BytesPerID), dedup.MaxIDs)
}

// memoryLimit is how much memory the process may take: GOMEMLIMIT, the limit of its
// container, or all that the machine has; 0 where that is not known.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/proc/meminfo"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, ok := memoryIn(text); ok {
			limit = min(limit, n)
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// memoryIn reads the one number of memory.max, bytes, or the first of meminfo, kB.
func memoryIn(text []byte) (n int64, ok bool) {
	unit := int64(1)
	if rest, found := bytes.CutPrefix(text, []byte("MemTotal:")); found {
		text, unit = rest, 1<<10
	}
	fields := bytes.Fields(text)
	if len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n * unit, err == nil && n > 0 && n < math.MaxInt64/unit
}
