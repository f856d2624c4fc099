package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Limits of jobs.
const (
	maxJobs    = 50 // are remembered
	maxRunning = 4  // at a time
)

// job is work that goes on when whoever asked for it has gone. Its goroutine ends with it,
// when somebody stops it, or with the server.
type job struct {
	id     int64
	cancel context.CancelFunc

	mu  sync.Mutex // guards now
	now jobView
}

// jobView is a job as the page gets it.
type jobView struct {
	ID      int64       `json:"id"`
	Action  string      `json:"action"`
	Text    string      `json:"text"` // what it does, for people
	User    string      `json:"user"`
	Started int64       `json:"started"`
	Ended   int64       `json:"ended"` // 0: it goes on
	Stopped bool        `json:"stopped"`
	Done    int64       `json:"done"`
	Of      int64       `json:"of"`
	Unit    string      `json:"unit"` // of done: targets or messages
	Failed  int64       `json:"failed"`
	Error   string      `json:"error"` // why it ended early
	Nodes   []nodeShare `json:"nodes"` // what was done on each
}

// nodeShare is a node's part in a job.
type nodeShare struct {
	Kind     string `json:"kind"` // node or lookupd
	Node     string `json:"node"`
	Name     string `json:"name"`
	Done     int64  `json:"done"`
	Failed   int64  `json:"failed"`
	Messages int64  `json:"messages"` // that went, as far as is known
	Error    string `json:"error"`    // the last one
}

// change changes what is told of the job.
func (j *job) change(f func(*jobView)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.now)
}

// view is what is told of the job now.
func (j *job) view() jobView {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := j.now
	v.Nodes = slices.Clone(v.Nodes)
	return v
}

// share is a node's part, which is made if need be.
func (v *jobView) share(r *result) *nodeShare {
	i := slices.IndexFunc(v.Nodes, func(n nodeShare) bool { return n.Kind == r.Kind && n.Node == r.Target })
	if i < 0 {
		v.Nodes = append(v.Nodes, nodeShare{Kind: r.Kind, Node: r.Target, Name: r.Name})
		i = len(v.Nodes) - 1
	}
	return &v.Nodes[i]
}

// took adds a result.
func (v *jobView) took(r *result) {
	n := v.share(r)
	if !r.OK {
		n.Failed++
		n.Error = r.Error
		return
	}
	n.Done++
	if r.Messages != nil {
		n.Messages += *r.Messages
	}
}

// jobs are those that run, and the last ones that have ended. Its methods may be called
// concurrently.
type jobs struct {
	mu   sync.Mutex // guards list and last
	list []*job     // the newest last
	last int64
}

// start runs a job, unless too many run. What it is told of at its end is for ended.
func (s *Server) startJob(v jobView, run func(ctx context.Context, j *job) error, ended func(jobView)) (*job, error) {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	running := 0
	for _, j := range s.jobs.list {
		if j.view().Ended == 0 {
			running++
		}
	}
	if running >= maxRunning {
		return nil, &failure{Status: http.StatusServiceUnavailable, Code: "BUSY", Text: "Others are at work already. Wait for one of them, or stop it.", Retry: 5}
	}
	s.jobs.last++
	ctx, cancel := context.WithCancel(s.errands)
	v.ID, v.Started, v.Nodes = s.jobs.last, time.Now().UnixMilli(), []nodeShare{}
	j := &job{id: v.ID, cancel: cancel, now: v}
	if len(s.jobs.list) == maxJobs {
		oldest := slices.IndexFunc(s.jobs.list, func(j *job) bool { return j.view().Ended != 0 })
		s.jobs.list = slices.Delete(s.jobs.list, oldest, oldest+1)
	}
	s.jobs.list = append(s.jobs.list, j)
	s.late.Go(func() {
		defer cancel()
		err := run(ctx, j)
		j.change(func(v *jobView) {
			v.Ended = time.Now().UnixMilli()
			switch {
			case ctx.Err() != nil:
				v.Stopped = true
			case err != nil:
				v.Error = reason(err)
			}
		})
		ended(j.view())
		s.collector.poke()
	})
	return j, nil
}

// job finds a job.
func (s *Server) jobOf(r *http.Request) (*job, error) {
	id, err := strconv.ParseInt(r.URL.Query().Get("id"), 10, 64)
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	for _, j := range s.jobs.list {
		if err == nil && j.id == id {
			return j, nil
		}
	}
	return nil, &failure{Status: http.StatusNotFound, Code: "NOT_FOUND", Text: "This is not remembered any more."}
}

// jobView is GET job?id=.
func (s *Server) jobView(_ http.ResponseWriter, r *http.Request) (any, error) {
	j, err := s.jobOf(r)
	if err != nil {
		return nil, err
	}
	return j.view(), nil
}

// jobList is GET jobs, the newest first.
func (s *Server) jobList(http.ResponseWriter, *http.Request) (any, error) {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	list := []jobView{}
	for _, j := range slices.Backward(s.jobs.list) {
		list = append(list, j.view())
	}
	return map[string]any{"jobs": list}, nil
}

// stopJob is POST job_stop?id=: what is under way is done, and nothing more.
func (s *Server) stopJob(_ http.ResponseWriter, r *http.Request) (any, error) {
	j, err := s.jobOf(r)
	if err != nil {
		return nil, err
	}
	j.cancel()
	return j.view(), nil
}
