package broker

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"qmq/internal/vfs"
)

// metadata is metadata.json: the topology in a form that people and tools can
// read. Nothing is ever read back from it.
type metadata struct {
	Topics []metadataTopic `json:"topics"`
}

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
	m := metadata{Topics: []metadataTopic{}}
	for _, t := range w.b.Topics() {
		if t.Ephemeral() {
			continue
		}
		mt := metadataTopic{Name: t.Name(), Paused: t.Paused(), Channels: []metadataChannel{}}
		for _, c := range t.Channels() {
			if !strings.HasSuffix(c.Name(), ephemeralSuffix) {
				mt.Channels = append(mt.Channels, metadataChannel{Name: c.Name(), Paused: c.Paused()})
			}
		}
		m.Topics = append(m.Topics, mt)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = replaceFile(w.b.o.FS, filepath.Join(w.b.o.DataPath, "metadata.json"), append(text, '\n'))
	}
	if err != nil {
		w.b.o.Logger.Warn("metadata.json not written", "error", err)
	}
}

// replaceFile writes a file under another name and puts it in place.
func replaceFile(fs vfs.FS, path string, text []byte) error {
	tmp := path + ".tmp"
	fs.Remove(tmp)
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
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
