package stream

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
)

// The benchmarks here are of what is clever, with it and without, so that the next
// reader knows what it is worth.

// reply is what the client of these benchmarks gets for each command.
const reply = "\x00\x00\x00\x06\x00\x00\x00\x00OK"

// dialServed connects to a server of commands of the given length. before is called
// before each of its waits, and may take away what was learnt.
func dialServed(b *testing.B, length int, before func(*Input)) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(conn, length, before)
	}()
	b.Cleanup(func() {
		client.Close()
		<-served
		conn.Close()
	})
	b.SetBytes(int64(length))
	return client
}

// serve answers commands, all that have come at once, until the connection ends.
func serve(conn net.Conn, length int, before func(*Input)) {
	var c Conn
	c.Init(conn, Options{MaxCommand: 16 << 20})
	defer c.Release()
	var replies []byte
	for {
		before(&c.In)
		if c.In.Fill() != nil {
			return
		}
		whole := len(c.In.Bytes()) / length
		c.In.Consume(whole * length)
		longest, announced := 0, 0
		if whole > 0 {
			longest = length
		}
		if len(c.In.Bytes()) > 0 {
			announced = length // as the command's head says
		}
		c.In.Expect(longest, announced)
		replies = replies[:0]
		for range whole {
			replies = append(replies, reply...)
		}
		if c.Out.Write(replies) != nil {
			return
		}
	}
}

func asItIs(*Input) {}

// clientOf names the environment variable that makes this program a client of the
// address in it.
const clientOf = "STREAM_BENCH_CLIENT_OF"

func TestMain(m *testing.M) {
	if address := os.Getenv(clientOf); address != "" {
		sendInTurn(address)
		return
	}
	os.Exit(m.Run())
}

// turnLength is the length of the commands of a client that waits for each reply.
const turnLength = 220

// sendInTurn is that client. It ends with its connection.
func sendInTurn(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	command, got := make([]byte, turnLength), make([]byte, len(reply))
	for err == nil {
		if _, err = conn.Write(command); err == nil {
			_, err = io.ReadFull(conn, got)
		}
	}
}

// BenchmarkSpinning is a client, in a process of its own, that waits for each
// reply.
func BenchmarkSpinning(b *testing.B) {
	inTurn := func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		client := exec.Command(os.Args[0])
		client.Env = append(os.Environ(), clientOf+"="+l.Addr().String())
		if err := client.Start(); err != nil {
			b.Fatal(err)
		}
		defer client.Wait()
		conn, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		b.SetBytes(turnLength)
		b.ResetTimer()
		turns := 0
		serve(conn, turnLength, func(*Input) {
			if turns++; turns > b.N {
				conn.Close()
			}
		})
	}
	b.Run("with", inTurn)
	b.Run("without", func(b *testing.B) {
		spinning.Store(1) // as if another connection spun
		defer spinning.Store(0)
		inTurn(b)
	})
}

// BenchmarkLearntSizes is a client that waits for no reply. How much to read at
// once, and how long its commands are, is learnt or not.
func BenchmarkLearntSizes(b *testing.B) {
	for _, length := range []int{220, 45_000, 256 << 10, 1 << 20} {
		for _, without := range []struct {
			name   string
			forget func(*Input)
		}{
			{"with", asItIs},
			{"no read size", func(in *Input) { in.readSize = ReadBuffer }},
			{"no long command", func(in *Input) { in.longCommand = 0 }},
			{"without", func(in *Input) { in.readSize, in.longCommand = ReadBuffer, 0 }},
		} {
			b.Run(fmt.Sprintf("%d B/%s", length, without.name), func(b *testing.B) {
				conn := dialServed(b, length, without.forget)
				b.ResetTimer()
				go func() {
					command := make([]byte, length)
					for range b.N {
						if _, err := conn.Write(command); err != nil {
							return
						}
					}
				}()
				if _, err := io.CopyN(io.Discard, conn, int64(b.N*len(reply))); err != nil {
					b.Error(err)
				}
			})
		}
	}
}
