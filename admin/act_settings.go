package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"qmq/admin/cluster"
)

// The actions that set and reset settings of topics and channels. Each node that has one
// for itself is asked, and of those that have it together one.
const (
	configureTopic   = "configure_topic"
	configureChannel = "configure_channel"
)

// configures tells whether the order changes settings.
func (o *order) configures() bool { return o.Action == configureTopic || o.Action == configureChannel }

// validSettings checks what is to be set, as far as the nodes do not.
func (o *order) validSettings() error {
	if o.configures() && len(o.Settings) == 0 {
		return badRequest("What is to be set is missing.")
	}
	return nil
}

// configure has a node change settings.
func (s *Server) configure(ctx context.Context, o *order, at cluster.Target) error {
	change, err := json.Marshal(o.Settings)
	if err != nil {
		return err
	}
	_, kind := o.verb()
	_, err = s.up.nodes.Configure(ctx, at.Address, kind, o.Topic, o.Channel, change)
	return explained(err)
}

// noSettings is what nsqd cannot.
func noSettings(kind string) string { return "has no settings of " + kind + "s" }

// wanted is what is to be set, in few words.
func (o *order) wanted() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(o.Settings)) {
		if value := o.Settings[name]; !bytes.Equal(value, []byte("null")) {
			list = append(list, name+" = "+string(value))
		} else {
			list = append(list, name+" reset")
		}
	}
	return strings.Join(list, ", ")
}
