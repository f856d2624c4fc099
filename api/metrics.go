package api

import (
	"slices"

	"qmq/broker"
	"qmq/internal/histogram"
	"qmq/internal/metrics"
)

// The node's own families. Those of topics and channels, and of a set, are beside what
// fills them.
var (
	nodeHealthy  = &metrics.Family{Name: "qd_healthy", Kind: metrics.Gauge, Help: "1 while messages can be stored and read, as `/ping` says"}
	nodeReady    = &metrics.Family{Name: "qd_ready", Kind: metrics.Gauge, Help: "1 while clients may be sent here, as `/readyz` says"}
	nodeDraining = &metrics.Family{Name: "qd_draining", Kind: metrics.Gauge, Help: "1 while the node is drained"}
	nodeStart    = &metrics.Family{Name: "qd_start_time_seconds", Kind: metrics.Gauge, Help: "When the node began, in seconds since 1970"}
	nodeTopics   = &metrics.Family{Name: "qd_topics", Kind: metrics.Gauge, Help: "Topics"}
	nodeChannels = &metrics.Family{Name: "qd_channels", Kind: metrics.Gauge, Help: "Channels of all topics"}
	nodeIDs      = &metrics.Family{Name: "qd_known_ids_bytes", Kind: metrics.Gauge, Help: "Memory that the ids take by which doubles are known, of all topics together; those of replicated topics are on each member"}

	diskFree = &metrics.Family{Name: "qd_disk_free_bytes", Kind: metrics.Gauge, Help: "Room on the file system of the data directory that may still be used"}
	diskUsed = &metrics.Family{Name: "qd_disk_used_bytes", Kind: metrics.Gauge, Help: "What is in use of it, by whomever"}
	diskKept = &metrics.Family{Name: "qd_disk_min_free_bytes", Kind: metrics.Gauge, Help: "Room that is to stay free (`--min-free-bytes`, `--min-free-percent`)"}

	sessionsNow      = &metrics.Family{Name: "qd_sessions", Kind: metrics.Gauge, Help: "Clients that are connected over TCP"}
	sessionsEver     = &metrics.Family{Name: "qd_sessions_total", Kind: metrics.Counter, Help: "Clients that connected over TCP"}
	sessionsRefused  = &metrics.Family{Name: "qd_connections_refused_total", Kind: metrics.Counter, Help: "Connections beyond `--max-connections`, HTTP included"}
	publishesRefused = &metrics.Family{Name: "qd_publishes_refused_total", Kind: metrics.Counter, Labels: []string{"reason"},
		Help: "Publishes that were refused, an MPUB counting once: `draining`, `space` (too little room), `limit` (of topics), `full` (the topic's settings), `exiting`, `storage` (a disk that is full or fails, a set without majority)"}

	httpPolls   = &metrics.Family{Name: "qd_http_polls", Kind: metrics.Gauge, Help: "Requests of `POST /sub` under way, of `--max-http-polls`"}
	httpLeased  = &metrics.Family{Name: "qd_http_leased_messages", Kind: metrics.Gauge, Help: "Messages in flight at clients that consume over HTTP, of `--max-http-leases`"}
	httpPolled  = &metrics.Family{Name: "qd_http_polls_total", Kind: metrics.Counter, Help: "Requests of `POST /sub`"}
	httpRefused = &metrics.Family{Name: "qd_http_polls_refused_total", Kind: metrics.Counter, Help: "Those that a limit refused"}
	httpLeases  = &metrics.Family{Name: "qd_http_leases_total", Kind: metrics.Counter, Labels: []string{"end"},
		Help: "Messages that were given to such clients, by what became of it: `answered` (finished, requeued), `expired`, `returned` (the client had gone before they were sent)"}

	logWrites     = &metrics.Family{Name: "qd_log_write_seconds", Kind: metrics.Histogram, Help: "Appends to segments of topics: one `write(2)` for all that publish at a time"}
	logSyncs      = &metrics.Family{Name: "qd_log_sync_seconds", Kind: metrics.Histogram, Help: "Syncs of segments of topics"}
	journalWrites = &metrics.Family{Name: "qd_journal_write_seconds", Kind: metrics.Histogram, Help: "Writes to the journal"}
	journalSyncs  = &metrics.Family{Name: "qd_journal_sync_seconds", Kind: metrics.Histogram, Help: "Syncs of the journal"}

	spansSent    = &metrics.Family{Name: "qd_spans_sent_total", Kind: metrics.Counter, Help: "Spans that the collector took (`--otlp-endpoint`)"}
	spansDropped = &metrics.Family{Name: "qd_spans_dropped_total", Kind: metrics.Counter, Help: "Spans that it did not take, or that were too many to wait for it"}

	damageFindings = &metrics.Family{Name: "qd_damage_findings", Kind: metrics.Gauge, Help: "What was found amiss on the disk and nobody acknowledged"}
	damageMessages = &metrics.Family{Name: "qd_damage_messages", Kind: metrics.Gauge, Help: "Messages that are lost by that"}

	directoriesOf   = &metrics.Family{Name: "qd_lookup_directories", Kind: metrics.Gauge, Help: "Lookup directories that the node is to register with"}
	directoriesWith = &metrics.Family{Name: "qd_lookup_directories_registered", Kind: metrics.Gauge, Help: "Those that know all that the node has"}
)

