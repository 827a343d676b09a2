package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/report"
	"github.com/convgrad/convgrad/train/data"
)

// A Prediction is a class and its probability.
type Prediction struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// A Result is what the network makes of a picture: the classes, the most probable first.
type Result struct {
	Predictions []Prediction `json:"predictions"`
	Layers      []Layer      `json:"layers,omitempty"`   // if features are asked for
	Gradient    template.URL `json:"gradient,omitempty"` // likewise, a picture
}

// A Layer is the maps of a layer.
type Layer struct {
	Name  string       `json:"name"`
	Kind  string       `json:"kind"`
	Shape [3]int       `json:"shape"`
	Maps  template.URL `json:"maps"` // a picture of the first of them
}

// A refusal is an error that is the request's fault, or that of the load.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return r.text }

func refuse(code int, format string, args ...any) error {
	return refusal{code, fmt.Sprintf(format, args...)}
}

// predict is POST /predict?top=K&features=1&invert=1. The body is a picture; or the parts of
// multipart/form-data are; or it is JSON: {"image": base64}, {"images": [base64, …]}, or {"pixels":
// [0 to 255, …]} with the C·H·W bytes of the network's input.
func (s *Server) predict(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.options.Timeout)
	defer cancel()
	results, err := s.results(ctx, w, r)
	var refused refusal
	switch {
	case err == nil:
		answer(w, http.StatusOK, map[string]any{"results": results})
	case errors.As(err, &refused):
		if refused.code == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		fail(w, refused.code, refused.text)
	case errors.Is(err, errStopped), ctx.Err() != nil:
		fail(w, http.StatusServiceUnavailable, "it took too long, or the server stops")
	default:
		fail(w, http.StatusInternalServerError, err.Error())
	}
}

// answer writes JSON.
func answer(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"error":"the answer is no JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n')) // a client that has gone is not to be told
}

func fail(w http.ResponseWriter, code int, text string) {
	answer(w, code, map[string]string{"error": strings.ToValidUTF8(text, "?")})
}

func (s *Server) results(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]Result, error) {
	if r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "the method is %.20q, want POST", r.Method)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query: %v", err)
	}
	top, features, invert := len(s.run.Classes), query.Get("features") == "1", query.Get("invert") == "1"
	if text := query.Get("top"); text != "" {
		if top, err = strconv.Atoi(text); err != nil || top < 1 {
			return nil, refuse(http.StatusBadRequest, "top is %.20q, want at least 1", text)
		}
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, refuse(http.StatusUnsupportedMediaType, "the content type: %v", err)
	}
	weight := int64(1)
	if kind == "application/json" {
		weight = 3 // the decoder has a copy, and what it finds is a part of it
	}
	body, release, err := s.body(w, r, weight)
	defer release()
	if err != nil {
		return nil, err
	}
	pictures, err := s.pictures(kind, params["boundary"], body)
	if err != nil {
		return nil, err
	}
	if invert {
		for _, p := range pictures {
			for i, v := range p {
				p[i] = 255 - v
			}
		}
	}
	if features && len(pictures) > 1 {
		return nil, refuse(http.StatusBadRequest, "features of %d pictures, want one", len(pictures))
	}
	s.metrics.pictures.Add(float64(len(pictures)))
	if features {
		one, err := s.look(ctx, pictures[0])
		if err != nil {
			return nil, err
		}
		one.Predictions = one.Predictions[:min(top, len(one.Predictions))]
		return []Result{*one}, nil
	}
	all, err := s.batches.classify(ctx, pictures)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(all))
	for i, p := range all {
		results[i].Predictions = s.ranked(p)[:min(top, len(p))]
	}
	return results, nil
}

// ranked are the classes, the most probable first.
func (s *Server) ranked(p []float64) []Prediction {
	all := make([]Prediction, len(p))
	for i, v := range p {
		all[i] = Prediction{s.run.Classes[i], v}
	}
	slices.SortStableFunc(all, func(a, b Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	return all
}

// body reads a request's body. Memory is reserved as it comes, and not as it is promised, so that
// slow requests hold little; weight is how often a byte is held. release gives it back.
func (s *Server) body(w http.ResponseWriter, r *http.Request, weight int64) (b []byte, release func(), err error) {
	held := int64(0)
	release = func() { s.bytes.Release(held) }
	if r.ContentLength > s.options.MaxBytes {
		return nil, release, refuse(http.StatusRequestEntityTooLarge, "the body has %d bytes, want at most %d", r.ContentLength, s.options.MaxBytes)
	}
	from := http.MaxBytesReader(w, r.Body, s.options.MaxBytes)
	for {
		if len(b) == cap(b) {
			more := int64(max(cap(b), 4096))
			if !s.bytes.TryAcquire(more * weight) {
				return nil, release, refuse(http.StatusServiceUnavailable, "there are too many requests")
			}
			held += more * weight
			b = append(make([]byte, 0, len(b)+int(more)), b...)
		}
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		var large *http.MaxBytesError
		switch {
		case err == io.EOF:
			return b, release, nil
		case errors.As(err, &large):
			return nil, release, refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", large.Limit)
		case err != nil:
			return nil, release, refuse(http.StatusBadRequest, "the body ends early: %v", err)
		}
	}
}

// pictures finds the pictures of a body, and brings them to the network's input.
func (s *Server) pictures(kind, boundary string, body []byte) ([][]uint8, error) {
	switch {
	case kind == "application/json":
		return s.fromJSON(body)
	case kind == "multipart/form-data":
		return s.fromParts(multipart.NewReader(bytes.NewReader(body), boundary))
	case len(body) == 0:
		return nil, refuse(http.StatusBadRequest, "the body is empty, want a picture, multipart/form-data, or application/json")
	}
	p, err := s.decode(body)
	if err != nil {
		return nil, err
	}
	return [][]uint8{p}, nil
}

// decode reads a picture.
func (s *Server) decode(b []byte) ([]uint8, error) {
	if bytes.HasPrefix(b, []byte{0xFF, 0xD8}) && bytes.Count(b, []byte{0xFF, 0xDA}) > maxScans {
		return nil, refuse(http.StatusBadRequest, "a JPEG of more than %d scans", maxScans)
	}
	p, err := data.ReadPicture(bytes.NewReader(b), s.run.Input, s.run.Config.Fit, s.options.MaxPixels)
	if err != nil {
		code := http.StatusBadRequest
		if strings.Contains(err.Error(), "unknown format") {
			code = http.StatusUnsupportedMediaType
		}
		return nil, refuse(code, "the picture: %v; want PNG, JPEG, GIF, WebP or BMP", strings.TrimPrefix(err.Error(), "data: "))
	}
	return p, nil
}

func (s *Server) fromParts(m *multipart.Reader) (all [][]uint8, err error) {
	for {
		part, err := m.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "multipart/form-data: %v", err)
		}
		b, err := io.ReadAll(part) // no more than the body, which is in memory
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "multipart/form-data: %v", err)
		}
		if len(b) == 0 { // a field of a form that was left empty
			continue
		}
		if len(all) == s.options.MaxPictures {
			return nil, refuse(http.StatusRequestEntityTooLarge, "more than %d pictures", s.options.MaxPictures)
		}
		p, err := s.decode(b)
		if err != nil {
			return nil, named(err, fmt.Sprintf("part %d", len(all)+1))
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, refuse(http.StatusBadRequest, "there is no picture in the parts")
	}
	return all, nil
}

