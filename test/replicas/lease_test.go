package replicas

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
)

// leased is a message in the answer to /sub.
type leased struct {
	ID, Body string
	Attempts int
}

// lease has a client get n messages of jobs/work over HTTP.
func (s *set) lease(m *member, n int) (list []leased) {
	s.t.Helper()
	for late := time.Now().Add(process.Timeout); len(list) < n; {
		answer := s.insist(m, fmt.Sprintf("/sub?topic=jobs&channel=work&max=%d&wait=1000&lease=600000", n-len(list)), "")
		var got struct{ Messages []leased }
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			s.t.Fatal(err)
		}
		if list = append(list, got.Messages...); time.Now().After(late) {
			s.t.Fatalf("%d of %d messages came", len(list), n)
		}
	}
	return list
}

func idsOf(list []leased) (ids []string) {
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

// A client that leased messages over HTTP answers them through any member, also after the
// leader has been killed; what it finished does not come again.
func TestLeasesOutliveTheLeaderAndAreAnsweredAtAnyMember(t *testing.T) {
	s := startSet(t)
	s.create("jobs", "work")
	leader := s.leader("jobs")
	a, b := s.others(leader)[0], s.others(leader)[1]
	var published struct{ IDs []string }
	if err := json.Unmarshal([]byte(s.insist(b, "/mpub?topic=jobs&ids=true", strings.Join(bodies("job", 20), "\n"))), &published); err != nil {
		t.Fatal(err)
	}
	got := s.lease(a, 20)
	if ids := idsOf(got); !slices.Equal(slices.Sorted(slices.Values(ids)), published.IDs) {
		t.Errorf("published %s\nleased %s", published.IDs, ids)
	}
	s.insist(b, "/fin?topic=jobs&channel=work", strings.Join(idsOf(got[:5]), "\n"))
	leader.Kill()
	s.insist(a, "/fin?topic=jobs&channel=work", strings.Join(idsOf(got[5:10]), "\n"))
	s.insist(b, "/fin?topic=jobs&channel=work", strings.Join(idsOf(got[10:15]), "\n"))
	s.insist(b, "/req?topic=jobs&channel=work", strings.Join(idsOf(got[15:]), "\n"))
	again := s.lease(b, 5)
	if want := slices.Sorted(slices.Values(idsOf(got[15:]))); !slices.Equal(slices.Sorted(slices.Values(idsOf(again))), want) {
		t.Errorf("%s came again, want %s", idsOf(again), want)
	}
	s.insist(a, "/fin?topic=jobs&channel=work", strings.Join(idsOf(again), "\n"))
	if answer := s.insist(a, "/sub?topic=jobs&channel=work&max=20&wait=1000", ""); !strings.HasPrefix(answer, `{"messages":[],`) {
		t.Error("what was finished comes again:", answer)
	}
}
