package admin

import (
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"qmq/internal/httpapi"
)

// graphiteRoutes are those for people who have their own history.
func (s *Server) graphiteRoutes(r *httpapi.Router, at func(string) string) {
	r.Handle("GET", at("/api/graphite"), s.graphite)
	if s.o.ProxyGraphite && s.o.GraphiteURL != nil {
		r.HandleRaw("GET", at("/render"), s.graphiteProxy(at("/render")))
	}
}

// graphiteProxy hands /render on. Cookies and credentials are ours, not
// graphite's.
func (s *Server) graphiteProxy(mounted string) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = s.o.TLS.Clone() // it adds to it that it speaks HTTP/2
	transport.ResponseHeaderTimeout = s.o.RequestTimeout
	s.up.graphite = transport
	return &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelWarn),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Path = strings.TrimPrefix(p.In.URL.Path, strings.TrimSuffix(mounted, "/render"))
			p.SetURL(s.o.GraphiteURL)
			p.Out.Header.Del("Cookie")
			p.Out.Header.Del("Authorization")
			p.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(r *http.Response) error {
			kind := r.Header.Get("Content-Type")
			if r.StatusCode < 400 && !isFigure(kind) {
				return fmt.Errorf("graphite answered %q, which is neither an image nor JSON", kind)
			}
			head := http.Header{"Content-Type": {kind}}
			for _, name := range []string{"Cache-Control", "Content-Length", "Date", "Expires", "Last-Modified"} {
				if value := r.Header.Get(name); value != "" {
					head.Set(name, value)
				}
			}
			if r.StatusCode >= 400 { // its page is none of ours
				head = http.Header{}
				_ = r.Body.Close()
				r.Body, r.ContentLength = http.NoBody, 0
			}
			head.Set("Content-Security-Policy", "default-src 'none'; sandbox") // an SVG is a page too
			r.Header = head
			return nil
		},
	}
}

// isFigure tells whether an answer is what graphite is asked for, an image or
// JSON, and no page that would be one of ours.
func isFigure(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasPrefix(kind, "image/") || kind == "application/json")
}

// graphite is one rate out of graphite.
func (s *Server) graphite(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	if q.Get("metric") != "rate" {
		return nil, httpapi.Bad("INVALID_ARG_METRIC")
	}
	if !q.Has("target") {
		return nil, httpapi.Bad("INVALID_ARG_TARGET")
	}
	if s.o.GraphiteURL == nil {
		return nil, httpapi.Internal()
	}
	seconds := int64(s.o.StatsdInterval / time.Second)
	query := url.Values{
		"from": {fmt.Sprintf("-%dsec", 2*seconds)}, "until": {fmt.Sprintf("-%dsec", seconds)}, "format": {"json"}, "target": {q.Get("target")},
	}
	var answer []struct {
		Points [][]*float64 `json:"datapoints"`
	}
	if err := s.up.api.Get(r.Context(), strings.TrimSuffix(s.o.GraphiteURL.String(), "/")+"/render?"+query.Encode(), &answer); err != nil {
		s.o.Logger.Error("graphite gave no answer", slog.String("error", reason(err)))
		return nil, httpapi.Internal()
	}
	rate := "N/A"
	if len(answer) > 0 && len(answer[0].Points) > 0 && len(answer[0].Points[0]) > 0 {
		if first := answer[0].Points[0][0]; first != nil && *first >= 0 && seconds > 0 {
			rate = fmt.Sprintf("%.2f", *first/float64(seconds))
		}
	}
	return struct {
		Rate string `json:"rate"`
	}{rate}, nil
}
