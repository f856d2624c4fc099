package lookup

import (
	"qmq/internal/address"
	"qmq/internal/metrics"
)

var (
	metricTopics = &metrics.Family{Name: "qlookupd_topics", Kind: metrics.Gauge, Help: "Topics that are known"}
	metricNodes  = &metrics.Family{Name: "qlookupd_nodes", Kind: metrics.Gauge, Help: "Nodes that are listed"}
)

// MetricFamilies are the families of /metrics, for the documentation.
func MetricFamilies() []*metrics.Family {
	return []*metrics.Family{metricTopics, metricNodes}
}

// fillMetrics adds all there is to a page.
func (h *HTTP) fillMetrics(p *metrics.Page) {
	p.Add(metricTopics, float64(len(h.db.topicNames())), metrics.Labels{})
	p.Add(metricNodes, float64(len(h.db.nodes("", address.Asker{}))), metrics.Labels{})
}
