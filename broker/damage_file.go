package broker

import (
	"encoding/json"
	"io"
	"path/filepath"
	"slices"

	"qmq/internal/vfs"
)

// damageFile is damage.json: the findings that are not acknowledged. The journal
// knows what is.
type damageFile struct {
	Last      uint64      `json:"last"` // number of a finding
	Findings  []Finding   `json:"findings"`
	Counted   []DamageSum `json:"counted"`    // findings too old to be kept one by one
	CountedTo uint64      `json:"counted_to"` // the highest number among those
}

func (b *Broker) damagePath() string { return b.dir().damage() }

func (d dataDir) damage() string { return filepath.Join(d.path, "damage.json") }

// readDamage reads what an earlier process found. A file that cannot be read is
// as good as none: what lasts is found again.
func (d dataDir) readDamage() (was damageFile, err error) {
	text, err := vfs.ReadFile(d.fs, d.damage(), maxFile)
	if err == nil {
		err = json.Unmarshal(text, &was)
	}
	if err != nil {
		was = damageFile{}
	}
	return was, err
}

// writeDamage writes damage.json.
func (b *Broker) writeDamage(w io.Writer) error {
	r := b.damage
	r.mu.Lock()
	is := damageFile{Last: r.last, Findings: []Finding{}, Counted: slices.Clone(r.counted), CountedTo: r.countedTo}
	for _, f := range r.findings {
		is.Findings = append(is.Findings, *f)
	}
	r.mu.Unlock()
	encode := json.NewEncoder(w)
	encode.SetIndent("", "  ")
	return encode.Encode(is)
}