// nodeFamilies are the above, in the order of the documentation.
var nodeFamilies = []*metrics.Family{
	nodeHealthy, nodeReady, nodeDraining, nodeStart, nodeTopics, nodeChannels, nodeIDs, diskFree, diskUsed, diskKept,
	sessionsNow, sessionsEver, sessionsRefused, publishesRefused,
	httpPolls, httpPolled, httpRefused, httpLeased, httpLeases, logWrites, logSyncs, journalWrites, journalSyncs,
	damageFindings, damageMessages, directoriesOf, directoriesWith, spansSent, spansDropped,
}

// MetricFamilies are all families of /metrics, for the documentation: of the node, of topics
// and channels, and of a set of replicas.
func MetricFamilies() (node, topics, set []*metrics.Family) {
	for _, f := range topicFamilies {
		topics = append(topics, f.Family)
	}
	for _, f := range channelFamilies {
		topics = append(topics, f.Family)
	}
	return slices.Clone(nodeFamilies), append(topics, handedOutSeconds, doneSeconds), slices.Clone(setFamilies)
}

// none are the labels of a family without any.
var none metrics.Labels

// collector fills pages with the figures of a node. It belongs to one goroutine at a time.
type collector struct {
	http    *HTTP
	figures *Figures // without percentiles, which cost much
	topics  topicCap
}

func newCollector(h *HTTP) *collector {
	return &collector{http: h, figures: NewFigures(h.broker, h.sessions, nil), topics: topicCap{most: h.o.MetricsMaxTopics}}
}

// fill adds all there is to a page.
func (c *collector) fill(p *metrics.Page) {
	h, b := c.http, c.http.broker
	p.AddTruth(nodeHealthy, b.Health() == nil, none)
	p.AddTruth(nodeReady, h.unready() == nil, none)
	p.AddTruth(nodeDraining, b.Draining(), none)
	p.Add(nodeStart, float64(b.StartTime().Unix()), none)
	if s, known := b.Space(); known {
		p.Add(diskFree, float64(s.Free), none)
		p.Add(diskUsed, float64(s.Used), none)
		p.Add(diskKept, float64(b.SpaceWanted(s)), none)
	}
	now, ever := h.sessions.Sessions()
	p.Add(sessionsNow, float64(now), none)
	p.Add(sessionsEver, float64(ever), none)
	p.Add(sessionsRefused, float64(h.o.Places.Refused()), none)
	for _, kind := range broker.Refusals() {
		p.Add(publishesRefused, float64(b.Refused(kind)), metrics.LabelsOf("reason", kind.String()))
	}
	c.fillLeases(p)
	c.fillTimings(p)
	damage := b.Damage()
	findings := uint64(len(damage.Findings))
	for _, older := range damage.Older {
		findings += older.Findings
	}
	p.Add(damageFindings, float64(findings), none)
	p.Add(damageMessages, float64(damage.Messages), none)
	if h.o.Directories != nil {
		with, of := h.o.Directories.Registered()
		p.Add(directoriesWith, float64(with), none)
		p.Add(directoriesOf, float64(of), none)
	}
	if h.o.Tracer != nil {
		sent, dropped := h.o.Tracer.Counts()
		p.Add(spansSent, float64(sent), none)
		p.Add(spansDropped, float64(dropped), none)
	}
	c.fillTopics(p)
	if h.o.ReplicaSet != nil {
		fillSet(p, h.o.ReplicaSet())
	}
}

func (c *collector) fillLeases(p *metrics.Page) {
	n := c.http.leases.Counts()
	p.Add(httpPolls, float64(n.Polls), none)
	p.Add(httpPolled, float64(n.Polled), none)
	p.Add(httpRefused, float64(n.Refused), none)
	p.Add(httpLeased, float64(n.Messages), none)
	for _, end := range []struct {
		how   string
		count uint64
	}{{"answered", n.Answered}, {"expired", n.Expired}, {"returned", n.Returned}} {
		p.Add(httpLeases, float64(end.count), metrics.LabelsOf("end", end.how))
	}
}

func (c *collector) fillTimings(p *metrics.Page) {
	t := c.http.broker.Timings()
	for _, each := range []struct {
		family *metrics.Family
		took   *histogram.Histogram
	}{{logWrites, t.LogWrites}, {logSyncs, t.LogSyncs}, {journalWrites, t.JournalWrites}, {journalSyncs, t.JournalSyncs}} {
		var s histogram.Snapshot
		each.took.AddTo(&s)
		p.AddHistogram(each.family, &s, none)
	}
}
