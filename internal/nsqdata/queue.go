package nsqdata

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"qmq/internal/vfs"
)

// queueFiles are the files of a queue.
type queueFiles struct {
	name     string
	metadata bool       // there is such a file
	data     []dataFile // ascending by number once they are read
}

// dataFile is a file of records.
type dataFile struct {
	number int64
	path   string
	size   int64
}

// position is a place in a queue.
type position struct {
	file, offset int64
}

// readQueues finds out, of each queue, whose it is and where its messages stand.
func (r *reader) readQueues() error {
	for _, name := range slices.Sorted(maps.Keys(r.queues)) {
		files := r.queues[name]
		slices.SortFunc(files.data, func(a, b dataFile) int { return cmp.Compare(a.number, b.number) })
		q, err := r.queue(files)
		if err != nil {
			return err
		}
		if !r.place(q) && q.Bytes() > 0 {
			r.flaw(name+queueInfix+metadataSuffix, "is of nothing that is kept, and its messages are not read")
		}
	}
	return nil
}

// place gives a queue to its topic or channel, which nsqd.dat need not name: it is
// written after they are made.
func (r *reader) place(q Queue) bool {
	topicName, channelName, ofChannel := cutAny(q.Name, ":;") // ; on Windows
	if !kept(topicName) || ofChannel && !kept(channelName) {
		return false
	}
	if len(q.Stretches) == 0 && r.topics[topicName] == nil {
		return true // nothing waits in it, and nsqd does not know it
	}
	t := r.topic(topicName)
	if !ofChannel {
		t.Queue = q
		return true
	}
	t.channel(channelName).Queue = q
	return true
}

func cutAny(s, chars string) (before, after string, found bool) {
	at := strings.IndexAny(s, chars)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+1:], true
}

// queue finds the stretches of a queue that were not read yet: from where nsqd
// read to the end of the file that it wrote to, and what later files there are,
// which it had begun when it was killed. Without metadata all there is counts.
func (r *reader) queue(files *queueFiles) (Queue, error) {
	q := Queue{Name: files.name}
	from, to, err := r.positions(files, &q)
	if err != nil {
		return q, err
	}
	next := from.file
	missing := func() {
		r.flaw(fmt.Sprintf("%s%s%06d.dat", files.name, queueInfix, next), "is missing, and its messages with it")
	}
	for _, f := range files.data {
		if f.number < from.file {
			continue // it was read to its end
		}
		if f.number > next && next <= to.file {
			missing()
		}
		next = f.number + 1
		s := Stretch{Path: f.path, To: f.size}
		if f.number == from.file {
			s.From = from.offset
		}
		r.compare(f, max(s.From, s.To), to)
		if s.From < s.To {
			q.Stretches = append(q.Stretches, s)
		}
	}
	if from != to && (next < to.file || next == to.file && to.offset > 0) {
		missing()
	}
	return q, nil
}

// compare tells where a file is not as long as the positions say.
func (r *reader) compare(f dataFile, least int64, to position) {
	if f.number == to.file {
		least = max(least, to.offset)
	}
	switch {
	case f.size < least:
		r.flaw(filepath.Base(f.path), "is %d bytes long, and nsqd knew of %d", f.size, least)
	case f.number > to.file || f.number == to.file && f.size > to.offset:
		r.flaw(filepath.Base(f.path), "has more than nsqd had noted when it ended, which is read too")
	}
}

// positions are where nsqd went on to read and to write.
func (r *reader) positions(files *queueFiles, q *Queue) (from, to position, err error) {
	all := func(why string) (position, position, error) {
		if len(files.data) == 0 {
			return position{}, position{}, nil
		}
		first, last := files.data[0], files.data[len(files.data)-1]
		r.flaw(files.name+queueInfix+metadataSuffix, "%s: all messages of its queue are read, also such as were consumed", why)
		return position{file: first.number}, position{last.number, last.size}, nil
	}
	if !files.metadata {
		return all("is missing")
	}
	text, err := vfs.ReadFile(r.fs, filepath.Join(r.dir, files.name+queueInfix+metadataSuffix), vfs.NoLimit)
	if err != nil {
		return from, to, err
	}
	n, err := fmt.Sscanf(string(text), "%d\n%d,%d\n%d,%d\n", &q.Depth, &from.file, &from.offset, &to.file, &to.offset)
	if n < 5 || err != nil || from.file < 0 || from.offset < 0 || to.offset < 0 || from.file > to.file || from.file == to.file && from.offset > to.offset {
		q.Depth = 0
		return all("is not what nsqd writes")
	}
	return from, to, nil
}
