package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

func init() {
	verbs["predict"] = verb{`train predict RUN FILE|DIR… [flags]: the most probable classes of pictures

  train predict runs/pets photo.jpg                 one picture: PNG, JPEG, GIF, WebP or BMP
  train predict runs/pets inbox -top 1 -json        all below a directory, a JSON object a line
  train predict runs/digits -invert - <scan.png     from standard input; dark on light, for a network that learned light on dark

Pictures are scaled and cut to the network's input, as those that it was trained on. A file that is no
picture, damaged or too large is named; the others are classified, and the exit code is 1.
`, setupPredict}
}

// predictBatch is how many pictures are in memory at once, each brought to the network's input.
const predictBatch = 64

// maxStdin bounds a picture from standard input, which can only be decoded from memory.
const maxStdin = 256 << 20

// A guess is a class and its probability.
type guess struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// A prediction is what predict says of a file.
type prediction struct {
	File    string  `json:"file"`
	Guesses []guess `json:"predictions,omitempty"`
	Error   string  `json:"error,omitempty"`

	pixels []uint8
}

// predictor is predict under way.
type predictor struct {
	*call
	run       *train.SavedRun
	top, most int
	json      bool
	invert    bool
	waiting   []*prediction
	all, bad  int
}

func setupPredict(f *flag.FlagSet) func(*call) error {
	p := &predictor{}
	f.IntVar(&p.top, "top", 3, "how many `classes` to name")
	f.IntVar(&p.most, "max-pixels", 64<<20, "the largest picture that is read, in `pixels`")
	f.BoolVar(&p.json, "json", false, "print a JSON object a line")
	f.BoolVar(&p.invert, "invert", false, "turn light into dark first")
	open, threads := runFlag(f), threadsFlag(f)
	return func(c *call) error {
		switch {
		case len(c.args) < 2:
			return usagef("predict: got %d arguments, want a run and pictures: train predict RUN FILE|DIR…", len(c.args))
		case p.top < 1 || p.most < 1:
			return usagef("predict: -top is %d and -max-pixels %d, want at least 1", p.top, p.most)
		}
		if err := setThreads(*threads); err != nil {
			return err
		}
		var err error
		if p.run, err = open(c.args[0]); err != nil {
			return err
		}
		p.call = c
		for _, path := range c.args[1:] {
			if err := p.path(path); err != nil {
				return err
			}
		}
		if err := p.flush(); err != nil {
			return err
		}
		switch {
		case p.all == 0:
			return fmt.Errorf("predict: there are no files in %s", strings.Join(c.args[1:], ", "))
		case p.bad > 0:
			return fmt.Errorf("predict: %d of %d could not be read", p.bad, p.all)
		}
		return nil
	}
}

// path takes a file, all files below a directory, or standard input.
func (p *predictor) path(path string) error {
	if path == "-" {
		return p.add(path)
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return p.add(path)
	}
	return filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		switch hidden := at != path && strings.HasPrefix(filepath.Base(at), "."); {
		case err != nil:
			p.all++
			p.bad++
			return p.print(&prediction{File: at, Error: plainError(err)})
		case hidden && e.IsDir():
			return filepath.SkipDir
		case hidden || e.IsDir():
			return nil
		}
		return p.add(at)
	})
}

// add takes a file, and classifies those that wait once there are enough.
func (p *predictor) add(path string) error {
	p.all++
	p.waiting = append(p.waiting, &prediction{File: path})
	if len(p.waiting) < predictBatch {
		return nil
	}
	return p.flush()
}

// flush reads, classifies and prints what waits.
func (p *predictor) flush() error {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(p.waiting); i += workers {
				q := p.waiting[i]
				if err := p.read(q); err != nil {
					q.Error = plainError(err)
				}
			}
		})
	}
	wg.Wait()
	var pixels []uint8
	for _, q := range p.waiting {
		pixels = append(pixels, q.pixels...)
	}
	var rows []float32
	if len(pixels) > 0 {
		_, y, err := p.run.Classify(pixels)
		if err != nil {
			return err
		}
		rows = y.Data().([]float32) // which Classify vouches for
	}
	k := len(p.run.Classes)
	for _, q := range p.waiting {
		if q.Error != "" {
			p.bad++
			continue
		}
		probable, err := p.run.Probabilities(rows[:k])
		if err != nil {
			return err
		}
		for i, v := range probable {
			q.Guesses = append(q.Guesses, guess{p.run.Classes[i], v})
		}
		slices.SortStableFunc(q.Guesses, func(a, b guess) int { return cmp.Compare(b.Probability, a.Probability) })
		q.Guesses, rows = q.Guesses[:min(p.top, k)], rows[k:]
	}
	err := p.print(p.waiting...)
	p.waiting = p.waiting[:0]
	return err
}

// read decodes a picture.
func (p *predictor) read(q *prediction) (err error) {
	var from io.ReadSeeker
	if q.File == "-" {
		b, err := io.ReadAll(io.LimitReader(os.Stdin, maxStdin+1))
		if err != nil {
			return err
		}
		if len(b) > maxStdin {
			return fmt.Errorf("more than %d bytes", maxStdin)
		}
		from = bytes.NewReader(b)
	} else {
		info, err := os.Stat(q.File)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() { // a pipe would wait for ever
			return errors.New("not a regular file")
		}
		f, err := os.Open(q.File)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	if q.pixels, err = data.ReadPicture(from, p.run.Input, p.run.Config.Fit, p.most); err != nil || !p.invert {
		return err
	}
	for i, v := range q.pixels {
		q.pixels[i] = 255 - v
	}
	return nil
}

// plainError is an error's text without the path, which is printed before it.
func plainError(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return strings.TrimPrefix(err.Error(), "data: ")
}

func (p *predictor) print(all ...*prediction) error {
	if p.json {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		for _, q := range all {
			if err := enc.Encode(q); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, q := range all {
		if q.Error != "" {
			fmt.Fprintf(p.stderr, "train: %s: %s\n", q.File, q.Error)
			continue
		}
		fmt.Fprint(w, q.File)
		for _, g := range q.Guesses {
			fmt.Fprintf(w, "\t%s\t%.2f %%", g.Class, 100*g.Probability)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
