package lookup

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"qmq/internal/address"
	"qmq/protocol"
)

func identifyWith(body string) string {
	return string(protocol.AppendLookupCommand(nil, &protocol.LookupCommand{Kind: protocol.LookupIdentify, Body: []byte(body)}))
}

func TestNodeThatNobodyCouldConnectToIsRefusedAndLoggedOnce(t *testing.T) {
	var log pages
	d := openDirectoryWith(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	const body = `{"broadcast_address":%q,"tcp_port":%d,"http_port":%d,"version":"1"}`
	for _, test := range []struct {
		body, want string
	}{
		{fmt.Sprintf(body, "127.0.0.9/any/path?q=1&x=", 1, 2), `invalid broadcast address "127.0.0.9/any/path?q=1&x="`},
		{fmt.Sprintf(body, "a:4150", 1, 2), `invalid broadcast address "a:4150"`},
		{fmt.Sprintf(body, "http://a", 1, 2), `invalid broadcast address "http://a"`},
		{fmt.Sprintf(body, "a b", 1, 2), `invalid broadcast address "a b"`},
		{fmt.Sprintf(body, "[fe80::1%eth0/x]", 1, 2), `invalid broadcast address "[fe80::1%eth0/x]"`},
		{fmt.Sprintf(body, strings.Repeat("a", 256), 1, 2), `invalid broadcast address "` + strings.Repeat("a", 256) + `"`},
		{fmt.Sprintf(body, "a", 65536, 2), "invalid TCP port 65536"},
		{fmt.Sprintf(body, "a", 1, -2), "invalid HTTP port -2"},
	} {
		for range 3 {
			n := d.dial()
			n.send(protocol.LookupMagic + identifyWith(test.body) + "REGISTER t\n")
			n.reply("E_BAD_BODY IDENTIFY " + test.want)
			n.ended()
		}
	}
	d.want("/topics", `{"topics":[]}`)
	d.want("/nodes", `{"producers":[]}`)
	d.tcp.Close()
	if n := log.count("client made a fatal error"); n != 8 {
		t.Errorf("%d lines", n)
	}
	for _, host := range []string{"::1", "[::1]", "[fe80::1%eth0]", "under_score.example", "10.0.0.1"} {
		d := openDirectory(t)
		n := d.dial()
		n.send(protocol.LookupMagic + identifyWith(fmt.Sprintf(body, host, 1, 2)))
		n.reply(`{"broadcast_address":"here","hostname":"host","http_port":4161,"tcp_port":4160,"version":"2.0.0"}`)
		if got := d.db.nodes("", address.Asker{})[0].BroadcastAddress; got != strings.Trim(host, "[]") {
			t.Errorf("%s is listed as %s", host, got)
		}
	}
}

func TestTombstoneFindsNodesOfIPVersion6HoweverTheyAreWritten(t *testing.T) {
	d := openDirectory(t)
	for _, node := range []string{"::1:2", "[::1]:2"} {
		n := d.join("[::1]")
		n.tell("REGISTER t")
		d.post("/topic/tombstone?topic=t&node=" + node)
		d.want("/lookup?topic=t", `{"channels":[],"producers":[]}`)
		n.tell("UNREGISTER t")
		n.Close()
	}
}

func known() string { return "s3cret" }

func TestDirectoryWithASecretListsOnlyNodesThatKnowIt(t *testing.T) {
	const refusal = "E_UNAUTHORIZED IDENTIFY registration secret is missing or wrong"
	d := openDirectoryWith(t, Options{RegistrationSecret: known})
	for _, secret := range []string{"", `,"registration_secret":""`, `,"registration_secret":"s3cre"`, `,"registration_secret":"s3cret "`} {
		n := d.dial()
		n.send(protocol.LookupMagic + "PING\n" + identifyWith(`{"broadcast_address":"a","tcp_port":1,"http_port":2,"version":"1"`+secret+`}`) + "REGISTER t\n")
		n.reply("OK")
		n.reply(refusal)
		n.ended()
	}
	n := d.dial()
	n.send(protocol.LookupMagic + identifyWith(`{"broadcast_address":"a","tcp_port":1,"http_port":2,"version":"1","registration_secret":"s3cret"}`) + "REGISTER t\n")
	n.reply(`{"broadcast_address":"","hostname":"","http_port":0,"tcp_port":0,"version":"2.0.0"}`)
	n.reply("OK")
	d.want("/topics", `{"topics":["t"]}`)
	if _, body := d.request("GET", "/debug"); strings.Contains(body, "s3cret") {
		t.Error("it tells the secret")
	}
}

func TestSecretGoesWithTheIntroductionAndARefusalIsLoggedOnce(t *testing.T) {
	inScene(t, func(s *scene) {
		o := Options{RegistrationSecret: known, Logger: slog.New(slog.DiscardHandler)}
		tcp := NewTCP(NewDB(DBOptions{InactiveTimeout: time.Minute, TombstoneLifetime: time.Hour}), o)
		s.t.Cleanup(func() { tcp.Close() })
		s.reaches(func(string) (net.Conn, error) {
			conn, own := net.Pipe()
			tcp.start(own)
			return conn, nil
		})
		s.o.RegistrationSecret = known
		s.Register("t", 1, "")
		s.Start(me, []string{"d"})
		s.want(tcp, "t", "[] 1")
		s.Close()
	})
	inScene(t, func(s *scene) {
		s.reaches(func(string) (net.Conn, error) {
			tcp := NewTCP(NewDB(DBOptions{}), Options{RegistrationSecret: known, Logger: slog.New(slog.DiscardHandler)})
			conn, own := net.Pipe()
			tcp.start(own)
			return conn, nil
		})
		s.Start(me, []string{"d"})
		time.Sleep(10 * time.Minute)
		if n := s.log.count("registration secret is missing or wrong"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		if n := len(s.dialled()); n > 100 {
			t.Errorf("tried %d times in ten minutes", n)
		}
	})
}
