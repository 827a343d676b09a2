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
	turns chan struct{}
	once  sync.Once
	batch int // samples of a whole batch
	err   error

	mu    sync.Mutex
	idle  []*Graph // the one used last at the end
	bytes int      // of idle
}

func (p *pool) init() { p.turns = make(chan struct{}, runtime.GOMAXPROCS(0)) }

// take is an idle graph for a batch size, or nil.
func (p *pool) take(batch int) *Graph {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if g := p.idle[i]; g.batch == batch {
			p.idle, p.bytes = slices.Delete(p.idle, i, i+1), p.bytes-g.PeakBytes()
			return g
		}
	}
	return nil
}

// put gives a graph back, and drops those that were not used for longest once there are too many.
func (p *pool) put(g *Graph) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle, p.bytes = append(p.idle, g), p.bytes+g.PeakBytes()
	for len(p.idle) > 1 && (p.bytes > idleBytes || len(p.idle) > idleGraphs+2*cap(p.turns)) {
		p.bytes -= p.idle[0].PeakBytes()
		_ = p.idle[0].Close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
}

// size works out, once, how many samples make a batch.
func (p *pool) size(n *Network) (int, error) {
	p.once.Do(func() {
		g, err := n.Build(1, BuildOptions{})
		if err != nil {
			p.err = err
			return
		}
		sample := g.PeakBytes() + n.input.TotalSize()*int(n.dtype.Size())
		p.batch = min(max(predictBytes/max(sample, 1), 1), maxPredictBatch)
		p.put(g)
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
	g := n.pool.take(batch)
	if g == nil {
		if g, err = n.Build(batch, BuildOptions{}); err != nil {
			return err
		}
	}
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
	n.pool.put(g)
	return nil
}
