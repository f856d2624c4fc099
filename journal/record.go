package journal

import "qmq/state"

// A frame's payload is one record. Most are those of package state; these tell
// of the files:
//
//	[4, records, topics, channels, maxIncarnation]       checkpoint: its end
//	[5, boot, before, beforeEnd(, starting)]             first in each file
//	[8, end]                                             this log was synced up to there
//
// In the first record of a file boot is the machine's boot, before the number
// of the log that was written until then (0: none) and beforeEnd a length that
// this log had at least, on the disk, so that its loss is noticed. When power is
// lost, what was not synced reaches the disk in any order and with holes: only
// what is unreadable below a synced end is damage.
//
// Starting is there, and true, while the first start after the end of the machine
// has not noted yet what that took. Once it has, it writes the record again without:
// till then later starts have to take as much for possible. A version that does not
// know of it passes it over.
const (
	kindEnd    state.Kind = 4
	kindFirst  state.Kind = 5
	kindSynced state.Kind = 8
)

type endRecord struct {
	Kind           state.Kind
	Records        uint64 // before this one
	Topics         uint64
	Channels       uint64
	MaxIncarnation uint64
}

type firstRecord struct {
	Kind      state.Kind
	Boot      string
	Before    uint64
	BeforeEnd int64
	Starting  bool // written where it is true only
}

type syncedRecord struct {
	Kind state.Kind
	End  int64
}

// settledRecord is a firstRecord that does not say that a start is under way.
type settledRecord struct {
	Kind      state.Kind
	Boot      string
	Before    uint64
	BeforeEnd int64
}

func encodeFirst(e *state.Encoder, r firstRecord) []byte {
	if r.Kind = kindFirst; r.Starting {
		return e.Encode(&r)
	}
	return e.Encode(&settledRecord{r.Kind, r.Boot, r.Before, r.BeforeEnd})
}

func encodeSynced(e *state.Encoder, end int64) []byte {
	return e.Encode(&syncedRecord{Kind: kindSynced, End: end})
}

func encodeEnd(e *state.Encoder, records, topics, channels, maxIncarnation uint64) []byte {
	return e.Encode(&endRecord{
		Kind: kindEnd, Records: records, Topics: topics, Channels: channels, MaxIncarnation: maxIncarnation,
	})
}

func decodeFirst(d *state.Decoder, payload []byte) (r firstRecord, err error) {
	err = d.Decode(payload, &r)
	return r, err
}

func decodeSynced(d *state.Decoder, payload []byte) (end int64, err error) {
	var r syncedRecord
	err = d.Decode(payload, &r)
	return r.End, err
}

func decodeEnd(d *state.Decoder, payload []byte) (r endRecord, err error) {
	err = d.Decode(payload, &r)
	return r, err
}
