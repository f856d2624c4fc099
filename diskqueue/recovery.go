package diskqueue

import "qmq/internal/seqset"

// Recovery says what Open found.
type Recovery struct {
	// TornBytes stand behind the ends of segments and look like the start of
	// more: writes that the end of the process or of the machine cut short.
	// Nothing that was promised was in them.
	TornBytes int64
	// Skipped is numbers that no segment holds or need hold: those that a loss of
	// power took before they were synced, where records above them are there, and
	// those between the last record and where this start goes on. The caller has
	// to tell them to later starts as given up, before it says that the log is
	// synced up to some end above them.
	Skipped []seqset.Range
	// Unread says that something could not be read, so that a later start may have
	// more to skip: what it then finds torn may be what a loss of power left.
	Unread bool
	// Findings is what is amiss, also what former starts found already: as long
	// as the files say so. Where nothing but power was lost there is none.
	Findings []Finding
}

// Lost is how many messages the findings say are lost.
func (r *Recovery) Lost() (n uint64) {
	for _, f := range r.Findings {
		n += f.Lost
	}
	return n
}

// FindingKind is what is amiss.
type FindingKind string

// The kinds of findings.
const (
	// Damaged records do not verify, though good ones stand behind them, or
	// their segment's index says that they were good.
	Damaged FindingKind = "damaged"
	// Unreadable records are where the file system returns errors.
	Unreadable FindingKind = "unreadable"
	// Missing records were in the log and are in no segment now.
	Missing FindingKind = "missing"
	// HeaderDamaged is a segment whose header is damaged in one place or both,
	// and that is served all the same.
	HeaderDamaged FindingKind = "header"
	// Misplaced is a segment under the name of another. It is served.
	Misplaced FindingKind = "misplaced"
	// Foreign is a file that has the name of a segment, and is none of this log
	// or cannot be told to be. It is left alone.
	Foreign FindingKind = "foreign"
	// Inconsistent is a file that says of a segment what is not so. Check finds
	// it; reading goes by what the records say.
	Inconsistent FindingKind = "inconsistent"
)

// Finding is one thing that is amiss with a log. Kind, Path and Range together
// tell it from others, and are the same each time it is found.
type Finding struct {
	Kind  FindingKind
	Path  string       // of the file; of the directory when no file is known
	Range seqset.Range // the sequence numbers concerned, if any are
	Lost  uint64       // how many of them are void, and were not before the damage
	Copy  string       // where the bytes are kept for people; empty when there are none
	Err   error        // what was seen
}
