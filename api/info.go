package api

import (
	"net/http"

	"qmq/internal/redact"
	"qmq/internal/version"
)

// ping is GET /ping: plain text that says whether the broker is well.
func (h *HTTP) ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	err := h.broker.Health()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
	w.Write([]byte(healthText(err)))
}

// healthText is the broker's health in the words of /ping and /stats.
func healthText(err error) string {
	if err != nil {
		return "NOK - " + redact.Paths(err)
	}
	return "OK"
}

// infoAnswer is the answer to /info; durations are in ns.
type infoAnswer struct {
	Version                string `json:"version"`
	BroadcastAddress       string `json:"broadcast_address"`
	Hostname               string `json:"hostname"`
	HTTPPort               int    `json:"http_port"`
	TCPPort                int    `json:"tcp_port"`
	StartTime              int64  `json:"start_time"`
	MaxHeartbeatInterval   int64  `json:"max_heartbeat_interval"`
	MaxOutputBufferSize    int    `json:"max_output_buffer_size"`
	MaxOutputBufferTimeout int64  `json:"max_output_buffer_timeout"`
	MaxDeflateLevel        int    `json:"max_deflate_level"`
	TopologyZone           string `json:"topology_zone"`
	TopologyRegion         string `json:"topology_region"`
}

// info is GET /info.
func (h *HTTP) info(_ http.ResponseWriter, _ *http.Request) (any, error) {
	i := &h.o.Info
	return infoAnswer{
		Version:                version.Number,
		BroadcastAddress:       i.BroadcastAddress,
		Hostname:               i.Hostname,
		HTTPPort:               h.o.Ports.HTTP,
		TCPPort:                h.o.Ports.TCP,
		StartTime:              h.broker.StartTime().Unix(),
		MaxHeartbeatInterval:   int64(i.MaxHeartbeatInterval),
		MaxOutputBufferSize:    i.MaxOutputBufferSize,
		MaxOutputBufferTimeout: int64(i.MaxOutputBufferTimeout),
		MaxDeflateLevel:        i.MaxDeflateLevel,
		TopologyZone:           i.TopologyZone,
		TopologyRegion:         i.TopologyRegion,
	}, nil
}
