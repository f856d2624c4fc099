package cluster

import (
	"math"
	"slices"

	"qmq/internal/nodeclient"
)

// latencies are the percentiles of a channel over all nodes: the mean of
// theirs, weighted by how many messages each has measured.
type latencies []latency

type latency struct {
	quantile, weighted, count float64
}

func (l *latencies) add(measured nodeclient.Latency) {
	if measured.Count == 0 {
		return
	}
	n := float64(measured.Count)
	for _, p := range measured.Percentiles {
		i := slices.IndexFunc(*l, func(have latency) bool { return have.quantile == p.Quantile })
		if i < 0 {
			i = len(*l)
			*l = append(*l, latency{quantile: p.Quantile})
		}
		(*l)[i].weighted += p.Value * n
		(*l)[i].count += n
	}
}

// ms is a percentile in milliseconds, NaN if it is not measured.
func (l latencies) ms(quantile float64) float64 {
	for _, p := range l {
		if p.quantile == quantile {
			return p.weighted / p.count / 1e6
		}
	}
	return math.NaN()
}

// latencyRow is a percentile as the page gets it.
type latencyRow struct {
	Q  float64 `json:"q"`
	MS Figure  `json:"ms"`
}

// rows are all of them, the highest first; nil if there are none.
func (l latencies) rows() (rows []latencyRow) {
	for _, p := range l {
		rows = append(rows, latencyRow{p.quantile, Figure(l.ms(p.quantile))})
	}
	slices.SortFunc(rows, func(a, b latencyRow) int {
		if a.Q > b.Q {
			return -1
		}
		return 1
	})
	return rows
}
