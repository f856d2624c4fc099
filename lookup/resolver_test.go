package lookup

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a name server that a test changes.
type zone struct {
	mu      sync.Mutex // guards what follows
	records map[string][]string
	down    bool
	slow    time.Duration
	asked   int
}

func (z *zone) set(host string, ips ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.records == nil {
		z.records = make(map[string][]string)
	}
	z.records[host] = ips
}

func (z *zone) fail(down bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down = down
}

func (z *zone) lookup(ctx context.Context, host string) (ips []netip.Addr, err error) {
	z.mu.Lock()
	records, down, slow := z.records[host], z.down, z.slow
	z.asked++
	z.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if down || len(records) == 0 {
		return nil, errors.New("no such host")
	}
	for _, r := range records {
		ips = append(ips, netip.MustParseAddr(r))
	}
	return ips, nil
}

func TestNameWithSeveralAddressesIsAllOfThem(t *testing.T) {
	z := new(zone)
	z.set("three", "10.0.0.3", "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1")
	z.set("both", "10.0.0.1", "::1") // one machine, as localhost is
	z.set("six", "10.0.0.1", "2001:db8::2", "2001:db8::1")
	r := &Resolver{Lookup: z.lookup}
	for _, test := range []struct {
		address string
		want    []string
		ok      bool
	}{
		{"three:4160", []string{"10.0.0.1:4160", "10.0.0.2:4160", "10.0.0.3:4160"}, true},
		{"both:4160", []string{"both:4160"}, true},
		{"six:4160", []string{"[2001:db8::1]:4160", "[2001:db8::2]:4160"}, true},
		{"10.0.0.9:4160", []string{"10.0.0.9:4160"}, true},
		{"[::1]:4160", []string{"[::1]:4160"}, true},
		{"[fe80::1%eth0]:4160", []string{"[fe80::1%eth0]:4160"}, true},
		{"unknown:4160", []string{"unknown:4160"}, false},
		{":4160", []string{":4160"}, true},
		{"https://three:4161", []string{"https://three:4161"}, true},
	} {
		got, ok := r.Expand(t.Context(), []string{test.address}, time.Minute)
		if !slices.Equal(got, test.want) || ok != test.ok {
			t.Errorf("%s is %q, %t", test.address, got, ok)
		}
	}
	if got, _ := r.Expand(t.Context(), []string{"three:1", "10.0.0.2:1"}, time.Minute); len(got) != 3 {
		t.Errorf("the same directory is there twice: %q", got)
	}
}

// inZone is a scene in which each address leads to a directory of its own.
func inZone(t *testing.T, test func(s *scene, z *zone, want func(hosts ...string))) {
	inScene(t, func(s *scene) {
		z := new(zone)
		s.names.Lookup = z.lookup
		var mu sync.Mutex
		servers := map[string]*TCP{}
		s.reaches(func(address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if servers[address] == nil {
				servers[address] = s.realDirectoryAt()
			}
			conn, own := net.Pipe()
			servers[address].start(own)
			return conn, nil
		})
		test(s, z, func(hosts ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			var told []string
			for address, server := range servers {
				for range server.db.producerList() {
					told = append(told, address)
				}
			}
			if slices.Sort(told); !slices.Equal(told, hosts) {
				t.Errorf("told are %q, want %q", told, hosts)
			}
		})
	})
}

func TestNodeHasALinkToEachAddressOfADirectoryAndLooksAgainEveryMinute(t *testing.T) {
	inZone(t, func(s *scene, z *zone, want func(...string)) {
		z.set("d", "10.0.0.1", "10.0.0.2")
		s.Start(me, []string{"d:4160", "10.0.0.9:4160"})
		want("10.0.0.1:4160", "10.0.0.2:4160", "10.0.0.9:4160")
		z.set("d", "10.0.0.2", "10.0.0.3", "10.0.0.4")
		time.Sleep(resolveEvery)
		want("10.0.0.2:4160", "10.0.0.3:4160", "10.0.0.4:4160", "10.0.0.9:4160")
		if n := len(s.dialled()); n != 5 {
			t.Errorf("dialled %d times: what stays keeps its connection", n)
		}
		z.fail(true)
		time.Sleep(10 * resolveEvery)
		want("10.0.0.2:4160", "10.0.0.3:4160", "10.0.0.4:4160", "10.0.0.9:4160")
		z.fail(false)
		z.set("d", "10.0.0.5")
		time.Sleep(resolveEvery)
		want("10.0.0.9:4160", "d:4160")
		s.SetAddresses([]string{"10.0.0.9:4160"})
		want("10.0.0.9:4160")
		z.set("d", "10.0.0.1", "10.0.0.2")
		time.Sleep(2 * resolveEvery)
		want("10.0.0.9:4160")
		s.SetAddresses([]string{"d:4160"})
		want("10.0.0.1:4160", "10.0.0.2:4160")
		s.Close()
		want()
	})
}

func TestNameThatCannotBeResolvedAtFirstIsTriedAgainSoon(t *testing.T) {
	inZone(t, func(s *scene, z *zone, want func(...string)) {
		s.Start(me, []string{"d:4160"})
		want("d:4160") // which is dialled as it is
		z.set("d", "10.0.0.1", "10.0.0.2")
		time.Sleep(resolveAgain)
		want("10.0.0.1:4160", "10.0.0.2:4160")
	})
}

func TestQuestionsWaitForNamesButNotForLong(t *testing.T) {
	inZone(t, func(s *scene, z *zone, want func(...string)) {
		z.slow = 300 * time.Millisecond
		z.set("d", "10.0.0.1", "10.0.0.2")
		s.Start(me, []string{"d:4160"})
		if s.Alone() {
			t.Error("it is alone, before the name is resolved")
		}
		if names, err := s.asked(); err != nil || len(names) != 0 {
			t.Errorf("%v, %v", names, err)
		}
		if took := time.Since(s.began); took != z.slow {
			t.Errorf("asked after %s", took)
		}
		z.mu.Lock()
		z.slow = time.Hour
		z.mu.Unlock()
		s.SetAddresses([]string{"e:4160"})
		began := time.Now()
		if _, err := s.asked(); !errors.Is(err, errNobodyMet) || time.Since(began) != firstContact {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		s.Close()
		if took := time.Since(began); took != firstContact {
			t.Errorf("closed after %s", took)
		}
	})
}
