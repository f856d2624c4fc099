package httpapi

import (
	"bufio"
	"encoding/json"
	"iter"
	"net/http"
	"sync"
)

// Stream is a long answer that is made while it is sent, so that a client that
// reads slowly, or not at all, holds next to nothing of it.
type Stream struct {
	JSON bool // else it is text
	// Write writes the answer. Its error is the answer if nothing has been sent
	// yet; else the connection is cut, so that nobody takes a part for the whole.
	Write func(w *bufio.Writer) error
}

// streamBytes are gathered before anything is sent.
const streamBytes = 32 << 10

var streamBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, streamBytes) }}

// beginning is the connection of a stream; it notes that something was sent.
type beginning struct {
	http.ResponseWriter
	begun bool
}

func (b *beginning) Write(p []byte) (int, error) {
	b.begun = true
	return b.ResponseWriter.Write(p)
}

func (s *Stream) send(w http.ResponseWriter) (status int) {
	to := &beginning{ResponseWriter: w}
	buffer := streamBuffers.Get().(*bufio.Writer)
	buffer.Reset(to)
	defer func() {
		buffer.Reset(nil)
		streamBuffers.Put(buffer)
	}()
	w.Header()["Content-Type"] = plainText
	if s.JSON {
		w.Header()["Content-Type"] = jsonText
	}
	err := s.Write(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	switch {
	case err != nil && to.begun:
		panic(http.ErrAbortHandler)
	case err != nil:
		return respondError(w, err)
	}
	return http.StatusOK
}

// WriteArray writes the JSON of an array, an element after the other; empty is
// what is written without any.
func WriteArray[T any](w *bufio.Writer, elements iter.Seq[T], empty string) error {
	before := byte('[')
	for e := range elements {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		w.WriteByte(before)
		if _, err := w.Write(text); err != nil {
			return err
		}
		before = ','
	}
	if before == '[' {
		_, err := w.WriteString(empty)
		return err
	}
	return w.WriteByte(']')
}
