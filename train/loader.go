package train

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/train/data"
)

// A loader reads batches of a dataset ahead of the steps, in other goroutines, and augments them
// there. The order of the samples is the caller's alone, or the stream's.
type loader struct {
	set     data.Dataset
	size    int // of a sample
	classes int
	workers int
	augment []data.Augment
	seed    uint64
	free    []*batch
	waited  time.Duration // of the caller, for batches that were not ready
}

// ahead is how many batches are read while one is in use.
const ahead = 2

// A batch is samples one after the other, with their targets.
type batch struct {
	x       []float32
	targets []data.Target
	indices []int
	left    atomic.Int32  // pieces that are not read
	ready   chan struct{} // gets a token when none is left
	err     []error       // by piece
}

// newLoader returns a loader with that many goroutines, or one for each core.
func newLoader(s data.Dataset, workers int) *loader {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if _, ok := s.(data.Set); !ok {
		workers = 1 // a stream's samples come one after the other
	}
	return &loader{set: s, size: s.Shape().TotalSize(), classes: len(s.Classes()), workers: workers}
}

// take returns a batch for n samples, one that was given back if there is one.
func (l *loader) take(n int) *batch {
	b := &batch{ready: make(chan struct{}, 1)}
	if k := len(l.free); k > 0 {
		b, l.free = l.free[k-1], l.free[:k-1]
	}
	if cap(b.targets) < n {
		b.x, b.targets, b.indices = make([]float32, n*l.size), make([]data.Target, n), make([]int, n)
	}
	b.x, b.targets, b.indices = b.x[:n*l.size], b.targets[:n], b.indices[:n]
	return b
}

// A reading is a part of an epoch: the samples at the places from ≤ i < to of its order, in batches
// of that many, the last as short as what is left. The sample at place i is order[i], or i without
// an order. The epoch decides on the augmentation.
type reading struct {
	epoch, from, to, batch int
	order                  []int
}

// each calls f with the batches of a reading. f must not keep the batch. each ends at the first
// error, of f, of a sample, or of ctx.
func (l *loader) each(ctx context.Context, w reading, f func(b *batch) error) (err error) {
	type piece struct {
		b         *batch
		n, lo, hi int
	}
	read, end := l.open(w.epoch)
	defer func() {
		if e := end(); err == nil {
			err = e
		}
	}()
	workers := max(1, min(l.workers, w.batch))
	pieces := make(chan piece, (ahead+1)*workers)
	var wg sync.WaitGroup
	var stopped atomic.Bool
	for range workers {
		wg.Go(func() {
			augment := data.NewAugmenter(l.augment, l.set.Shape(), l.seed)
			for p := range pieces {
				if !stopped.Load() {
					p.b.err[p.n] = l.read(p.b, p.lo, p.hi, read, w.epoch, augment)
				}
				if p.b.left.Add(-1) == 0 {
					p.b.ready <- struct{}{}
				}
			}
		})
	}
	defer wg.Wait()
	defer close(pieces)
	defer stopped.Store(true)
	var queue []*batch
	for at := w.from; at < w.to || len(queue) > 0; {
		for ; at < w.to && len(queue) <= ahead; at += len(queue[len(queue)-1].targets) {
			b := l.take(min(w.batch, w.to-at))
			for k := range b.indices {
				if b.indices[k] = at + k; w.order != nil {
					b.indices[k] = w.order[at+k]
				}
			}
			count := min(workers, len(b.targets))
			b.left.Store(int32(count))
			b.err = make([]error, count)
			for n := range count {
				pieces <- piece{b, n, n * len(b.targets) / count, (n + 1) * len(b.targets) / count}
			}
			queue = append(queue, b)
		}
		b := queue[0]
		queue = queue[1:]
		start := time.Now()
		<-b.ready
		l.waited += time.Since(start)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, err := range b.err {
			if err != nil {
				return err
			}
		}
		if err := f(b); err != nil {
			return err
		}
		l.free = append(l.free, b)
	}
	return ctx.Err()
}

// open returns the function that reads the samples of an epoch, and the one that ends that.
func (l *loader) open(epoch int) (read func(i int, x []float32) (data.Target, error), end func() error) {
	if s, ok := l.set.(data.Set); ok {
		return s.Read, func() error { return nil }
	}
	samples := l.set.(data.Stream).Epoch(epoch)
	if samples == nil {
		samples = func(func(data.Sample, error) bool) {}
	}
	next, stop := iter.Pull2(samples)
	at := 0
	read = func(i int, x []float32) (data.Target, error) {
		for { // what a resumed run has trained on is passed over
			s, err, ok := next()
			switch {
			case err != nil:
				return data.Target{}, err
			case !ok:
				return data.Target{}, errors.Errorf("the stream has ended, want %d samples an epoch", l.set.Len())
			case len(s.X) != l.size:
				return data.Target{}, errors.Errorf("the stream gives %d elements, want %d", len(s.X), l.size)
			}
			if at++; at > i {
				copy(x, s.X)
				return s.Target, nil
			}
		}
	}
	return read, func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = errors.Errorf("train: the stream panicked as it was ended: %v", r)
			}
		}()
		stop()
		return nil
	}
}

// read reads some samples of a batch. A dataset that panics gives an error: it runs in a goroutine
// that the caller could not guard.
func (l *loader) read(b *batch, lo, hi int, read func(int, []float32) (data.Target, error), epoch int, augment *data.Augmenter) (err error) {
	at := lo
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("train: sample %d: the set or an augmentation panicked: %v", b.indices[at], r)
		}
	}()
	for ; at < hi; at++ {
		x := b.x[at*l.size:][:l.size:l.size]
		t, err := read(b.indices[at], x)
		if err != nil {
			return errors.Wrapf(err, "train: sample %d", b.indices[at])
		}
		if t.Values == nil && l.classes > 0 && (t.Class < 0 || t.Class >= l.classes) {
			return errors.Errorf("train: sample %d is of class %d, want 0 to %d", b.indices[at], t.Class, l.classes-1)
		}
		augment.Apply(epoch, b.indices[at], x)
		b.targets[at] = t
	}
	return nil
}
