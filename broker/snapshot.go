package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"qmq/internal/vfs"
)

// metadataTopic is an element of the list "topics" of metadata.json, the
// topology in a form that people and tools can read. Nothing is ever read back
// from it.
type metadataTopic struct {
	Name     string            `json:"name"`
	Paused   bool              `json:"paused"`
	Channels []metadataChannel `json:"channels"`
}

type metadataChannel struct {
	Name   string `json:"name"`
	Paused bool   `json:"paused"`
}

// snapshotDelay gathers changes that come together into one write.
const snapshotDelay = time.Second

// snapshotWriter writes metadata.json a little after a change of the topology.
type snapshotWriter struct {
	b *Broker

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	closed  bool
	writing sync.Mutex // held while the file is written; taken before mu
}

func (w *snapshotWriter) init(b *Broker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = b
}

// changed says that the topology is not what the file says any more.
func (w *snapshotWriter) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.b == nil || w.timer != nil {
		return
	}
	w.timer = time.AfterFunc(snapshotDelay, w.due)
}

// due is called by the timer.
func (w *snapshotWriter) due() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	w.timer = nil
	closed := w.closed
	w.mu.Unlock()
	if !closed {
		w.write()
	}
}

// close writes the last state. Nothing is written after it.
func (w *snapshotWriter) close() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.write()
}

// write writes the file. The caller holds w.writing.
func (w *snapshotWriter) write() {
	err := replaceFile(w.b.disk.FS(), filepath.Join(w.b.o.DataPath, "metadata.json"), w.b.writeMetadata)
	if err != nil {
		w.b.o.Logger.Warn("metadata.json not written", "error", err)
	}
}

// writeMetadata writes the topics one by one: the whole of a large node's
// metadata would take megabytes.
func (b *Broker) writeMetadata(w io.Writer) error {
	var text bytes.Buffer
	encode := json.NewEncoder(&text)
	encode.SetIndent("    ", "  ")
	mt := metadataTopic{Channels: []metadataChannel{}}
	first := true
	io.WriteString(w, "{\n  \"topics\": [") // an error comes back with a later write
	for _, t := range b.Topics() {
		if t.Ephemeral() {
			continue
		}
		mt.Name, mt.Paused, mt.Channels = t.Name(), t.Paused(), mt.Channels[:0]
		for _, c := range t.Channels() {
			if !strings.HasSuffix(c.Name(), ephemeralSuffix) {
				mt.Channels = append(mt.Channels, metadataChannel{Name: c.Name(), Paused: c.Paused()})
			}
		}
		text.Reset()
		if err := encode.Encode(&mt); err != nil {
			return err
		}
		separator := ",\n    "
		if first {
			separator, first = "\n    ", false
		}
		io.WriteString(w, separator)
		w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	}
	end := "\n  ]\n}\n"
	if first {
		end = "]\n}\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// replaceFile writes a file under another name and puts it in place.
func replaceFile(fs vfs.FS, path string, write func(io.Writer) error) error {
	tmp := path + ".tmp"
	fs.Remove(tmp)
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(io.NewOffsetWriter(f, 0)) // which keeps the first error
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		fs.Remove(tmp)
	}
	return err
}
