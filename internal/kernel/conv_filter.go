package kernel

import (
	"github.com/convgrad/convgrad/internal/simd"
	"github.com/convgrad/convgrad/internal/workers"
)

// BackwardFilter is dw, the derivative of Forward by w applied to dy.
//
// It is the sum over all outputs of outer products: of the deltas of all filters at the output, a
// vector, with the inputs under the filter's taps. A micro-kernel keeps the sums for some taps and
// filters in registers over a stretch of outputs. The batch is cut into slices, by the geometry
// alone, and their sums joined in order.
//
// An input in the padding counts as a zero that is multiplied: where the delta above it is NaN or
// infinite, the tap's sum is NaN.
func BackwardFilter[T Float](g Conv, dw, dy, x []T) {
	if runWhole(ToFilter, g, operands[T]{dst: dw, a: dy, b: x}) {
		return
	}
	c, k := g.C/g.Groups, g.K/g.Groups
	for group := range g.Groups {
		f := newFilterGradient[T](g)
		f.dw = dw[group*k*c*g.R*g.S:][:k*c*g.R*g.S]
		f.dy, f.x = dy[group*k*g.P*g.Q:], x[group*c*g.H*g.W:]
		f.choose().runGradient(f)
	}
}

type filterGradient[T Float] struct {
	g         Conv
	c, k      int // of the group
	dw, dy, x []T // of the group: images lie as in the whole
	hp, wp    int
	asIs      bool           // the image is read where it lies: no tap meets padding
	pitch     int            // distance of rows as they are read
	plane     int            // of planes
	image     int            // and of images
	dots      simd.DotShape  // what sums along rows take
	shape     simd.LaneShape // no vectors: plain Go
	blocks    []laneBlock
	taps      int   // (c, r, s)
	filled    int   // their number filled up to a multiple of what a tile takes
	size      int   // of the sums of a slice
	slices    int   // of the batch
	offsets   []int // distances of the taps, as filled, in an image
	together  int   // small images that a micro-kernel goes through at a time
	at        []int // distances of their outputs
	sums      []T   // for each slice, block and tap the sums for the block's filters
}

// newFilterGradient is the gradient of one group, without its operands.
func newFilterGradient[T Float](g Conv) *filterGradient[T] {
	c, k := g.C/g.Groups, g.K/g.Groups
	f := &filterGradient[T]{
		g: g, c: c, k: k,
		hp: g.Rows.Read(), wp: g.Cols.Read(),
		shape: simd.NewLaneShape[T](), taps: c * g.R * g.S,
	}
	f.pitch, f.plane, f.image = f.wp, f.hp*f.wp, f.frame().size()
	if f.shape.Vectors > 0 {
		f.blocks = laneBlocks(f.shape, k)
	} else {
		f.blocks = laneBlocks(simd.LaneShape{Vectors: 1, Lanes: 4}, k)
	}
	for _, b := range f.blocks {
		f.filled = max(f.filled, f.tile(b)*((f.taps+f.tile(b)-1)/f.tile(b)))
	}
	last := f.blocks[len(f.blocks)-1]
	f.size = f.filled * (last.first + last.width)
	// Slices cost memory and their joining. A power of two shares out evenly on most numbers of
	// threads.
	for f.slices = 1; 2*f.slices <= min(g.N, 8, 1<<18/f.size); f.slices *= 2 {
	}
	return f
}

// frame is the padding of the input.
func (f *filterGradient[T]) frame() frame {
	return frame{f.c, f.g.H, f.g.W, f.g.Rows.Before, f.g.Cols.Before, f.hp, f.wp}
}

// tile is how many taps a micro-kernel takes with a block of filters.
func (f *filterGradient[T]) tile(b laneBlock) int {
	if f.shape.Vectors == 0 {
		return 2
	}
	return f.shape.Pixels(b.width)
}

// measure appends the taps' distances in an image to table. Those that fill up the last tile are
// the first's: any element of the image, for a sum that is not used.
func (f *filterGradient[T]) measure(table []int) []int {
	g := f.g
	first := len(table)
	for cc := range f.c {
		for r := range g.R {
			for s := range g.S {
				table = append(table, cc*f.plane+g.element(r, g.R)*g.Rows.Dilation*f.pitch+g.element(s, g.S)*g.Cols.Dilation)
			}
		}
	}
	for len(table)-first < f.filled {
		table = append(table, table[first])
	}
	return table
}

// stretch is about how many outputs a micro-kernel goes through at a time: so many deltas of a
// block of filters stay in the second-level cache, and stream from there.
const stretch = 224

// filterCut is how many of a slice's sums stay in the second-level cache.
const filterCut = 1 << 18

