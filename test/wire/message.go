package wire

import (
	"encoding/binary"
	"fmt"
)

// Sizes of what precedes a message's body in its frame: timestamp, attempts, id.
const (
	idSize   = 16
	headSize = 8 + 2 + idSize
)

// ID is a message's id as it stands on the wire.
type ID [idSize]byte

// Message is a message frame taken apart.
type Message struct {
	Timestamp int64 // ns
	Attempts  uint16
	ID, Body  string
}

// HeadedMessage is a message frame with headers taken apart.
type HeadedMessage struct {
	Message
	Headers []string // keys and values in turn
}

// Head is what precedes a message's body, without memory of its own.
type Head struct {
	Timestamp int64 // ns
	Attempts  uint16
	ID        ID
}

// ParseHead takes the data of a message frame apart. Body is part of data.
func ParseHead(data []byte) (h Head, body []byte, err error) {
	if len(data) < headSize {
		return h, nil, fmt.Errorf("a message of %d bytes", len(data))
	}
	h.Timestamp = int64(binary.BigEndian.Uint64(data))
	h.Attempts = binary.BigEndian.Uint16(data[8:])
	h.ID = ID(data[10:headSize])
	return h, data[headSize:], nil
}

// ParseMessage is ParseHead with copies.
func ParseMessage(data string) (Message, error) {
	h, body, err := ParseHead([]byte(data))
	return Message{Timestamp: h.Timestamp, Attempts: h.Attempts, ID: string(h.ID[:]), Body: string(body)}, err
}

// ParseHeaded takes the data of a frame with headers apart.
func ParseHeaded(data string) (m HeadedMessage, err error) {
	m.Message, err = ParseMessage(data)
	if err != nil || len(m.Body) < 2 {
		return m, fmt.Errorf("no headers in %q: %w", data, err)
	}
	n := 2 + int(binary.BigEndian.Uint16([]byte(m.Body)))
	if len(m.Body) < n {
		return m, fmt.Errorf("headers are cut short in %q", data)
	}
	left := m.Body[2:n]
	m.Body = m.Body[n:]
	for left != "" {
		key := 1 + int(left[0])
		if len(left) < key+2 || len(left) < key+2+int(binary.BigEndian.Uint16([]byte(left[key:]))) {
			return m, fmt.Errorf("a header is cut short in %q", data)
		}
		end := key + 2 + int(binary.BigEndian.Uint16([]byte(left[key:])))
		m.Headers = append(m.Headers, left[1:key], left[key+2:end])
		left = left[end:]
	}
	return m, nil
}
