package kernel

import (
	"sync"
	"unsafe"

	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// MatMul is c = op(a)·op(b) (+ c where accumulate is set), c m×n, op(a) m×k, op(b) k×n, all
// row-major with no gaps; op transposes where its flag is set, so that a is then stored k×m and b
// n×k.
//
// Each element is the sum over k in blocks of a fixed length, the same at any number of threads.
// NaN and ±Inf go through as in the plain sum.
func MatMul[T Float](c, a, b []T, m, n, k int, transA, transB, accumulate bool) {
	lda, ldb := k, n
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	Gemm(c, a, b, m, n, k, lda, ldb, n, transA, transB, 1, accumulate)
}

// Gemm is c = α·op(a)·op(b) (+ c where accumulate is set) for row-major matrices whose rows begin
// lda, ldb and ldc elements apart.
func Gemm[T Float](c, a, b []T, m, n, k, lda, ldb, ldc int, transA, transB bool, alpha T, accumulate bool) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 {
		if !accumulate {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return
	}
	if m <= tinyProduct && n <= tinyProduct && k <= tinyProduct && m*n*k <= tinyProduct {
		plainGemm(c, a, b, m, n, k, lda, ldb, ldc, transA, transB, alpha, accumulate)
		return
	}
	p := product[T]{c: c, a: a, b: b, lda: lda, ldb: ldb, ldc: ldc, transA: transA, transB: transB, alpha: alpha, kern: simd.NewTileShape[T]()}
	p.make(m, n, k, accumulate)
}

// make makes the product the first way that takes it.
func (p *product[T]) make(m, n, k int, accumulate bool) {
	if !p.dots(m, n, k, accumulate) && !p.narrow(m, n, k, accumulate) {
		p.run(m, n, k, accumulate)
	}
}

// MatMuls makes so many products as MatMul does. at gives the places of each in c, a and b. Small
// ones are made by one thread each, with the bits of MatMul.
func MatMuls[T Float](count int, at func(i int) (c, a, b []T), m, n, k int, transA, transB bool) {
	if count < 2*workers.Threads() || m*n*k <= tinyProduct || m*n*k > 1<<22 {
		for i := range count {
			c, a, b := at(i)
			MatMul(c, a, b, m, n, k, transA, transB, false)
		}
		return
	}
	p := product[T]{lda: k, ldb: n, ldc: n, transA: transA, transB: transB, alpha: 1, kern: simd.NewTileShape[T](), alone: true}
	if transA {
		p.lda = m
	}
	if transB {
		p.ldb = k
	}
	workers.Spans(count, max(1, (1<<16)/(m*n*k)), func(lo, hi int) {
		p := p
		for i := lo; i < hi; i++ {
			p.c, p.a, p.b = at(i)
			p.make(m, n, k, false)
		}
	})
}

// The product is made the way of Goto and van de Geijn (2008). Blocks of a and b are packed into
// panels, a's of mr rows and b's of nr columns, each in the order in which the micro-kernel reads
// it: dense, the transposed forms being a matter of packing alone, and padded with zeros to whole
// panels. The micro-kernel makes one mr×nr tile of c from a panel of each, keeping it in registers.
// The blocks are bounded, so is the scratch.
const (
	blockK = 512
	blockM = 2048
	blockN = 2064
	// A task is a group of panels that shares the second-level cache.
	taskM = 192
	taskN = 192
	// Up to lateM rows of a, and from lateN panels of b on, tasks pack b for themselves.
	lateM = 512
	lateN = 6
)

type product[T Float] struct {
	c, a, b        []T
	lda, ldb, ldc  int
	transA, transB bool
	alpha          T
	kern           simd.TileShape
	packA, packB   []T
	alone          bool // on one thread
}

func (p *product[T]) run(m, n, k int, accumulate bool) {
	mr, nr := p.kern.MR, p.kern.NR
	s := takeForCall[T](2)
	defer s.free()
	for j0 := 0; j0 < n; j0 += blockN {
		nb := min(blockN, n-j0)
		nPanels := (nb + nr - 1) / nr
		for k0 := 0; k0 < k; k0 += blockK {
			kb := min(blockK, k-k0)
			p.packB = s.slice(1, nPanels*nr*kb)
			for i0 := 0; i0 < m; i0 += blockM {
				mb := min(blockM, m-i0)
				mPanels := (mb + mr - 1) / mr
				p.packA = s.slice(0, mPanels*mr*kb)
				p.block(i0, j0, k0, mb, nb, kb, mPanels, nPanels, i0 == 0, accumulate || k0 > 0)
			}
		}
	}
}

// block adds the product of one block of a with one of b to c.
func (p *product[T]) block(i0, j0, k0, mb, nb, kb, mPanels, nPanels int, packB, accumulate bool) {
	mr, nr := p.kern.MR, p.kern.NR
	// Where a's block is so small that a task can go through the whole of it, each task packs its
	// own panels of b, just before it reads them.
	late := mb <= lateM && nPanels >= lateN
	panels := mPanels
	if packB && !late {
		panels += nPanels
	}
	small := p.alone || mb*nb*kb < 1<<16 // some microseconds in all
	begin := func(j int) int { return min(nb, j*nr) }
	vectors, threads := (nb+p.kern.Vector-1)/p.kern.Vector, workers.Threads()
	if late && !small && threads < nPanels && nPanels+threads <= vectors {
		// Each thread gets as many panels as the others, some of which are narrower.
		nPanels = (nPanels + threads - 1) / threads * threads
		count := nPanels
		begin = func(j int) int { return min(nb, vectors*j/count*p.kern.Vector) }
	}
	panelOfB := func(dst []T, j int) (panel []T, cols, width int) {
		cols = begin(j+1) - begin(j)
		width = p.kern.Width(cols)
		return dst[:width*kb], cols, width
	}
	pack := func(dst []T, j int) {
		panel, cols, width := panelOfB(dst, j)
		packPanel(panel, p.b, p.ldb, j0+begin(j), cols, width, k0, kb, p.transB, 1)
	}
	workers.Each(small, panels, 8, func(t int) {
		if t < mPanels {
			i := t * mr
			packPanel(p.packA[i*kb:][:mr*kb], p.a, p.lda, i0+i, min(mr, mb-i), mr, k0, kb, !p.transA, p.alpha)
			return
		}
		pack(p.packB[(t-mPanels)*nr*kb:], t-mPanels)
	})
	// Groups of nearly equal numbers of panels, fixed by the sizes.
	mGroups, nGroups := (mb+taskM-1)/taskM, (nb+taskN-1)/taskN
	if late {
		mGroups, nGroups = 1, nPanels
	}
	if small {
		mGroups, nGroups = 1, 1
	}
	for !small && mGroups*nGroups < 16 && (mGroups < mPanels || nGroups < nPanels) {
		if nGroups >= nPanels || mGroups < mPanels && mPanels/mGroups*mr >= nPanels/nGroups*nr {
			mGroups++
		} else {
			nGroups++
		}
	}
	workers.Each(small, mGroups*nGroups, 1, func(t int) {
		gi, gj := t%mGroups, t/mGroups
		var edge [simd.MaxTile]T
		var own []T
		if late {
			s := takeScratch[T](1)
			defer s.free()
			own = s.slice(0, nr*kb)
		}
		for j := nPanels * gj / nGroups; j < nPanels*(gj+1)/nGroups; j++ {
			panels := own
			if late {
				pack(own, j)
			} else {
				panels = p.packB[j*nr*kb:]
			}
			b, cols, width := panelOfB(panels, j)
			for i := mPanels * gi / mGroups; i < mPanels*(gi+1)/mGroups; i++ {
				a := p.packA[i*mr*kb:][:mr*kb]
				rows := min(mr, mb-i*mr)
				tile := p.c[(i0+i*mr)*p.ldc+j0+begin(j):]
				if rows == mr && cols == width {
					simd.Tile(p.kern, kb, width, a, b, tile, p.ldc, accumulate)
					continue
				}
				simd.Tile(p.kern, kb, width, a, b, edge[:mr*width], width, false)
				for r := range rows {
					to, from := tile[r*p.ldc:][:cols], edge[r*width:][:cols]
					if !accumulate {
						copy(to, from)
						continue
					}
					for q, v := range from {
						to[q] += v
					}
				}
			}
		}
	})
}

// packPanel packs have ≤ width lines of a matrix, from line first on, into dst[l·width+i] = α·line
// i at position k0+l, for kb positions; lines that are missing are zero. Lines are rows of the
// matrix where rows is set, else columns.
func packPanel[T Float](dst, src []T, ld, first, have, width, k0, kb int, rows bool, alpha T) {
	if rows {
		src := src[first*ld+k0:]
		lines, cols := 0, 0
		if alpha == 1 {
			if lines, cols = simd.TransposeBlocks(dst, width, src, ld, have, kb); lines == width && cols == kb {
				return
			}
		}
		for i := range width {
			if i >= have {
				for l := i; l < kb*width; l += width {
					dst[l] = 0
				}
				continue
			}
			from := 0
			if i < lines {
				from = cols
			}
			at := from*width + i
			for _, v := range src[i*ld:][from:kb] {
				dst[at] = alpha * v
				at += width
			}
		}
		return
	}
	if have == width && width == 8 && alpha == 1 { // no call of memmove
		src := src[k0*ld+first:]
		for l := range kb {
			*(*[8]T)(dst[l*8:]) = [8]T(src[l*ld:])
		}
		return
	}
	if have < width {
		clear(dst[:kb*width])
	}
	if alpha == 1 && simd.CopyRows(dst, width, src[k0*ld+first:], ld, kb, have) {
		return
	}
	for l := range kb {
		to, from := dst[l*width:][:width], src[(k0+l)*ld+first:][:have]
		if alpha == 1 {
			copy(to, from)
		} else {
			for i, v := range from {
				to[i] = alpha * v
			}
		}
	}
}

// A scratch is a set of buffers, reused from call to call and freed by the garbage collector when
// no call needs it for a while.
type scratch[T Float] struct {
	buffers [][]T
	home    *sync.Pool
}

// What a call needs, such as all packed weights, and what each of its tasks needs are pooled apart:
// they are of different sizes, and there are fewer calls at a time than tasks.
var call32, call64, task32, task64 sync.Pool

// takeScratch takes a scratch of n buffers for a task; nothing is known of what they hold.
func takeScratch[T Float](n int) *scratch[T] { return takeFrom[T](&task32, &task64, n) }

// takeForCall is takeScratch for a call that shares them among its tasks.
func takeForCall[T Float](n int) *scratch[T] { return takeFrom[T](&call32, &call64, n) }

func takeFrom[T Float](f32, f64 *sync.Pool, n int) *scratch[T] {
	home := f64
	if unsafe.Sizeof(T(0)) == 4 {
		home = f32
	}
	s, ok := home.Get().(*scratch[T])
	if !ok {
		s = &scratch[T]{home: home}
	}
	for len(s.buffers) < n {
		s.buffers = append(s.buffers, nil)
	}
	return s
}

// slice is buffer i at that length.
func (s *scratch[T]) slice(i, length int) []T {
	if cap(s.buffers[i]) < length {
		s.buffers[i] = make([]T, length)
	}
	return s.buffers[i][:length]
}

func (s *scratch[T]) free() { s.home.Put(s) }

// AddRow is y[i,j] += b[j] for the m rows of y.
func AddRow[T Float](y, b []T, m int) {
	n := len(b)
	y = y[:m*n]
	workers.Spans(m, max(1, workers.Chunk/max(n, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			simd.Add(y[i*n:][:n], b)
		}
	})
}

// SumRows is b[j] = Σ_i y[i,j], the adjoint of AddRow. Groups of rows, fixed by the sizes, are
// summed in order, then their sums.
func SumRows[T Float](b, y []T, m int) {
	n := len(b)
	sum := func(b []T, lo, hi int) {
		clear(b)
		for i := lo; i < hi; i++ {
			simd.Add(b, y[i*n:][:n])
		}
	}
	each := max(1, workers.Chunk/max(n, 1))
	if m <= each {
		sum(b, 0, m)
		return
	}
	groups := (m + each - 1) / each
	s := takeScratch[T](1)
	defer s.free()
	sums := s.slice(0, groups*n)
	workers.Spans(m, each, func(lo, hi int) { sum(sums[lo/each*n:][:n], lo, hi) })
	clear(b)
	for i := range groups {
		simd.Add(b, sums[i*n:][:n])
	}
}
