package model

import (
	"runtime"
	"slices"
	"sync"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"
)

const (
	// maxPredictBatch is the most samples that a graph of Predict's takes at once.
	maxPredictBatch = 128
	// predictBytes is what the intermediates of such a graph may take, if one sample's fit.
	predictBytes = 64 << 20
	// idleBytes is what graphs may hold that wait for the next Predict.
	idleBytes = 4 * predictBytes
	// idleGraphs is how many may wait, beside two for each processor: batches have several sizes.
	idleGraphs = 8
)

// A pool keeps graphs that only evaluate. No more are in use at a time than there are processors,
// so memory is bounded; each is used by one goroutine at a time, and none waits for another's.
type pool struct {
	once   sync.Once
	turns  chan struct{}
	batch  int // samples of a whole batch
	sample int // bytes of a batch of one
	most   int // bytes of all graphs, if Options bound them
	err    error

	mu    sync.Mutex
	idle  []*Graph // the one used last at the end
	bytes int      // of idle
	busy  int      // of the others
}

// take is an idle graph for a batch size, or nil: then there is room for a new one, of so many
// bytes, whose place is taken.
func (p *pool) take(batch, bytes int) *Graph {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if g := p.idle[i]; g.batch == batch {
			p.idle, p.bytes, p.busy = slices.Delete(p.idle, i, i+1), p.bytes-g.bytes(), p.busy+g.bytes()
			return g
		}
	}
	p.busy += bytes
	p.drop(0)
	return nil
}

// put gives a graph back, whose place had so many bytes, or only the place if g is nil.
func (p *pool) put(g *Graph, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy -= bytes
	if g != nil {
		p.idle, p.bytes = append(p.idle, g), p.bytes+g.bytes()
	}
	p.drop(1)
}

// drop closes idle graphs, those that were not used for longest first, while they are too many or
// too large, and more than keep.
func (p *pool) drop(keep int) {
	room := idleBytes
	if p.most > 0 {
		room, keep = p.most-p.busy, 0
	}
	for len(p.idle) > keep && (p.bytes > room || len(p.idle) > idleGraphs+2*cap(p.turns)) {
		p.bytes -= p.idle[0].bytes()
		_ = p.idle[0].Close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
}

// bytes is what a graph holds, its input with it.
func (m *Graph) bytes() int {
	return m.PeakBytes() + m.batch*m.net.input.TotalSize()*int(m.net.dtype.Size())
}

// size works out, once, how many samples make a batch, and how many graphs compute at a time.
func (p *pool) size(n *Network) (int, error) {
	p.once.Do(func() {
		g, err := n.Build(1, BuildOptions{})
		if err != nil {
			p.err = err
			return
		}
		turns, sample, room := runtime.GOMAXPROCS(0), max(g.bytes(), 1), predictBytes
		if most := n.options.PredictBytes; most > 0 {
			if sample > most {
				p.err = errors.Errorf("%s: Predict: one sample takes %d bytes, and Options.PredictBytes is %d", n.title(), sample, most)
				return
			}
			turns = min(turns, most/sample)
			p.most, room = most, most/turns
		}
		p.turns = make(chan struct{}, turns)
		p.batch = min(max(room/sample, 1), maxPredictBatch)
		p.sample = sample
		p.put(g, 0)
	})
	return p.batch, p.err
}

// Predict returns the network's output for x, any number of samples N×C×H×W, as a new tensor. Any
// number of goroutines may call it at once; as many as there are processors compute at a time.
// Weights must not be trained meanwhile.
//
// It returns an error that says which rule was broken if x is not a plain tensor of the network's
// type and input shape with at least one sample.
func (n *Network) Predict(x *tensor.Dense) (*tensor.Dense, error) {
	if err := n.made(); err != nil {
		return nil, err
	}
	if x == nil || x.Dtype().Type == nil {
		return nil, errors.Errorf("%s: Predict: x is no tensor, want N×%v of %v", n.title(), n.input, n.dtype)
	}
	s := x.Shape()
	switch {
	case len(s) != len(n.input)+1 || !s[1:].Eq(n.input):
		return nil, errors.Errorf("%s: Predict: x has shape %v, want N samples of %v: %v", n.title(), s, n.input, n.batch(1))
	case s[0] < 1:
		return nil, errors.Errorf("%s: Predict: x has %d samples, want at least one", n.title(), s[0])
	}
	if err := plain(x, s, n.dtype); err != nil {
		return nil, errors.Wrapf(err, "%s: Predict: x", n.title())
	}
	whole, err := n.pool.size(n)
	if err != nil {
		return nil, err
	}
	out := tensor.New(tensor.WithShape(append(tensor.Shape{s[0]}, n.output...)...), tensor.Of(n.dtype))
	for at := 0; at < s[0]; at += whole {
		if err := n.predict(out, x, at, min(whole, s[0]-at)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// predict puts samples at … at+batch through the network.
func (n *Network) predict(out, x *tensor.Dense, at, batch int) (err error) {
	n.pool.turns <- struct{}{}
	defer func() { <-n.pool.turns }()
	bytes := batch * n.pool.sample
	g := n.pool.take(batch, bytes)
	if g == nil {
		if g, err = n.Build(batch, BuildOptions{}); err != nil {
			n.pool.put(nil, bytes)
			return err
		}
	} else {
		bytes = g.bytes()
	}
	good := false
	defer func() {
		if !good { // its memory may not be what it should be
			n.pool.put(nil, bytes)
		}
	}()
	in, to := n.input.TotalSize(), n.output.TotalSize()
	copyData(g.InputData(), x.Data(), 0, at*in, batch*in)
	if err := g.Run(); err != nil {
		return errors.Wrap(err, "Predict")
	}
	y, err := g.Output()
	if err != nil {
		return errors.Wrap(err, "Predict")
	}
	copyData(out.Data(), y.Data(), at*to, 0, batch*to)
	good = true
	n.pool.put(g, bytes)
	return nil
}
