package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"qmq/internal/tcpclient"
	"qmq/message"
)

// outgoing is a message that is to be published.
type outgoing struct {
	headers []byte // encoded, see message.AttrHeaders; nil: none
	body    []byte
	delay   time.Duration
}

// batch are messages that are published together. Its first one came from that
// piece of the input, counted from 1.
type batch struct {
	messages []outgoing
	from     int64
	bytes    int
}

// pieces is an input, piece by piece.
type pieces interface {
	next() ([]byte, error) // io.EOF at the end
	// ready tells whether another piece can be had without waiting, as far as that
	// is known.
	ready() bool
}

// splitter cuts an input into pieces at a delimiter.
type splitter struct {
	r         *bufio.Reader
	delimiter []byte // empty: the whole input is one piece
}

const (
	// maxPiece bounds what is read as one message, in bytes; nodes take less
	// unless they are told otherwise.
	maxPiece    = 256 << 20
	inputBuffer = 256 << 10
)

var errTooLong = errors.New("a message is longer than 256 MiB; is the delimiter right?")

// next is the next piece, without its delimiter. The last one needs none.
func (s *splitter) next() ([]byte, error) {
	var piece []byte
	if len(s.delimiter) == 0 {
		piece, err := io.ReadAll(io.LimitReader(s.r, maxPiece+1))
		switch {
		case err == nil && len(piece) > maxPiece:
			err = errTooLong
		case err == nil && len(piece) == 0:
			err = io.EOF
		}
		return piece, err
	}
	last := s.delimiter[len(s.delimiter)-1]
	for {
		part, err := s.r.ReadSlice(last)
		piece = append(piece, part...)
		switch {
		case err == nil && bytes.HasSuffix(piece, s.delimiter):
			return piece[:len(piece)-len(s.delimiter)], nil
		case err == io.EOF && len(piece) > 0:
			return piece, nil
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		case len(piece) > maxPiece:
			return nil, errTooLong
		}
	}
}

func (s *splitter) ready() bool {
	n := s.r.Buffered()
	if n == 0 || len(s.delimiter) == 0 {
		return false
	}
	buffered, _ := s.r.Peek(n)
	return bytes.Contains(buffered, s.delimiter)
}

// batches reads the input to its end and hands over batches: what has come is not
// kept waiting for what has not.
func (p *pubCommand) batches(ctx context.Context, s pieces, to chan<- batch) error {
	defer close(to)
	b, piece := batch{from: 1}, int64(0)
	send := func() bool {
		if len(b.messages) == 0 {
			return true
		}
		select {
		case to <- b:
			b = batch{from: piece + 1}
			return true
		case <-ctx.Done():
			return false
		}
	}
	for left := p.Count; p.Count == 0 || left > 0; {
		text, err := s.next()
		if err == io.EOF {
			break
		}
		piece++
		if err != nil {
			send()
			return err
		}
		if len(text) == 0 {
			continue // nodes take no empty messages
		}
		m, err := p.message(text)
		if err != nil {
			send()
			return fmt.Errorf("line %d: %w", piece, err)
		}
		left--
		if b.bytes > 0 && b.bytes+len(m.body) > tcpclient.MaxBatch && !send() {
			return nil
		}
		b.messages, b.bytes = append(b.messages, m), b.bytes+len(m.body)
		if (len(b.messages) >= p.most() || !s.ready()) && !send() {
			return nil
		}
	}
	send()
	return nil
}

// message is what a piece of the input says.
func (p *pubCommand) message(text []byte) (m outgoing, err error) {
	if !p.JSONLines {
		return outgoing{headers: p.described, body: text, delay: p.Defer}, nil
	}
	if m, err = parseRecord(text); m.delay == 0 {
		m.delay = p.Defer
	}
	if len(p.described) > 0 && err == nil {
		m.headers = slices.Concat(p.described, m.headers)
		err = new(message.Meta).Describe(m.headers)
	}
	return m, err
}

// unescape reads a delimiter as it is written on a command line.
func unescape(text string) []byte {
	return []byte(strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\0`, "\x00", `\\`, `\`).Replace(text))
}
