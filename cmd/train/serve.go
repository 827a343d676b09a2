package main

import (
	"flag"
	"fmt"
	"net"
	"time"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/internal/serve"
)

func init() {
	verbs["serve"] = verb{`train serve RUN [flags]: predictions over HTTP, and a page to try them

  train serve runs/pets                            then open http://127.0.0.1:8080 in a browser
  curl --data-binary @photo.jpg 'http://127.0.0.1:8080/predict?top=3'
  curl -F a=@one.png -F b=@two.png http://127.0.0.1:8080/predict
  curl --json '{"image": "iVBORw0KGgo…"}' http://127.0.0.1:8080/predict

POST /predict takes a picture, parts of multipart/form-data, or JSON: "image" or "images" in base64, or "pixels", the
numbers of the network's input from 0 to 255. ?top=K names K classes, ?invert=1 turns light into dark first,
?features=1 adds maps of the layers. Pictures of all requests are classified together. /healthz says that it is up,
/metrics is for Prometheus. An interrupt or SIGTERM ends it once requests under way are answered.
`, setupServe}
}

func setupServe(f *flag.FlagSet) func(*call) error {
	var o serve.Options
	address := f.String("addr", "127.0.0.1:8080", "the `address`; :8080 for all of the machine's")
	f.Int64Var(&o.MaxBytes, "max-bytes", 8<<20, "the largest body of a request, in `bytes`")
	f.IntVar(&o.MaxPixels, "max-pixels", 1<<24, "the largest picture, in `pixels`")
	f.IntVar(&o.MaxPictures, "max-pictures", 64, "the most `pictures` of a request")
	f.DurationVar(&o.Timeout, "timeout", 20*time.Second, "the longest that a request may take")
	f.DurationVar(&o.Grace, "grace", 10*time.Second, "how long requests under way may go on when it is to stop")
	open, threads := runFlag(f), threadsFlag(f)
	return func(c *call) error {
		if len(c.args) != 1 {
			return usagef("serve: got %d arguments, want one: train serve RUN", len(c.args))
		}
		if o.MaxBytes < 1 || o.MaxPixels < 1 || o.MaxPictures < 1 || o.Timeout <= 0 || o.Grace <= 0 {
			return usagef("serve: a limit is not positive")
		}
		if err := setThreads(*threads); err != nil {
			return err
		}
		r, err := open(c.args[0])
		if err != nil {
			return err
		}
		s, err := serve.New(r, o)
		if err != nil {
			return err
		}
		defer s.Close()
		l, err := net.Listen("tcp", *address)
		if err != nil {
			return err
		}
		ctx, stop := signals()
		defer stop()
		fmt.Fprintf(c.stdout, "%s on %s: http://%s (an interrupt ends it)\n", r.Network.Name(), report.Subject(r), l.Addr())
		if err := s.Serve(ctx, l); err != nil {
			return err
		}
		fmt.Fprintln(c.stdout, "stopped: all requests were answered")
		return nil
	}
}
