package serve

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/report"
)

//go:embed page.html page.css page.js
var assets embed.FS

// page adds the page, its style and its script, all of which are this server's own.
func (s *Server) page() error {
	t, err := template.ParseFS(assets, "page.html")
	if err != nil {
		return errors.Wrap(err, "serve")
	}
	var html bytes.Buffer
	in := s.run.Input
	err = t.Execute(&html, map[string]any{
		"Model": s.run.Config.Model, "Data": report.Subject(s.run), "Classes": s.run.Classes, "Channels": in[0], "Height": in[1], "Width": in[2],
		"Draw": in[0] == 1, "Fit": s.run.Config.Fit, "MaxBytes": s.options.MaxBytes,
	})
	if err != nil {
		return errors.Wrap(err, "serve")
	}
	add := func(path, kind string, b []byte) {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			_, _ = w.Write(b)
		})
	}
	add("/{$}", "text/html; charset=utf-8", html.Bytes())
	for name, kind := range map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"} {
		b, err := assets.ReadFile(name)
		if err != nil {
			return errors.Wrap(err, "serve")
		}
		add("/"+name, kind, b)
	}
	return nil
}
