package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/julienschmidt/httprouter"

	"qmq/internal/redact"
)

// Debug adds the profiles of the Go runtime.
func (r *Router) Debug() {
	get := func(path string, h http.HandlerFunc) { r.HandleRaw("GET", path, h) }
	get("/debug/pprof/", pprof.Index)
	r.add("GET", "/debug/pprof/cmdline", commandLine)
	get("/debug/pprof/symbol", pprof.Symbol)
	r.HandleRaw("POST", "/debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
	get("/debug/pprof/profile", pprof.Profile)
	get("/debug/pprof/trace", pprof.Trace)
	for _, profile := range []string{"heap", "allocs", "goroutine", "block", "mutex", "threadcreate"} {
		r.HandleRaw("GET", "/debug/pprof/"+profile, pprof.Handler(profile))
	}
	r.add("PUT", "/debug/setblockrate", setBlockRate)
	r.add("POST", "/debug/freememory", freeMemory)
}

// commandLine shows the arguments of the process as pprof does, with NULs between
// them, and without the secrets in URLs.
func commandLine(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
	shown := make([]string, len(os.Args))
	for i, arg := range os.Args {
		shown[i] = redact.Argument(arg)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, strings.Join(shown, "\x00"))
}

// setBlockRate chooses how many blocking events the block profile samples.
func setBlockRate(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	rate, err := strconv.Atoi(r.URL.Query().Get("rate"))
	if err != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "invalid block rate : %s", err)
		return
	}
	runtime.SetBlockProfileRate(rate)
}

// freeMemory returns what memory it can to the operating system.
func freeMemory(http.ResponseWriter, *http.Request, httprouter.Params) {
	debug.FreeOSMemory()
}
