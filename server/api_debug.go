package server

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/julienschmidt/httprouter"
)

// debugRoutes adds the profiles of the Go runtime.
func debugRoutes(r *httprouter.Router) {
	r.HandlerFunc("GET", "/debug/pprof/", pprof.Index)
	r.HandlerFunc("GET", "/debug/pprof/cmdline", pprof.Cmdline)
	r.HandlerFunc("GET", "/debug/pprof/symbol", pprof.Symbol)
	r.HandlerFunc("POST", "/debug/pprof/symbol", pprof.Symbol)
	r.HandlerFunc("GET", "/debug/pprof/profile", pprof.Profile)
	r.HandlerFunc("GET", "/debug/pprof/trace", pprof.Trace)
	for _, profile := range []string{"heap", "allocs", "goroutine", "block", "mutex", "threadcreate"} {
		r.Handler("GET", "/debug/pprof/"+profile, pprof.Handler(profile))
	}
	r.PUT("/debug/setblockrate", setBlockRate)
	r.POST("/debug/freememory", freeMemory)
}

// setBlockRate chooses how many blocking events the block profile samples.
func setBlockRate(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	rate, err := strconv.Atoi(r.FormValue("rate"))
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
