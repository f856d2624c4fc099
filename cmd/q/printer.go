package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"qmq/message"
)

// printing says how messages are printed.
type printing struct {
	Format string   `enum:"raw,json,pretty,hex" default:"raw" help:"How messages are printed: raw (the body and a newline), json (an object a line, which q pub --json-lines reads), pretty (JSON bodies set out, with what is known of the message), hex."`
	Print  []string `placeholder:"WHAT" help:"With raw: what to print before each body, separated by tabs: topic, id, time, attempts, size, node, key, headers (as KEY=VALUE, separated by blanks)."`
}

// printWords are the words that --print knows.
var printWords = []string{"topic", "id", "time", "attempts", "size", "node", "key", "headers"}

func (p *printing) check() error {
	for _, word := range p.Print {
		if !slices.Contains(printWords, word) {
			return fmt.Errorf("--print: %q is none of %s", word, strings.Join(printWords, ", "))
		}
	}
	if len(p.Print) > 0 && p.Format != "raw" {
		return fmt.Errorf("--print is for --format=raw; %s has all of it", p.Format)
	}
	return nil
}

// printer writes messages. It belongs to one goroutine.
type printer struct {
	printing
	w     *bufio.Writer
	color bool
	line  []byte
}

func newPrinter(p printing, w io.Writer) *printer {
	return &printer{printing: p, w: bufio.NewWriterSize(w, 64<<10), color: colorful(w)}
}

// colorful tells whether w takes colours: a terminal, unless its owner wants none.
func colorful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// print writes one message. The body is that of r.
func (p *printer) print(r *record, body []byte) {
	switch p.Format {
	case "json":
		p.line = r.appendTo(p.line[:0])
		p.w.Write(p.line)
	case "pretty":
		p.head(r)
		p.w.Write(indented(body))
	case "hex":
		p.head(r)
		p.w.WriteString(strings.TrimSuffix(hex.Dump(body), "\n"))
	default:
		for _, word := range p.Print {
			p.w.WriteString(field(r, word))
			p.w.WriteByte('\t')
		}
		p.w.Write(body)
	}
	p.w.WriteByte('\n')
}

func field(r *record, word string) string {
	switch word {
	case "topic":
		return r.Topic
	case "id":
		return r.ID
	case "time":
		return r.Time
	case "attempts":
		return strconv.Itoa(r.Attempts)
	case "size":
		return strconv.FormatInt(r.Size, 10)
	case "key":
		return r.key()
	case "headers":
		return r.headers()
	}
	return r.Node
}

// key is the message's key; empty: it has none.
func (r *record) key() string {
	for i := range r.Headers {
		if r.Headers[i].Key == message.HeaderKey {
			return headerText(&r.Headers[i])
		}
	}
	return ""
}

// headers are the message's, in a line.
func (r *record) headers() string {
	var list []string
	for i := range r.Headers {
		list = append(list, r.Headers[i].Key+"="+headerText(&r.Headers[i]))
	}
	return strings.Join(list, " ")
}

// headerText is the value of a header as people read it: quoted where it would not be
// one word.
func headerText(h *message.ShownHeader) string {
	text := h.Value
	if len(h.Base64) > 0 {
		text = string(h.Base64)
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == '"' || !unicode.IsPrint(c) }) {
		return strconv.Quote(text)
	}
	return text
}

// head is the line before a body that is set out.
func (p *printer) head(r *record) {
	dim, plain := "", ""
	if p.color {
		dim, plain = "\x1b[36m", "\x1b[0m"
	}
	fmt.Fprintf(p.w, "%s%s  %s  attempt %d  %d bytes  %s%s", dim, r.Time, r.ID, r.Attempts, r.Size, r.Node, plain)
	if r.State != "" && r.State != "ready" {
		fmt.Fprintf(p.w, "  %s", r.State)
	}
	if r.Truncated {
		p.w.WriteString("  (its beginning)")
	}
	p.w.WriteByte('\n')
	if len(r.Headers) > 0 {
		fmt.Fprintf(p.w, "%s%s%s\n", dim, r.headers(), plain)
	}
}

// indented sets JSON out; anything else stays as it is.
func indented(body []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(body), "", "  ") != nil {
		return body
	}
	return b.Bytes()
}

func (p *printer) flush() error { return p.w.Flush() }
