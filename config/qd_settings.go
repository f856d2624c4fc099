package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"qmq/settings"
)

// claim takes the tables of settings: [topic."PATTERN"] and [channel."TOPIC/CHANNEL"].
func (q *QD) claim(key string, v any, file string, r *review) bool {
	if key != "topic" && key != "channel" {
		return false
	}
	if q.Settings == nil {
		q.Settings = new(settings.Rules)
	}
	add, example := q.Settings.AddTopics, `[topic."orders*"]`
	if key == "channel" {
		add, example = q.Settings.AddChannels, `[channel."orders*/billing"]`
	}
	tables, ok := v.(map[string]any)
	if !ok {
		r.mistake("failed to load config file %s - %s must be tables such as %s", file, key, example)
		return true
	}
	for _, pattern := range slices.Sorted(maps.Keys(tables)) {
		values, ok := tables[pattern].(map[string]any)
		if !ok {
			r.mistake("failed to load config file %s - %s.%s must be a table such as %s", file, key, quote(pattern), example)
			continue
		}
		r.settings(fmt.Sprintf("failed to load config file %s - [%s.%q] ", file, key, pattern), add(pattern, values))
	}
	return true
}

// settings notes what is wrong with settings, a mistake each.
func (r *review) settings(where string, err error) {
	var mistakes settings.Mistakes
	errors.As(err, &mistakes)
	for _, text := range mistakes {
		r.mistake("%s%s", where, text)
	}
}

func (q *QD) relateSettings(r *review) {
	r.settings("failed to load config file "+q.ConfigFile+" - ", q.Settings.Refuse(q.MsgTimeout, q.MaxMsgTimeout))
}

// claim takes nothing.
func (q *QLookupd) claim(string, any, string, *review) bool { return false }

// claim takes nothing.
func (q *QAdmin) claim(string, any, string, *review) bool { return false }
