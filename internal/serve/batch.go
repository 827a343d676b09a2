package serve

import (
	"context"
	"sync"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/train"
)

// A job is a picture that waits for its class.
type job struct {
	ctx    context.Context
	pixels []uint8
	done   chan result // of one place, so that no answer waits for a request that has gone
}

// A result is what the network makes of a picture.
type result struct {
	probabilities []float64
	err           error
}

// A batcher puts pictures of all requests through the network together. While one batch computes,
// the next gathers: there is no waiting for company, and batches grow with the load.
type batcher struct {
	run   *train.SavedRun
	jobs  chan job
	quit  chan struct{}
	ended sync.WaitGroup
	note  func(pictures int)
}

func newBatcher(r *train.SavedRun, note func(int)) *batcher {
	b := &batcher{run: r, jobs: make(chan job, queue), quit: make(chan struct{}), note: note}
	b.ended.Add(1)
	return b
}

func (b *batcher) close() {
	close(b.quit)
	b.ended.Wait()
}

// errStopped is the answer to what comes when the server stops.
var errStopped = errors.New("the server stops")

// classify waits for the probabilities of pictures, in their order.
func (b *batcher) classify(ctx context.Context, pictures [][]uint8) ([][]float64, error) {
	waiting := make([]job, len(pictures))
	for i, p := range pictures {
		waiting[i] = job{ctx, p, make(chan result, 1)}
		select {
		case b.jobs <- waiting[i]:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.quit:
			return nil, errStopped
		}
	}
	all := make([][]float64, len(pictures))
	for i, j := range waiting {
		select {
		case r := <-j.done:
			if r.err != nil {
				return nil, r.err
			}
			all[i] = r.probabilities
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.quit:
			return nil, errStopped
		}
	}
	return all, nil
}

// loop classifies until the batcher is closed.
func (b *batcher) loop() {
	defer b.ended.Done()
	batch := make([]job, 0, maxBatch)
	var pixels []uint8
	for {
		batch = batch[:0]
		select {
		case j := <-b.jobs:
			batch = append(batch, j)
		case <-b.quit:
			return
		}
	gather:
		for len(batch) < maxBatch {
			select {
			case j := <-b.jobs:
				if j.ctx.Err() == nil { // the request has not gone
					batch = append(batch, j)
				}
			default:
				break gather
			}
		}
		pixels = b.compute(batch, pixels[:0])
	}
}

// compute classifies a batch and hands the results out. pixels is memory that is used again.
func (b *batcher) compute(batch []job, pixels []uint8) []uint8 {
	b.note(len(batch))
	for _, j := range batch {
		pixels = append(pixels, j.pixels...)
	}
	// Batches are filled up to a power of two, since each size has a graph of its own.
	size := 1
	for size < len(batch) {
		size *= 2
	}
	one := len(batch[0].pixels)
	for range size - len(batch) {
		pixels = append(pixels, batch[0].pixels...)
	}
	_, y, err := b.run.Classify(pixels[:size*one])
	switch {
	case err != nil && len(batch) > 1: // one picture is not to spoil the others
		for i := range batch {
			b.compute(batch[i:i+1], nil)
		}
		return pixels
	case err != nil:
		batch[0].done <- result{err: err}
		return pixels
	}
	rows, _ := y.Data().([]float32)
	for i, j := range batch {
		k := len(b.run.Classes)
		p, err := b.run.Probabilities(rows[i*k:][:k])
		j.done <- result{p, err}
	}
	return pixels
}
