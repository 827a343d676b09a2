package train

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/train/data"
)

// A loader reads batches of a set ahead of the steps, in other goroutines, and augments them there.
// The order of the samples is the caller's alone.
type loader struct {
	set     data.Set
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
func newLoader(s data.Set, workers int) *loader {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
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
		b.x, b.targets = make([]float32, n*l.size), make([]data.Target, n)
	}
	b.x, b.targets = b.x[:n*l.size], b.targets[:n]
	return b
}

// each calls f with the samples of order, size at a time; the last batch is as short as what is
// left. The epoch decides on the augmentation. f must not keep the batch. each ends at the first
// error, of f, of a sample, or of ctx.
func (l *loader) each(ctx context.Context, epoch int, order []int, size int, f func(b *batch) error) error {
	type piece struct {
		b         *batch
		n, lo, hi int
	}
	workers := max(1, min(l.workers, size))
	pieces := make(chan piece, (ahead+1)*workers)
	var wg sync.WaitGroup
	var stopped atomic.Bool
	for range workers {
		wg.Go(func() {
			augment := data.NewAugmenter(l.augment, l.set.Shape(), l.seed)
			for p := range pieces {
				if !stopped.Load() {
					p.b.err[p.n] = l.read(p.b, p.lo, p.hi, epoch, augment)
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
	for at := 0; at < len(order) || len(queue) > 0; {
		for ; at < len(order) && len(queue) <= ahead; at += size {
			b := l.take(min(size, len(order)-at))
			b.indices = order[at:][:len(b.targets)]
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

// read reads some samples of a batch. A set that panics gives an error: it runs in a goroutine
// that the caller could not guard.
func (l *loader) read(b *batch, lo, hi, epoch int, augment *data.Augmenter) (err error) {
	at := lo
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("train: sample %d: the set or an augmentation panicked: %v", b.indices[at], r)
		}
	}()
	for ; at < hi; at++ {
		x := b.x[at*l.size:][:l.size:l.size]
		t, err := l.set.Read(b.indices[at], x)
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
