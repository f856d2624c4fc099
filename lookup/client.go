package lookup

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/internal/apiclient"
)

// ClientOptions configure a client.
type ClientOptions struct {
	// ConnectTimeout is for a new connection, RequestTimeout for a request with
	// its answer; 0: no limit.
	ConnectTimeout, RequestTimeout time.Duration
	TLS                            *tls.Config // for directories that want https
	UserAgent                      string
	Accounts                       *apiclient.Accounts // of directories; nil: none
	NamesNobody                    bool                // errors have no URL, and the address once
}

// Client asks directories over HTTP. Every call asks all the addresses it is
// given (host:port or URL) at the same time and merges what they answer; they
// need not agree. Its error is nil or a *[PartialError], with which comes what
// the others answered. All methods may be called concurrently.
type Client struct {
	api     *apiclient.Client
	waiting *apiclient.Client // for requests that take long on purpose
}

// maxFollowed is how many requests may wait at one directory at a time.
const maxFollowed = 1000

// maxAnswer is the longest answer of a directory in bytes.
const maxAnswer = 64 << 20

// NewClient makes a client. It connects when it is asked something.
func NewClient(o ClientOptions) *Client {
	options := apiclient.Options{
		ConnectTimeout: o.ConnectTimeout, RequestTimeout: o.RequestTimeout,
		TLS: o.TLS, UserAgent: o.UserAgent, Accounts: o.Accounts, MaxAnswer: maxAnswer, NamesNobody: o.NamesNobody,
	}
	c := &Client{api: apiclient.New(options)}
	options.RequestTimeout, options.MaxConnections = 0, maxFollowed
	c.waiting = apiclient.New(options)
	return c
}

// Close ends the connections that are kept.
func (c *Client) Close() {
	c.api.Close()
	c.waiting.Close()
}

// AddressError is why one directory gave no answer.
type AddressError struct {
	Address string
	Err     error
}

func (e AddressError) Error() string { return e.Address + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e AddressError) Unwrap() error { return e.Err }

// PartialError means that some of the directories, or all, gave no answer.
type PartialError struct {
	Failed []AddressError // in the order of the addresses
	Asked  int            // how many directories were asked
}

// All says that not one of them answered.
func (e *PartialError) All() bool { return len(e.Failed) == e.Asked }

func (e *PartialError) Error() string {
	texts := make([]string, len(e.Failed))
	for i, f := range e.Failed {
		texts[i] = f.Error()
	}
	return fmt.Sprintf("%d of %d gave no answer: %s", len(e.Failed), e.Asked, strings.Join(texts, "; "))
}

// Unwrap returns the reasons.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f
	}
	return errs
}

// askAll calls ask for all addresses at once and returns the answers of those
// that gave one, in their order.
func askAll[A any](addresses []string, ask func(address string) (A, error)) ([]A, error) {
	answers, errs := make([]A, len(addresses)), make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { answers[i], errs[i] = ask(address) })
	}
	asking.Wait()
	var given []A
	partial := &PartialError{Asked: len(addresses)}
	for i, err := range errs {
		if err != nil {
			partial.Failed = append(partial.Failed, AddressError{addresses[i], err})
			continue
		}
		given = append(given, answers[i])
	}
	if len(partial.Failed) > 0 {
		return given, partial
	}
	return given, nil
}

// get asks all addresses the same question.
func get[A any](ctx context.Context, c *Client, addresses []string, path string, query url.Values) ([]A, error) {
	return askAll(addresses, func(address string) (a A, err error) {
		err = c.api.Get(ctx, apiclient.URL(address, path, query), &a)
		return a, err
	})
}

// post tells all addresses the same. A refusal with a status that is in fine
// says that there was nothing to do.
func (c *Client) post(ctx context.Context, addresses []string, path string, query url.Values, fine ...int) error {
	_, err := askAll(addresses, func(address string) (struct{}, error) {
		err := c.api.Post(ctx, apiclient.URL(address, path, query), nil, nil)
		for _, status := range fine {
			if apiclient.IsStatus(err, status) {
				err = nil
			}
		}
		return struct{}{}, err
	})
	return err
}

// Topics lists all topics, sorted.
func (c *Client) Topics(ctx context.Context, addresses []string) ([]string, error) {
	answers, err := get[TopicsAnswer](ctx, c, addresses, "/topics", nil)
	return union(answers, func(a TopicsAnswer) []string { return a.Topics }), err
}

// Channels lists the channels of a topic, sorted.
func (c *Client) Channels(ctx context.Context, addresses []string, topic string) ([]string, error) {
	answers, err := get[ChannelsAnswer](ctx, c, addresses, "/channels", url.Values{"topic": {topic}})
	return union(answers, func(a ChannelsAnswer) []string { return a.Channels }), err
}

// union is the sorted list of all names.
func union[A any](answers []A, names func(A) []string) []string {
	var all []string
	for _, a := range answers {
		all = append(all, names(a)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
