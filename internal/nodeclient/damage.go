package nodeclient

import (
	"context"
	"net/url"
	"strconv"

	"qmq/internal/apiclient"
)

func (r *reading) damage() *Damage {
	d := new(Damage)
	r.object(func(key []byte) {
		switch string(key) {
		case "messages":
			d.Messages = r.whole()
		case "journal_bytes":
			d.JournalBytes = r.whole()
		case "last":
			d.Last = r.whole()
		case "findings":
			r.array(func() { d.Findings = append(d.Findings, r.finding()) })
		case "older":
			r.array(func() { d.Older = append(d.Older, r.damageSum()) })
		default:
			r.skip()
		}
	})
	return d
}

func (r *reading) finding() (f Finding) {
	texts := map[string]*string{
		"id": &f.ID, "kind": &f.Kind, "topic": &f.Topic, "channel": &f.Channel, "path": &f.Path, "copy": &f.Copy, "text": &f.Text,
	}
	r.object(func(key []byte) {
		switch into := texts[string(key)]; {
		case into != nil:
			*into = string(r.text())
		case string(key) == "messages":
			f.Messages = r.whole()
		case string(key) == "time":
			f.Time = r.whole()
		default:
			r.skip()
		}
	})
	return f
}

func (r *reading) damageSum() (s DamageSum) {
	r.object(func(key []byte) {
		switch string(key) {
		case "kind":
			s.Kind = string(r.text())
		case "findings":
			s.Findings = r.whole()
		case "messages":
			s.Messages = r.whole()
		default:
			r.skip()
		}
	})
	return s
}

// AcknowledgeDamage has a node show findings up to a number no more.
func (c *Client) AcknowledgeDamage(ctx context.Context, address string, until int64) error {
	query := url.Values{"until": {strconv.FormatInt(until, 10)}}
	return c.api.Post(ctx, apiclient.URL(address, "/damage/ack", query), nil, nil)
}
