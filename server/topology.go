package server

import "qmq/channel"

// locality is how near the client is. Everybody is as near as anybody else
// unless the server is told to care.
func (s *session) locality() channel.Locality {
	o := &s.tcp.o
	if !o.TopologyAware {
		return channel.Anywhere
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.TopologyZone != "" && s.client.zone == o.TopologyZone:
		return channel.SameZone
	case o.TopologyRegion != "" && s.client.region == o.TopologyRegion:
		return channel.SameRegion
	}
	return channel.Anywhere
}
