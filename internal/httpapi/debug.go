package httpapi

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/julienschmidt/httprouter"
)

// Debug adds the profiles of the Go runtime.
func (r *Router) Debug() {
	routes := r.routes
	routes.HandlerFunc("GET", "/debug/pprof/", pprof.Index)
	routes.HandlerFunc("GET", "/debug/pprof/cmdline", pprof.Cmdline)
	routes.HandlerFunc("GET", "/debug/pprof/symbol", pprof.Symbol)
	routes.HandlerFunc("POST", "/debug/pprof/symbol", pprof.Symbol)
	routes.HandlerFunc("GET", "/debug/pprof/profile", pprof.Profile)
	routes.HandlerFunc("GET", "/debug/pprof/trace", pprof.Trace)
	for _, profile := range []string{"heap", "allocs", "goroutine", "block", "mutex", "threadcreate"} {
		routes.Handler("GET", "/debug/pprof/"+profile, pprof.Handler(profile))
	}
	routes.PUT("/debug/setblockrate", setBlockRate)
	routes.POST("/debug/freememory", freeMemory)
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
