package main

import (
	"crypto/md5"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// options are qd's flags after parsing.
type options struct {
	showVersion bool

	tcpAddress       string
	httpAddress      string // empty: no HTTP
	broadcastAddress string
	hostname         string
	nodeID           int
	logLevel         logLevel
	logPrefix        string

	dataPath        string
	memQueueSize    int64
	memQueueBytes   int64
	maxBytesPerFile int64
	syncEvery       int64
	syncTimeout     time.Duration

	msgTimeout           time.Duration
	maxMsgTimeout        time.Duration
	maxMsgSize           int64
	maxBodySize          int64
	maxReqTimeout        time.Duration
	maxHeartbeatInterval time.Duration
	maxRdyCount          int64
	maxChannelConsumers  int

	maxOutputBufferSize    int64
	outputBufferTimeout    time.Duration
	minOutputBufferTimeout time.Duration
	maxOutputBufferTimeout time.Duration

	without []string // flags given that have no effect
}

// idle are nsqd's flags for machinery that qd does not have.
var idle = []struct {
	name, what string
	isBool     bool
}{
	{"verbose", "has no effect", true},
	{"worker-id", "has no effect", true},
	{"queue-scan-worker-pool-max", "has no effect: nothing scans queues", false},
	{"queue-scan-selection-count", "has no effect: nothing scans queues", false},
}

// parseOptions reads the command line. It has told the user about the error,
// if any; flag.ErrHelp means that help was asked for.
func parseOptions(args []string, stderr io.Writer) (*options, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	o := &options{hostname: hostname, logLevel: logLevel(slog.LevelInfo)}
	f := flag.NewFlagSet("qd", flag.ContinueOnError)
	f.SetOutput(stderr)
	o.declare(f)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.showVersion {
		return o, nil
	}
	f.Visit(func(used *flag.Flag) {
		for _, i := range idle {
			if i.name == used.Name && i.name != "verbose" {
				o.without = append(o.without, "--"+i.name)
			}
		}
	})
	if err := o.validate(); err != nil {
		fmt.Fprintln(stderr, err)
		return nil, err
	}
	return o, nil
}

// declare says which flags there are, and their defaults.
func (o *options) declare(f *flag.FlagSet) {
	f.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	f.StringVar(&o.tcpAddress, "tcp-address", "0.0.0.0:4150", "`host:port` for clients; anything else is the path of a unix socket")
	f.StringVar(&o.httpAddress, "http-address", "0.0.0.0:4151", "`host:port` for HTTP, or a unix socket; empty for none")
	f.StringVar(&o.broadcastAddress, "broadcast-address", o.hostname, "`address` under which others reach this node")
	f.IntVar(&o.nodeID, "node-id", defaultNodeID(o.hostname), "part of message ids, 0 to 1023; different for each node")
	f.Var(&o.logLevel, "log-level", "debug, info, warn, error or fatal")
	f.StringVar(&o.logPrefix, "log-prefix", "[qd] ", "start of each log line")

	f.StringVar(&o.dataPath, "data-path", "", "existing `directory` for messages and state (default: the current one)")
	f.Int64Var(&o.memQueueSize, "mem-queue-size", 10000, "newest messages of each topic that are kept in memory as well as on disk")
	f.Int64Var(&o.memQueueBytes, "mem-queue-bytes", 256<<20, "bytes of memory for the newest messages of all topics")
	f.Int64Var(&o.maxBytesPerFile, "max-bytes-per-file", 100<<20, "size of a segment file in bytes")
	f.Int64Var(&o.syncEvery, "sync-every", 2500, "records per fsync; 1: nothing is OK'd before it is synced")
	f.DurationVar(&o.syncTimeout, "sync-timeout", 2*time.Second, "time per fsync")

	f.DurationVar(&o.msgTimeout, "msg-timeout", time.Minute, "time a consumer has for a message")
	f.DurationVar(&o.maxMsgTimeout, "max-msg-timeout", 15*time.Minute, "longest time a consumer may ask for")
	f.Int64Var(&o.maxMsgSize, "max-msg-size", 1<<20, "longest message in bytes")
	f.Int64Var(&o.maxBodySize, "max-body-size", 5<<20, "longest body of a command in bytes")
	f.DurationVar(&o.maxReqTimeout, "max-req-timeout", time.Hour, "longest delay of a message")
	f.DurationVar(&o.maxHeartbeatInterval, "max-heartbeat-interval", time.Minute, "longest heartbeat interval a client may ask for")
	f.Int64Var(&o.maxRdyCount, "max-rdy-count", 2500, "highest RDY count")
	f.IntVar(&o.maxChannelConsumers, "max-channel-consumers", 0, "consumers of one channel; 0: no limit")

	f.Int64Var(&o.maxOutputBufferSize, "max-output-buffer-size", 64<<10, "longest output buffer in bytes a client may ask for")
	f.DurationVar(&o.outputBufferTimeout, "output-buffer-timeout", 250*time.Millisecond, "output buffer timeout that clients are told")
	f.DurationVar(&o.minOutputBufferTimeout, "min-output-buffer-timeout", 25*time.Millisecond, "shortest output buffer timeout a client may ask for")
	f.DurationVar(&o.maxOutputBufferTimeout, "max-output-buffer-timeout", 30*time.Second, "longest output buffer timeout a client may ask for")

	for _, i := range idle {
		if i.isBool {
			f.Bool(i.name, false, i.what)
		} else {
			f.Int(i.name, 0, i.what)
		}
	}
}

// Bounds that are not another flag.
const (
	largestMsgSize  = 256 << 20
	largestBodySize = 512 << 20
	smallestSegment = 4 << 10
	largestSegment  = 1 << 40
	longestTimeout  = 365 * 24 * time.Hour
	largestCount    = 1 << 40
)

// validate reports every mistake at once.
func (o *options) validate() error {
	var c checks
	c.notEmpty("tcp-address", o.tcpAddress)
	c.notEmpty("broadcast-address", o.broadcastAddress)
	if o.nodeID < 0 || o.nodeID >= 1024 {
		c.add("--node-id must be [0,1024), not %d", o.nodeID)
	}
	if o.dataPath != "" {
		if info, err := os.Stat(o.dataPath); err != nil {
			c.add("--data-path: %v", err)
		} else if !info.IsDir() {
			c.add("--data-path: %s is not a directory", o.dataPath)
		}
	}
	c.number("mem-queue-size", o.memQueueSize, 0, largestCount)
	c.number("mem-queue-bytes", o.memQueueBytes, 0, largestCount)
	c.number("max-bytes-per-file", o.maxBytesPerFile, smallestSegment, largestSegment)
	c.number("sync-every", o.syncEvery, 1, largestCount)
	c.duration("sync-timeout", o.syncTimeout, time.Millisecond, longestTimeout)
	c.duration("max-msg-timeout", o.maxMsgTimeout, time.Millisecond, longestTimeout)
	c.duration("msg-timeout", o.msgTimeout, time.Millisecond, o.maxMsgTimeout)
	c.number("max-msg-size", o.maxMsgSize, 1, largestMsgSize)
	c.number("max-body-size", o.maxBodySize, 16, largestBodySize)
	c.duration("max-req-timeout", o.maxReqTimeout, 0, longestTimeout)
	c.duration("max-heartbeat-interval", o.maxHeartbeatInterval, time.Second, longestTimeout)
	c.number("max-rdy-count", o.maxRdyCount, 1, largestCount)
	c.number("max-channel-consumers", int64(o.maxChannelConsumers), 0, largestCount)
	c.number("max-output-buffer-size", o.maxOutputBufferSize, 64, largestBodySize)
	c.duration("min-output-buffer-timeout", o.minOutputBufferTimeout, time.Millisecond, o.maxOutputBufferTimeout)
	c.duration("max-output-buffer-timeout", o.maxOutputBufferTimeout, time.Millisecond, longestTimeout)
	c.duration("output-buffer-timeout", o.outputBufferTimeout, 0, o.maxOutputBufferTimeout)
	return errors.Join(c.mistakes...)
}

// checks collects what is wrong with the flags.
type checks struct {
	mistakes []error
}

func (c *checks) add(format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf(format, args...))
}

