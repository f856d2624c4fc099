package loadgen

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qmq/internal/address"
	"qmq/internal/apiclient"
)

// A directory keeps the name of a topic when its last node has left it. A node
// tells where it registers, which is an address of TCP; the HTTP address is the
// next port, unless somebody chose another.

const (
	// unregisterTime is how long a node may take to tell its directories that a
	// topic is gone.
	unregisterTime  = 2 * time.Second
	unregisterPause = 20 * time.Millisecond
)

// forget deletes topics that the run made and has removed from the node from
// the node's directories, and says what could not be done.
func (r *run) forget(api *apiclient.Client, topics []string) {
	if len(topics) == 0 {
		return
	}
	addresses := r.load.Directories
	if len(addresses) == 0 {
		var err error
		if addresses, err = r.directories(api); err != nil {
			r.say(fmt.Sprintf("the names of topics that are gone may be left in the node's directories, which it does not tell: %v", err))
			return
		}
	}
	for _, at := range addresses {
		for _, topic := range topics {
			if err := forgetAt(api, at, topic); err != nil {
				r.say(fmt.Sprintf("the names of topics that are gone are left in the directory whose HTTP address should be %s (--lookupd-http-address): %v", at, err))
				break
			}
		}
	}
}

// say tells something, if anybody wants to know.
func (r *run) say(text string) {
	if r.load.Say != nil {
		r.load.Say(text)
	}
}

// directories are the HTTP addresses that the node's directories should have.
func (r *run) directories(api *apiclient.Client) (list []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	var registers []string
	if err := api.Get(ctx, apiclient.URL(r.target.HTTP, "/config/nsqlookupd_tcp_addresses", nil), &registers); err != nil {
		return nil, err
	}
	for _, tcp := range registers {
		host, text, err := net.SplitHostPort(tcp)
		if err != nil {
			return nil, err
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		list = append(list, address.Join(host, port+1))
	}
	return list, nil
}

// forgetAt has one directory forget a topic, once no node has it there.
func forgetAt(api *apiclient.Client, at, topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	query := url.Values{"topic": {topic}}
	for end := time.Now().Add(unregisterTime); ; time.Sleep(unregisterPause) {
		var answer struct {
			Producers []any `json:"producers"`
		}
		err := api.Get(ctx, apiclient.URL(at, "/lookup", query), &answer)
		switch {
		case err != nil && apiclient.IsStatus(err, http.StatusNotFound) && strings.Contains(err.Error(), "TOPIC_NOT_FOUND"):
			return nil // it has never heard of it
		case err != nil:
			return err
		case len(answer.Producers) == 0:
			return api.Post(ctx, apiclient.URL(at, "/topic/delete", query), nil, nil)
		case time.Now().After(end):
			return fmt.Errorf("topic %s still has nodes there", topic)
		}
	}
}
