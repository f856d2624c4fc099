package nodeclient

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"qmq/internal/apiclient"
)

// Config is what a node says of the settings of a topic or channel, by key.
type Config struct {
	Config map[string]json.RawMessage `json:"config"` // what is in force
	Set    map[string]json.RawMessage `json:"set"`    // what was set of it
	// Patterns is which pattern of the node says what is in force, by the keys of which one
	// does; Settings are all that there are. Nodes of older versions tell neither.
	Patterns map[string]string `json:"patterns,omitempty"`
	Unmet    []string          `json:"unmet,omitempty"` // why what patterns ask for is not in force
	Settings []Setting         `json:"settings,omitempty"`
}

// Setting is one that a node knows.
type Setting struct {
	Name    string `json:"name"`
	Allowed string `json:"allowed"` // what it may be
}

// String is the same for two nodes that say the same.
func (c *Config) String() string {
	text, _ := json.Marshal(c) // which sorts keys, and knows the types
	return string(text)
}

// Configure asks a node for the settings of a topic or channel, after a change if there is
// one: a JSON object of what is to be set, null where a setting is reset. Kind is "topic"
// or "channel"; channel is empty for a topic.
func (c *Client) Configure(ctx context.Context, address, kind, topic, channel string, change []byte) (*Config, error) {
	query := url.Values{"topic": {topic}}
	if channel != "" {
		query.Set("channel", channel)
	}
	method := http.MethodGet
	if change != nil {
		method = http.MethodPut
	}
	var is Config
	if err := c.api.Do(ctx, method, apiclient.URL(address, "/"+kind+"/config", query), change, &is); err != nil {
		return nil, err
	}
	return &is, nil
}