func (c *checks) notEmpty(name, v string) {
	if v == "" {
		c.add("--%s must not be empty", name)
	}
}

func (c *checks) number(name string, v, low, high int64) {
	if v < low || v > high {
		c.add("--%s must be [%d,%d], not %d", name, low, high, v)
	}
}

func (c *checks) duration(name string, v, low, high time.Duration) {
	if v < low || v > high {
		c.add("--%s must be [%v,%v], not %v", name, low, high, v)
	}
}

// defaultNodeID spreads hosts over the ids, the way nsqd does.
func defaultNodeID(hostname string) int {
	sum := md5.Sum([]byte(hostname))
	return int(crc32.ChecksumIEEE(sum[:]) % 1024)
}

// logLevel is the word of --log-level.
type logLevel slog.Level

// levelFatal is for the one line before a failed start ends.
const levelFatal = slog.LevelError + 4

var levels = []struct {
	word, shown string
	level       slog.Level
}{
	{"debug", "DEBUG", slog.LevelDebug},
	{"info", "INFO", slog.LevelInfo},
	{"warn", "WARNING", slog.LevelWarn},
	{"error", "ERROR", slog.LevelError},
	{"fatal", "FATAL", levelFatal},
}

// Set reads a word in any case.
func (l *logLevel) Set(word string) error {
	for _, known := range levels {
		if strings.EqualFold(word, known.word) {
			*l = logLevel(known.level)
			return nil
		}
	}
	return fmt.Errorf("%q is none of debug, info, warn, error and fatal", word)
}

func (l *logLevel) String() string {
	for _, known := range levels {
		if *l == logLevel(known.level) {
			return known.word
		}
	}
	return ""
}
