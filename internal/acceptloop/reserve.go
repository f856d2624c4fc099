package acceptloop

// Bounds of the reserve.
const (
	minReserve = 16
	maxReserve = 512
)

// reserve is how many of a process's descriptors connections may not have: an
// eighth, within bounds, but never more than half. Data, journal, certificates
// and questions to other daemons live on them.
func reserve(limit int64) int64 {
	return min(max(limit/8, minReserve), maxReserve, limit/2)
}
