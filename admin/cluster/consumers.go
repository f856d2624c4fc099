package cluster

import (
	"slices"
	"strings"
	"time"

	"qmq/internal/nodeclient"
)

// maxConsumers of a channel are shown.
const maxConsumers = 1000

// Consumers are those of a channel, as its nodes have told; the zero value: they
// are not known.
type Consumers struct {
	rows  []ConsumerRow
	ready int64     // RDY of all of them
	held  int64     // messages in flight with all of them
	At    time.Time // of the answers
}

// NewConsumers puts those with the most messages in flight first.
func NewConsumers(rows []ConsumerRow, at time.Time) Consumers {
	slices.SortStableFunc(rows, func(a, b ConsumerRow) int {
		if a.InFlight != b.InFlight {
			return int(b.InFlight - a.InFlight)
		}
		return strings.Compare(a.Node+a.Address, b.Node+b.Address)
	})
	k := Consumers{rows: rows, At: at}
	for i := range rows {
		k.ready += rows[i].Ready
		k.held += rows[i].InFlight
	}
	return k
}

// ConsumerRow is a consumer as the page gets it.
type ConsumerRow struct {
	ID          string `json:"id"`
	Hostname    string `json:"hostname"`
	Address     string `json:"address"`
	Agent       string `json:"agent"`
	Node        string `json:"node"`
	Name        string `json:"name"`
	Zone        string `json:"zone"`
	Region      string `json:"region"`
	Ready       int64  `json:"ready"`
	InFlight    int64  `json:"in_flight"`
	Finished    int64  `json:"finished"`
	Requeued    int64  `json:"requeued"`
	Messages    int64  `json:"messages"`
	TLS         string `json:"tls"`
	Compression string `json:"compression"`
	SampleRate  int64  `json:"sample_rate"`
	Identity    string `json:"identity"`
	Connected   int64  `json:"connected"`
	Hot         bool   `json:"hot"`
}

// NewConsumerRow is a consumer that a node told of.
func NewConsumerRow(k *nodeclient.Consumer, at Target) ConsumerRow {
	row := ConsumerRow{
		ID: k.ID, Hostname: k.Hostname, Address: k.RemoteAddress, Agent: k.UserAgent, Node: at.ID, Name: at.Name,
		Zone: k.Zone, Region: k.Region, Ready: k.ReadyCount, InFlight: k.InFlight, Finished: k.Finished,
		Requeued: k.Requeued, Messages: k.Messages, SampleRate: k.SampleRate, Identity: k.AuthIdentity, Connected: k.ConnectTime * 1000,
	}
	if k.TLS {
		row.TLS = strings.Replace(k.TLSVersion, "TLS", "TLS ", 1)
	}
	switch {
	case k.Snappy:
		row.Compression = "snappy"
	case k.Deflate:
		row.Compression = "deflate"
	}
	return row
}
