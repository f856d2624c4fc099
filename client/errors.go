package client

import (
	"errors"
	"fmt"
	"strings"

	"qmq/internal/tcpclient"
	"qmq/protocol"
)

// ErrClosed means that the client was closed.
var ErrClosed = errors.New("the client is closed")

// ErrNoHeaders means that a node takes no headers, as NSQ's: what needs them (headers,
// keys, priorities, dedup ids, requests) went nowhere.
var ErrNoHeaders = tcpclient.ErrNoHeaders

// RefusedError means that a node refused what other nodes would refuse too. Nothing was
// stored.
type RefusedError struct {
	Node string
	Err  error // in the node's words
}

func (e *RefusedError) Error() string { return e.Node + " refuses: " + e.Err.Error() }

// Unwrap returns the node's words.
func (e *RefusedError) Unwrap() error { return e.Err }

// UnansweredError means that messages were sent to a node, and that it is not known
// whether they are stored there.
type UnansweredError struct {
	Node string
	Err  error // why there is no answer
}

func (e *UnansweredError) Error() string {
	return "whether it is stored at " + e.Node + " is not known: " + e.Err.Error()
}

// Unwrap returns why there is no answer.
func (e *UnansweredError) Unwrap() error { return e.Err }

// UnpublishedError means that no node took the messages. Nothing was stored.
type UnpublishedError struct {
	Topic string
	Tried []NodeError // the last failure of each node that was tried; none: no node is known
	Err   error       // why it was given up, or why no nodes are known
}

// NodeError is a node's failure.
type NodeError struct {
	Node string // TCP address; of those that were not tried, the HTTP address
	Err  error
}

func (e *UnpublishedError) Error() string {
	texts := make([]string, len(e.Tried))
	for i, f := range e.Tried {
		texts[i] = f.Node + ": " + strings.TrimPrefix(f.Err.Error(), f.Node+": ")
	}
	what := fmt.Sprintf("not published to %s: %v", e.Topic, e.Err)
	if len(texts) > 0 {
		what += " (" + strings.Join(texts, "; ") + ")"
	}
	return what
}

// Unwrap returns why it was given up, and the failures of the nodes.
func (e *UnpublishedError) Unwrap() []error {
	errs := []error{e.Err}
	for _, f := range e.Tried {
		errs = append(errs, f.Err)
	}
	return errs
}

// isForNow tells whether a node's refusal says nothing of other nodes, nor of later.
func isForNow(err *tcpclient.RefusedError) bool {
	switch err.Code {
	case protocol.CodePubFailed, protocol.CodeMpubFailed, protocol.CodeDpubFailed, protocol.CodeHpubFailed, protocol.CodeHmpubFailed:
		return true
	}
	return false
}
