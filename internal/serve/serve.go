// Package serve answers HTTP with the network of a run: predictions at /predict, a page to try it
// at /, /healthz and /metrics.
package serve

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pkg/errors"
	"golang.org/x/sync/semaphore"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/train"
)

// Options are limits. Zeros stand for what the fields say.
type Options struct {
	MaxBytes    int64         // of a request's body: 8 MiB
	MaxPixels   int           // of a picture: 2²⁴
	MaxPictures int           // of a request: 64
	Timeout     time.Duration // of a request, from its header to the answer: 20 s
	Grace       time.Duration // for requests under way when the server is to stop: 10 s
}

// Limits that are not options.
const (
	maxBatch = 64        // pictures that the network takes at once
	queue    = 1024      // pictures that may wait for it
	bodies   = 256 << 20 // bytes of all bodies that are in memory
	headers  = 16 << 10  // bytes of a request's header
	maxScans = 100       // of a progressive JPEG: each costs time in proportion to the picture
)

// A Server answers requests. Any number may be under way.
type Server struct {
	run     *train.SavedRun
	options Options
	view    *report.View
	looking chan struct{} // a token: one looks at a time
	bytes   *semaphore.Weighted
	batches *batcher
	metrics *metrics
	mux     *http.ServeMux
}

// New returns a server for the network of a run, which must not be trained meanwhile. Close gives
// up what it holds.
func New(r *train.SavedRun, o Options) (*Server, error) {
	switch {
	case o.MaxBytes < 0 || o.MaxPixels < 0 || o.MaxPictures < 0 || o.Timeout < 0 || o.Grace < 0:
		return nil, errors.Errorf("serve: the limits are %+v, want none negative", o)
	case r == nil || r.Classifier == nil || len(r.Input) != 3 || r.Input[0] != 1 && r.Input[0] != 3:
		return nil, errors.New("serve: the run has no network that takes pictures")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 8 << 20
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = 1 << 24
	}
	if o.MaxPictures == 0 {
		o.MaxPictures = 64
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	// The first request is not to wait until the network is built, nor to learn that it gives no
	// classes.
	if _, _, err := r.Classify(make([]uint8, r.Input.TotalSize())); err != nil {
		return nil, errors.Wrap(err, "serve")
	}
	view, err := report.NewView(r)
	if err != nil {
		return nil, err
	}
	s := &Server{run: r, options: o, view: view, looking: make(chan struct{}, 1), bytes: semaphore.NewWeighted(max(bodies, o.MaxBytes)), mux: http.NewServeMux()}
	s.batches = newBatcher(r, func(n int) { s.metrics.batch.Observe(float64(n)) })
	s.metrics = newMetrics(func() float64 { return float64(len(s.batches.jobs)) })
	if err := s.page(); err != nil {
		return nil, err
	}
	s.mux.Handle("/predict", s.metrics.count(http.HandlerFunc(s.predict)))
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok", "model": r.Config.Model, "input": r.Input, "classes": r.Classes})
	})
	s.mux.Handle("GET /metrics", s.metrics.handler())
	go s.batches.loop()
	return s, nil
}

// Close ends what the server has under way. No request may come after it.
func (s *Server) Close() error {
	s.batches.close()
	return s.view.Close()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	s.mux.ServeHTTP(w, r)
}

// Serve answers on a listener until ctx ends. Requests that are under way then are answered.
//
// It returns an error if the listener fails, or requests took longer than Grace to end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler: s, MaxHeaderBytes: headers,
		ReadHeaderTimeout: min(s.options.Timeout, 5*time.Second), ReadTimeout: s.options.Timeout, WriteTimeout: s.options.Timeout + 5*time.Second,
		IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	select {
	case err := <-ended:
		return errors.Wrap(err, "serve")
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), s.options.Grace)
	defer cancel()
	err := h.Shutdown(grace)
	if err != nil {
		_ = h.Close()
	}
	<-ended
	return errors.Wrap(err, "serve: requests did not end in time")
}
