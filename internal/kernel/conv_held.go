package kernel

import (
	"sync"
	"sync/atomic"

	"github.com/convgrad/convgrad/internal/simd"
)

// Algorithms pack the filters before they read them. At small batches that takes as long as a third
// of the products. Who owns filters that stay as they are for many forward passes can hold them:
// they are then packed once for each algorithm that reads them. What is computed is the same.

// A Held is filters that nobody writes to. It must be released.
type Held[T Float] struct {
	w      []T // so that no other slice can begin at its address meanwhile
	mu     sync.Mutex
	packed map[packing][]T
}

// A packing is what the order of packed filters depends on.
type packing struct {
	algorithm  string
	tier       simd.Tier
	tile       int // of Winograd's algorithm
	group, m   int // the group and its filters
	planes     int
	rows, cols int
	flip       bool
}

var (
	held   sync.Map     // from the address of the first weight, a *T, to its *Held[T]
	anyone atomic.Int64 // holds something
)

// Hold holds filters until Release. Whoever writes to them must call Changed before the next pass.
func Hold[T Float](w []T) *Held[T] {
	h := &Held[T]{w: w, packed: map[packing][]T{}}
	if len(w) > 0 {
		held.Store(&w[0], h)
		anyone.Add(1)
	}
	return h
}

// Changed forgets what was packed. No pass may read the filters meanwhile.
func (h *Held[T]) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.packed)
}

// Release undoes Hold, once.
func (h *Held[T]) Release() {
	if len(h.w) > 0 {
		held.CompareAndDelete(&h.w[0], h)
		anyone.Add(-1)
	}
}

// heldBy is who holds filters, or nil.
func heldBy[T Float](w []T) *Held[T] {
	if anyone.Load() == 0 || len(w) == 0 {
		return nil
	}
	if h, ok := held.Load(&w[0]); ok {
		return h.(*Held[T])
	}
	return nil
}

// find is memory for n packed weights. Where done is not nil, they have yet to be packed, and then
// it is to be called.
func (p *correlation[T]) find(algorithm string, s *scratch[T], buffer, n int) (packed []T, done func()) {
	return p.held.find(packing{algorithm, simd.CurrentTier(), p.tile, p.group, p.m, p.planes, len(p.rows), len(p.cols), p.rows[0].element > 0 || p.cols[0].element > 0}, s, buffer, n)
}

// find is memory of s where nobody holds the weights.
func (h *Held[T]) find(of packing, s *scratch[T], buffer, n int) (packed []T, done func()) {
	if h == nil {
		return s.slice(buffer, n), func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if packed := h.packed[of]; packed != nil {
		return packed, nil
	}
	// Two passes at once may both pack. Neither waits for the other.
	packed = make([]T, n)
	return packed, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.packed[of] = packed
	}
}
