package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDirectoryNameWithSeveralAddressesIsAllOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var records atomic.Value
		records.Store("10.0.0.1 10.0.0.2")
		var told []string
		d := new(directories)
		d.init(nil)
		d.changed = func(addresses []string) { told = append(told, fmt.Sprint(addresses)) }
		d.names.Lookup = func(_ context.Context, host string) (ips []netip.Addr, err error) {
			if host != "lookup.example" {
				return nil, fmt.Errorf("no such host")
			}
			for _, text := range strings.Fields(records.Load().(string)) {
				ips = append(ips, netip.MustParseAddr(text))
			}
			return ips, nil
		}
		d.set([]string{"other:4161", "lookup.example:4161", "[::1]:4161"})
		d.start()
		defer d.stop()
		want := func(list string) {
			t.Helper()
			synctest.Wait()
			if got := fmt.Sprint(d.list()); got != list || told[len(told)-1] != list {
				t.Errorf("asked are %s, told was %s, want %s", got, told[len(told)-1], list)
			}
		}
		want("[other:4161 10.0.0.1:4161 10.0.0.2:4161 [::1]:4161]")
		records.Store("10.0.0.2 10.0.0.3 10.0.0.4")
		time.Sleep(resolveEvery)
		want("[other:4161 10.0.0.2:4161 10.0.0.3:4161 10.0.0.4:4161 [::1]:4161]")
		time.Sleep(10 * resolveEvery)
		if len(told) != 2 {
			t.Errorf("told %d times", len(told))
		}
		d.set([]string{"[::1]:4161"})
		want("[[::1]:4161]")
	})
}

// TestNodeWithAnImpossibleAddressIsNeverAsked: what a directory lists may be a
// part of a URL that leads elsewhere.
func TestNodeWithAnImpossibleAddressIsNeverAsked(t *testing.T) {
	asked := make(chan string, 100)
	victim := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.String() }))
	defer victim.Close()
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(victim.URL, "http://"))
	node := startNode(t, "good")
	producer := func(address, port string) object {
		number, _ := strconv.Atoi(port)
		return object{"remote_address": "10.1.1.1:999", "hostname": "h", "broadcast_address": address, "tcp_port": number, "http_port": number, "version": "1.3.0",
			"topics": []string{"t"}, "tombstones": []bool{false}}
	}
	directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
		answerJSON(w, object{"topics": []string{"t"}, "channels": []string{}, "producers": []object{
			producer(host+":"+port+"/any/path?q=1&x=", "80"), producer("127.0.0.1", strconv.Itoa(node.port()))}})
	}))
	defer directory.Close()
	_, at := startServer(t, Options{Lookupds: []string{strings.TrimPrefix(directory.URL, "http://")}})
	nodes := get(t, at+"/api/nodes").decoded(t)
	if list := nodes["nodes"].([]any); len(list) != 1 || at0(list)["broadcast_address"] != "127.0.0.1" {
		t.Errorf("nodes are %v", list)
	}
	if message := nodes["message"].(string); !strings.Contains(message, "WARNING: ") || !strings.Contains(message, "lists what cannot be a node: invalid broadcast address") {
		t.Errorf("the message is %s", message)
	}
	get(t, at+"/api/topics/t")
	get(t, at+"/api/counter")
	postJSON(t, at+"/api/topics/t", `{"action":"empty"}`)
	select {
	case path := <-asked:
		t.Errorf("it was asked for %s", path)
	default:
	}
}

func at0(list []any) object { return list[0].(object) }
