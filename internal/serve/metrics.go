package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are a server's own: two servers in one process do not share any.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
	underway prometheus.Gauge
	pictures prometheus.Counter
	batch    prometheus.Histogram
}

func newMetrics(waiting func() float64) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "convgrad_requests_total", Help: "Requests to /predict, by the code of the answer."}, []string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "convgrad_request_seconds", Help: "Time from a request's header to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}),
		underway: prometheus.NewGauge(prometheus.GaugeOpts{Name: "convgrad_requests_underway", Help: "Requests that have no answer yet."}),
		pictures: prometheus.NewCounter(prometheus.CounterOpts{Name: "convgrad_pictures_total", Help: "Pictures that were classified."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "convgrad_batch_pictures", Help: "Pictures that the network took at once.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 7)}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.underway, m.pictures, m.batch,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "convgrad_pictures_waiting", Help: "Pictures that wait for the network."}, waiting),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// count notes requests with their codes and times.
func (m *metrics) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, code := time.Now(), &coded{ResponseWriter: w, code: http.StatusOK}
		m.underway.Inc()
		defer func() {
			m.underway.Dec()
			m.seconds.Observe(time.Since(start).Seconds())
			m.requests.WithLabelValues(strconv.Itoa(code.code)).Inc()
		}()
		next.ServeHTTP(code, r)
	})
}

// coded notes the code of an answer.
type coded struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (w *coded) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *coded) Unwrap() http.ResponseWriter { return w.ResponseWriter }
