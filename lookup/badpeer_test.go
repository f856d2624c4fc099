package lookup

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestDirectoryThatDropsEveryConnectionIsNotHammered(t *testing.T) {
	inScene(t, func(s *scene) {
		s.reaches(func(string) (net.Conn, error) {
			conn, own := net.Pipe()
			go func() {
				c := &caller{t: s.t, Conn: own}
				c.meet()
				own.Close()
			}()
			return conn, nil
		})
		s.Start(me, []string{"d"})
		time.Sleep(time.Minute)
		if n := len(s.dialled()); n > 20 {
			t.Errorf("dialled %d times in a minute", n)
		}
	})
}

func TestDirectoryThatTalksNonsenseIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		reply string // to IDENTIFY, as bytes
		log   string
	}{
		"refusal":    {"\x00\x00\x00\x22E_BAD_BODY IDENTIFY missing fields", "missing fields"},
		"no JSON":    {"\x00\x00\x00\x02OK", "answered"},
		"huge":       {"\xff\xff\xff\xff", "impossible size"},
		"HTTP":       {"HTTP/1.1 400 Bad Request\r\n\r\n", "this is an HTTP port"},
		"negative":   {"\xff\xff\xff\xffxx", "impossible size"},
		"cut off":    {"\x00\x00\x00\x10{", "no reply in time"},
		"silent":     {"", "no reply in time"},
		"wrong type": {"\x00\x00\x00\x15{\"http_port\":\"a port\"}", "answered"},
	} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(s *scene) {
				s.reaches(func(string) (net.Conn, error) {
					conn, own := net.Pipe()
					go io.Copy(io.Discard, own)
					go io.WriteString(own, test.reply)
					s.t.Cleanup(func() { own.Close() })
					return conn, nil
				})
				s.Start(me, []string{"d"})
				time.Sleep(time.Minute)
				if n := len(s.dialled()); n < 5 || n > 20 {
					t.Errorf("dialled %d times in a minute", n)
				}
				if n := s.log.count(test.log); n != 1 {
					t.Errorf("logged %d times: %s", n, s.log.b.String())
				}
				if web, met := s.current()[0].directory(); web != "" || met {
					t.Errorf("it is asked at %q", web)
				}
			})
		})
	}
}

func TestDirectoryThatStopsReadingIsLeftAndTriedAgain(t *testing.T) {
	inScene(t, func(s *scene) {
		var mute net.Conn
		s.reaches(func(string) (net.Conn, error) {
			conn, own := net.Pipe()
			mute = own
			go (&caller{t: s.t, Conn: own}).meet()
			return conn, nil
		})
		s.Start(me, []string{"d"})
		time.Sleep(time.Minute)
		s.dialled()
		s.Register("t", 1, "")
		began := time.Now()
		tcp := s.realDirectory()
		time.Sleep(ioTimeout)
		s.want(tcp, "t", "[] 1")
		if took := time.Since(began); took > ioTimeout {
			t.Errorf("after %s", took)
		}
		if _, err := mute.Read(make([]byte, 100)); err != io.EOF {
			t.Errorf("the old connection is open: %v", err)
		}
	})
}

func TestDirectoryThatTalksUnaskedIsLeft(t *testing.T) {
	inScene(t, func(s *scene) {
		s.reaches(func(string) (net.Conn, error) {
			conn, own := net.Pipe()
			go func() {
				(&caller{t: s.t, Conn: own}).meet()
				io.WriteString(own, "\x00\x00\x00\x02OK")
			}()
			s.t.Cleanup(func() { own.Close() })
			return conn, nil
		})
		s.Start(me, []string{"d"})
		synctest.Wait()
		if s.log.count(errUnasked.Error()) != 1 {
			t.Error(s.log.b.String())
		}
	})
}
