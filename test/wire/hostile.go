package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Hostile is what a client that negotiated headers may send, and what it is answered.
type Hostile struct {
	Name, Sent string
	// Answers are frames: a response, or the text of an error, which begins with E_.
	Answers []string
	// Ends says that the connection ends behind the answers, as it does where it is not
	// known where the next command begins.
	Ends bool
	// Stored are the bodies that are published all the same.
	Stored []string
}

// maxHeaders is how many bytes headers take at most: 16 KiB, beside them a key of 255 bytes and a
// priority.
const maxHeaders = 16<<10 + (1 + 3 + 2 + 255) + (1 + 8 + 2 + 1)

// sized16 are headers behind a size that need not be theirs.
func sized16(size int, headers string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(size))) + headers
}

// header is a key and a value behind sizes that need not be theirs.
func header(keySize int, key string, valueSize int, value string) string {
	return string([]byte{byte(keySize)}) + key + string(binary.BigEndian.AppendUint16(nil, uint16(valueSize))) + value
}

// HostileHeaders are commands with headers that lie or are too much, for a daemon with the
// usual limits (messages of 1 MiB). They publish to a topic.
func HostileHeaders(topic string) (list []Hostile) {
	refused := func(name, headers, why string) {
		list = append(list, Hostile{
			Name:    name,
			Sent:    "HPUB " + topic + "\n" + Sized(sized16(len(headers), headers)+"refused"),
			Answers: []string{"E_HPUB_FAILED HPUB failed invalid headers: " + why},
		}, Hostile{
			Name:    name + ", as the second of an HMPUB",
			Sent:    HMPub(topic, Headers()+"refused", sized16(len(headers), headers)+"refused too"),
			Answers: []string{"E_HMPUB_FAILED HMPUB failed message 1: invalid headers: " + why},
		})
	}
	const cut, key = "they are cut short", "a key must be 1 to 255 letters, digits and !#$%&'*+-.^_`|~, not "
	refused("a key of a size beyond the headers", header(200, "a", 1, "1"), cut)
	refused("a key of the largest size beyond the headers", "\xff", cut)
	refused("a value of a size beyond the headers", header(1, "a", 65535, "1"), cut)
	refused("a value one byte beyond the headers", header(1, "a", 2, "1"), cut)
	refused("half a size of a value", "\x01a\x00", cut)
	refused("a key alone", "\x01a", cut)
	refused("one byte behind the last header", header(1, "a", 1, "1")+"\x05", cut)
	refused("a key of no bytes", header(0, "", 1, "1"), key+`""`)
	refused("a key of no bytes behind a good one", header(1, "a", 1, "1")+header(0, "", 0, ""), key+`""`)
	refused("zeros", strings.Repeat("\x00", 30), key+`""`)
	refused("a key with a blank", header(3, "a b", 1, "1"), key+`"a b"`)
	refused("a key with a line's end", header(3, "a\r\n", 1, "1"), key+`"a\r\n"`)
	refused("a key that is no ASCII", header(2, "é", 1, "1"), key+`"é"`)
	refused("a key that is no text", header(2, "\xff\x00", 1, "1"), key+`"\xff\x00"`)
	refused("65 headers", strings.Repeat(header(1, "a", 1, "1"), 65), "there are more than 64")
	refused("16 KiB and a byte", header(1, "a", 16<<10-3, strings.Repeat("v", 16<<10-3)), "they take more than 16384 bytes")
	refused("as many bytes as may be announced", header(1, "a", 65535-4, strings.Repeat("v", 65535-4)), "they take more than 16384 bytes")
	refused("two keys", header(3, "key", 1, "1")+header(3, "KEY", 1, "2"), "key is there twice")
	refused("two priorities", header(8, "priority", 1, "1")+header(8, "Priority", 1, "1"), "priority is there twice")
	refused("two dedup ids", header(8, "dedup-id", 1, "1")+header(8, "dedup-id", 1, "1"), "dedup-id is there twice")
	refused("an empty key", header(3, "key", 0, ""), "key must be 1 to 255 bytes long, not 0")
	refused("a key of 256 bytes", header(3, "key", 256, strings.Repeat("k", 256)), "key must be 1 to 255 bytes long, not 256")
	refused("an empty dedup id", header(8, "dedup-id", 0, ""), "dedup-id must not be empty")
	for _, p := range []string{"10", "-1", "+1", "01", "", "x", "9999999999999999999999"} {
		refused("priority "+p, header(8, "priority", len(p), p), fmt.Sprintf("priority must be 0 to 9, not %q", p))
	}
	return slices.Concat(list, hostileSizes(topic), strangeHeaders(topic))
}