func (f *filterGradient[T]) run() {
	g := f.g
	if f.asIs = g.Rows.Before == 0 && g.Cols.Before == 0 && f.hp <= g.H && f.wp <= g.W; f.asIs {
		f.pitch, f.plane, f.image = g.W, g.H*g.W, g.C*g.H*g.W
	}
	s := takeForCall[T](1)
	defer s.free()
	f.sums = s.slice(0, f.slices*f.size)
	pixels := g.P * g.Q
	f.together = max(1, min((stretch+pixels/2)/pixels, (g.N+f.slices-1)/f.slices))
	table := takeInts(f.filled + f.together*pixels)
	defer table.free()
	f.offsets = f.measure(table.ints[:0])
	f.at = table.ints[f.filled:f.filled]
	for n := range f.together {
		for p := range g.P {
			for q := range g.Q {
				f.at = append(f.at, n*f.image+p*g.Rows.Stride*f.pitch+q*g.Cols.Stride)
			}
		}
	}
	// The sums are cut into ranges of taps or, where no image has to be padded for each of them,
	// blocks of filters, so that a part stays in the second-level cache from image to image. No sum
	// depends on the cuts, so that their number may follow the threads'.
	cuts, blocks := (f.size+filterCut-1)/filterCut, 1
	if n := workers.Threads(); n > 1 {
		cuts = max(cuts, (2*n+f.slices-1)/f.slices)
	}
	if f.asIs {
		blocks = min(cuts, len(f.blocks))
		cuts = (cuts + blocks - 1) / blocks
	}
	cuts = max(1, min(cuts, f.taps/(4*simd.LaneStep)))
	small := g.MACs()/int64(g.Groups) < 1<<16
	workers.Each(small, f.slices*blocks*cuts, 1, func(t int) {
		slice, block, cut := t/cuts/blocks, t/cuts%blocks, t%cuts
		from, to := f.taps*cut/cuts/simd.LaneStep*simd.LaneStep, f.taps
		if cut+1 < cuts {
			to = f.taps * (cut + 1) / cuts / simd.LaneStep * simd.LaneStep
		}
		f.slice(f.sums[slice*f.size:][:f.size], f.blocks[len(f.blocks)*block/blocks:len(f.blocks)*(block+1)/blocks], g.N*slice/f.slices, g.N*(slice+1)/f.slices, from, to)
	})
	ranges := (f.taps + simd.LaneStep*4 - 1) / (simd.LaneStep * 4)
	workers.Each(small || f.slices*f.size < 1<<14, len(f.blocks)*ranges, 1, func(t int) {
		b, from, to := f.blocks[t/ranges], t%ranges*simd.LaneStep*4, min(f.taps, (t%ranges+1)*simd.LaneStep*4)
		total := f.sums[b.first*f.filled+from*b.width:][:(to-from)*b.width]
		for i := 1; i < f.slices; i++ {
			simd.Add(total, f.sums[i*f.size+b.first*f.filled+from*b.width:][:len(total)])
		}
		simd.Transpose(f.dw[b.first*f.taps+from:], f.taps, total, b.width, to-from, b.have)
	})
}

// slice sums images lo to hi−1 for some blocks of filters and the taps first to end−1.
func (f *filterGradient[T]) slice(sums []T, blocks []laneBlock, lo, hi, first, end int) {
	g := f.g
	pixels := g.P * g.Q
	s := takeScratch[T](2)
	defer s.free()
	width := 0
	for _, b := range blocks {
		width = max(width, b.width)
	}
	panel := s.slice(1, max(stretch, f.together*pixels)*width)
	for n := lo; n < hi; n += f.together {
		count := min(f.together, hi-n)
		x := f.x[n*g.C*g.H*g.W:]
		if !f.asIs {
			padded := s.slice(0, f.together*f.image+simd.Slack)
			some := f.frame() // the planes that the taps lie in
			c := first / (g.R * g.S)
			some.planes = (end-1)/(g.R*g.S) + 1 - c
			for i := range count {
				pad(some, padded[i*f.image+c*f.plane:], x[(i*g.C+c)*g.H*g.W:], 0, f.hp)
			}
			x = padded
		}
		stretches := 1
		if f.together == 1 {
			stretches = (pixels + stretch - 1) / stretch
		}
		for _, b := range blocks {
			c := sums[b.first*f.filled:][:f.filled*b.width]
			mr := f.tile(b)
			for i := range stretches {
				from, to := count*pixels*i/stretches, count*pixels*(i+1)/stretches
				for at := from; at < to; {
					image, p := at/pixels, at%pixels
					run := min(to-at, pixels-p)
					packPanel(panel[(at-from)*b.width:][:run*b.width], f.dy[(n+image)*g.K*pixels:], pixels, b.first, b.have, b.width, p, run, true, 1)
					at += run
				}
				at, accumulate := f.at[from:to], n > lo || i > 0
				// the sums come from farther away than what is summed
				next := simd.LaneEnd[T]{Step: simd.Line[T]()}
				next.Touches, next.Next = mr*b.width/next.Step, mr*b.width
				for t, tiles := first, 1; t < end; t += tiles * mr {
					if f.shape.Vectors == 0 {
						simd.Outer2x4(at, x, f.offsets[t:][:mr], panel, c[t*b.width:], accumulate)
						continue
					}
					// The convolution's own kernel, with taps for outputs and outputs for taps.
					next.Touch = c[t*b.width:]
					tiles = min((end-t+mr-1)/mr, laneBatch(len(at)))
					simd.LaneTile(f.shape, b.width, tiles, x, f.offsets[t:][:tiles*mr], at, panel, next.Touch, b.width, accumulate, &next)
				}
			}
		}
	}
}