// named puts a place before a refusal.
func named(err error, where string) error {
	if r, ok := err.(refusal); ok {
		r.text = where + ": " + r.text
		return r
	}
	return err
}

// fewFiles are strings of base64. They are counted as they are read: an empty one has two bytes as
// text, and takes a slice in memory.
type fewFiles struct {
	most  int
	files [][]byte
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *fewFiles) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	open, err := d.Token()
	if err != nil || open == nil {
		return err
	}
	if open != json.Delim('[') {
		return errors.New(`"images" is no array`)
	}
	for f.files = [][]byte{}; d.More(); {
		if len(f.files) == f.most {
			return refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d pictures", f.most)}
		}
		var file []byte
		if err := d.Decode(&file); err != nil {
			return err
		}
		f.files = append(f.files, file)
	}
	return nil
}

func (s *Server) fromJSON(body []byte) (all [][]uint8, err error) {
	var in struct {
		Image  []byte          `json:"image"`
		Images fewFiles        `json:"images"`
		Pixels json.RawMessage `json:"pixels"`
	}
	in.Images.most = s.options.MaxPictures
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		var refused refusal
		if errors.As(err, &refused) {
			return nil, refused
		}
		return nil, refuse(http.StatusBadRequest, "JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse(http.StatusBadRequest, "JSON: more than one value")
	}
	given := 0
	for _, there := range []bool{in.Image != nil, in.Images.files != nil, in.Pixels != nil} {
		if there {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, refuse(http.StatusBadRequest, `JSON: %d of "image", "images" and "pixels", want one`, given)
	case in.Image != nil:
		p, err := s.decode(in.Image)
		return [][]uint8{p}, err
	case in.Images.files != nil:
		for i, b := range in.Images.files {
			p, err := s.decode(b)
			if err != nil {
				return nil, named(err, fmt.Sprintf("image %d", i+1))
			}
			all = append(all, p)
		}
		if len(all) == 0 {
			return nil, refuse(http.StatusBadRequest, "JSON: there are no images")
		}
		return all, nil
	}
	// The numbers are counted before they are read: a comma costs a byte, and a number eight.
	want := s.run.Input.TotalSize()
	var values []int
	if n := bytes.Count(in.Pixels, []byte{','}) + 1; n != want {
		return nil, refuse(http.StatusBadRequest, "%d pixels, want %d: %v, row by row", n, want, s.run.Input)
	}
	if err := json.Unmarshal(in.Pixels, &values); err != nil || len(values) != want {
		return nil, refuse(http.StatusBadRequest, "JSON: the pixels are not %d whole numbers", want)
	}
	p := make([]uint8, want)
	for i, v := range values {
		if v < 0 || v > 255 {
			return nil, refuse(http.StatusBadRequest, "pixel %d is %d, want 0 to 255", i, v)
		}
		p[i] = uint8(v)
	}
	return [][]uint8{p}, nil
}

// look classifies a picture and shows what the layers make of it. One request looks at a time.
func (s *Server) look(ctx context.Context, pixels []uint8) (*Result, error) {
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	x := make([]float32, len(pixels))
	for i, v := range pixels {
		x[i] = float32(float64(v) / 255)
	}
	if s.run.Normalisation != nil {
		if err := s.run.Normalisation.Apply(s.run.Input, x); err != nil {
			return nil, err
		}
	}
	sight, err := s.view.Look(x, -1)
	if err != nil {
		return nil, err
	}
	r := &Result{Predictions: s.ranked(sight.Probabilities)}
	if r.Gradient, err = report.DataURI(sight.Gradient); err != nil {
		return nil, err
	}
	for _, m := range sight.Maps {
		l := Layer{Name: m.Layer, Kind: m.Kind, Shape: [3]int{m.Channels, m.Height, m.Width}}
		if l.Maps, err = report.DataURI(m.Sheet); err != nil {
			return nil, err
		}
		r.Layers = append(r.Layers, l)
	}
	return r, nil
}