// hostileSizes are commands whose sizes do not fit one another, or are too large.
func hostileSizes(topic string) (list []Hostile) {
	ends := func(name, sent, answer string) {
		list = append(list, Hostile{Name: name, Sent: sent, Answers: []string{answer}, Ends: true})
	}
	hpub, hmpub := "HPUB "+topic+"\n", "HMPUB "+topic+"\n"
	for _, n := range []int{0, 1, 2, -1, -1 << 31} {
		ends(fmt.Sprint("HPUB of ", n, " bytes"), hpub+Size(n)+"xxxx", fmt.Sprint("E_BAD_MESSAGE HPUB invalid message size ", int32(n)))
	}
	const most = 1<<20 + 2 + maxHeaders
	ends("HPUB that is too big", hpub+Size(most+1), fmt.Sprint("E_BAD_MESSAGE HPUB message too big ", most+1, " > ", most))
	ends("HPUB of 2 GiB", hpub+Size(1<<31-1), fmt.Sprint("E_BAD_MESSAGE HPUB message too big ", 1<<31-1, " > ", most))
	ends("headers and no body", hpub+Sized(Headers("a", "1")), "E_BAD_MESSAGE HPUB invalid message body size 0: of 5 bytes 5 are headers")
	ends("headers larger than the message", hpub+Sized(sized16(65535, "abc")), "E_BAD_MESSAGE HPUB invalid message body size 0: of 3 bytes 65535 are headers")
	ends("a body that is too big", hpub+Size(2+1<<20+1)+Headers(), fmt.Sprint("E_BAD_MESSAGE HPUB message too big ", 1<<20+1, " > ", 1<<20))
	ends("no topic", "HPUB\n"+Sized(Headers()+"x"), "E_INVALID HPUB insufficient number of parameters")
	ends("a bad topic", "HPUB a/b\n"+Sized(Headers()+"x"), `E_BAD_TOPIC HPUB topic name "a/b" is not valid`)
	ends("a bad delay", "HPUB "+topic+" x\n"+Sized(Headers()+"x"), "E_INVALID HPUB could not parse timeout x")
	ends("HMPUB of no messages", hmpub+Sized(Size(0)), "E_BAD_BODY HMPUB invalid message count 0")
	ends("HMPUB of less than no messages", hmpub+Sized(Size(-1)), "E_BAD_BODY HMPUB invalid message count -1")
	ends("HMPUB that is too small", hmpub+Size(0), "E_BAD_BODY HMPUB invalid body size 0")
	ends("HMPUB with a message of no bytes", HMPub(topic, ""), "E_BAD_MESSAGE HMPUB invalid message(0) body size 0")
	ends("HMPUB with a message of one byte", HMPub(topic, "x"), "E_BAD_MESSAGE HMPUB invalid message size 1")
	ends("HMPUB whose second message is headers alone", HMPub(topic, Headers()+"x", Headers("a", "1")), "E_BAD_MESSAGE HMPUB invalid message body size 0: of 5 bytes 5 are headers")
	ends("HMPUB with headers larger than their message", HMPub(topic, sized16(9, "x")+"y"), "E_BAD_MESSAGE HMPUB invalid message body size 0: of 2 bytes 9 are headers")
	return list
}

// strangeHeaders are such that can be.
func strangeHeaders(topic string) (list []Hostile) {
	fits := func(name, body string, headers ...string) {
		list = append(list, Hostile{Name: name, Sent: HPub(topic, body, headers...), Answers: []string{"OK"}, Stored: []string{body}})
	}
	fits("no headers", "none")
	fits("64 headers of one key", "many", slices.Repeat([]string{"a", ""}, 64)...)
	fits("16 KiB", "long", "a", strings.Repeat("v", 16<<10-4))
	fits("a key of 255 bytes", "wide", strings.Repeat("k", 255), "1")
	fits("64 headers, a key and a priority", "most", append(slices.Repeat([]string{"a", strings.Repeat("v", 16<<10/64-4)}, 64), "key", strings.Repeat("k", 255), "priority", "9")...)
	fits("values of any bytes", "bytes", "a", "\x00\xff\r\nHPUB x\n", "b", "")
	fits("keys that differ by case", "case", "a", "1", "A", "2")
	fits("headers of replies and traces that say nothing", "nothing", "traceparent", "00-zz", "reply-by", "never", "reply-to", "..")
	fits("a body that is a command", HPub(topic, "x"))
	list = append(list, Hostile{
		Name:    "HMPUB of many that are good",
		Sent:    HMPub(topic, Headers("a", "1")+"m1", Headers()+"m2", Headers("key", "k", "priority", "9")+"m3"),
		Answers: []string{"OK"}, Stored: []string{"m1", "m2", "m3"},
	})
	return list
}
