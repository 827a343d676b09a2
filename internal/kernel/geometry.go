package kernel

import (
	"math"

	"github.com/pkg/errors"
)

// A Window is how a filter or a pooling window slides over one axis of an image.
type Window struct {
	In       int // length of the axis
	Size     int // taps of the window
	Stride   int // distance of two neighbouring windows
	Dilation int // distance of two neighbouring taps
	Before   int // padding before the first element
	After    int // padding after the last
	Out      int // number of windows: ⌊(In + Before + After − Extent)/Stride⌋ + 1
}

// Extent is the number of padded elements that one window spans: (Size−1)·Dilation + 1.
func (w Window) Extent() int { return (w.Size-1)*w.Dilation + 1 }

// Read is the number of padded elements that all windows together span.
func (w Window) Read() int { return (w.Out-1)*w.Stride + w.Extent() }

// At returns the element of the axis under tap r of window p; it lies outside [0, In) where the tap
// is in the padding.
func (w Window) At(p, r int) int { return p*w.Stride + r*w.Dilation - w.Before }

// Inside reports whether tap r of window p is an element of the axis rather than padding.
func (w Window) Inside(p, r int) bool { i := w.At(p, r); return 0 <= i && i < w.In }

// Reach returns the windows [lo, hi) that can see element i. For stride 1 and dilation 1 it is the
// article's region Q (Eqs. 16 and 17): i−Size+1 … i, cut to the windows that exist. With a
// dilation, windows inside the range may step over i.
func (w Window) Reach(i int) (lo, hi int) {
	lo, hi = i+w.Before-w.Extent()+1, (i+w.Before)/w.Stride+1
	if lo > 0 {
		lo = (lo + w.Stride - 1) / w.Stride
	}
	return max(lo, 0), min(hi, w.Out)
}

// maxSide keeps every sum and product of sizes far from overflow; maxElements is what an index of
// 32 bits can address.
const (
	maxSide     = math.MaxInt32 / 4
	maxElements = math.MaxInt32
)

// newWindow checks the parameters of one axis and works out Out. name is the axis, "height" or
// "width".
func newWindow(name string, w Window) (Window, error) {
	for _, v := range []struct {
		what string
		got  int
		min  int
	}{
		{"input", w.In, 1}, {"window", w.Size, 1}, {"stride", w.Stride, 1}, {"dilation", w.Dilation, 1},
		{"padding before", w.Before, 0}, {"padding after", w.After, 0},
	} {
		if v.got < v.min || v.got > maxSide {
			return w, errors.Errorf("%s of the %s is %d, want %d to %d", v.what, name, v.got, v.min, maxSide)
		}
	}
	if w.Size > 1 && w.Dilation > maxSide/(w.Size-1) {
		return w, errors.Errorf("%s: window %d with dilation %d spans more than %d", name, w.Size, w.Dilation, maxSide)
	}
	padded := w.In + w.Before + w.After
	if w.Extent() > padded {
		return w, errors.Errorf("%s: a window of %d taps with dilation %d spans %d, want at most the padded input, %d (%d+%d+%d)",
			name, w.Size, w.Dilation, w.Extent(), padded, w.Before, w.In, w.After)
	}
	w.Out = (padded-w.Extent())/w.Stride + 1
	return w, nil
}

// Spatial holds the parameters of a sliding window that a caller chooses. Zero strides and
// dilations are errors: defaults belong to the caller.
type Spatial struct {
	StrideH, StrideW                     int
	DilationH, DilationW                 int
	PadTop, PadBottom, PadLeft, PadRight int
}

// A Conv is the geometry of a two-dimensional convolution, worked out and checked once by NewConv;
// forward and all backward kernels take the same value. It is comparable, so it can key a cache.
type Conv struct {
	N, C, H, W int // input
	K, R, S    int // filters and their sides
	P, Q       int // output: K×P×Q for each of the N images
	// input channels C/Groups feed output channels K/Groups; Groups = C is a depthwise convolution
	Groups int

	Rows, Cols Window // how the filter slides down (H, R, P) and across (W, S, Q)

	// Flip turns each filter by 180° before it slides: the article's true convolution (Eqs. 2 and
	// 6) rather than cross-correlation.
	Flip bool
	// Winograd permits algorithms of fewer multiplications whose rounding error is larger (see
	// WinogradBound).
	Winograd bool
	// FromLast and ToLast say that Forward's x and y have their channels last, N×H×W×C. Gradients
	// do not heed them.
	FromLast, ToLast bool
	// ReLU6 says that what Forward is told to cut at 0 is cut at 6, too.
	ReLU6 bool
}

// NewConv works out a convolution's geometry: x N×C×H×W, filters K×(C/groups)×R×S.
func NewConv(n, c, h, w, k, r, s, groups int, sp Spatial, flip bool) (Conv, error) {
	g := Conv{N: n, C: c, H: h, W: w, K: k, R: r, S: s, Groups: groups, Flip: flip}
	if err := positive("batch", n, "channels", c, "filters", k, "groups", groups); err != nil {
		return g, err
	}
	if c%groups != 0 || k%groups != 0 {
		return g, errors.Errorf("%d groups do not divide the channels, %d, and the filters, %d", groups, c, k)
	}
	var err error
	if g.Rows, err = newWindow("height", Window{In: h, Size: r, Stride: sp.StrideH, Dilation: sp.DilationH, Before: sp.PadTop, After: sp.PadBottom}); err != nil {
		return g, err
	}
	if g.Cols, err = newWindow("width", Window{In: w, Size: s, Stride: sp.StrideW, Dilation: sp.DilationW, Before: sp.PadLeft, After: sp.PadRight}); err != nil {
		return g, err
	}
	g.P, g.Q = g.Rows.Out, g.Cols.Out
	if err := countable("input", n, c, h, w); err != nil {
		return g, err
	}
	if err := countable("filters", k, c/groups, r, s); err != nil {
		return g, err
	}
	return g, countable("output", n, k, g.P, g.Q)
}

// XLen is the number of elements of the input, WLen of the filters, YLen of the output.
func (g Conv) XLen() int { return g.N * g.C * g.H * g.W }
func (g Conv) WLen() int { return g.K * (g.C / g.Groups) * g.R * g.S }
func (g Conv) YLen() int { return g.N * g.K * g.P * g.Q }

// MACs is the number of multiply-adds of the direct sum, taps in the padding included. Forward,
// BackwardData and BackwardFilter each take as many.
func (g Conv) MACs() int64 { return int64(g.YLen()) * int64(g.C/g.Groups*g.R*g.S) }

// A Pool is the geometry of a two-dimensional pooling, worked out and checked once by NewPool. Each
// of the N·C planes is pooled by itself.
type Pool struct {
	N, C, H, W int
	R, S       int // the window's sides
	P, Q       int // output
	Rows, Cols Window
}

// NewPool works out a pooling's geometry. Every window must hold at least one element that is not
// padding.
func NewPool(n, c, h, w, r, s int, sp Spatial) (Pool, error) {
	g := Pool{N: n, C: c, H: h, W: w, R: r, S: s}
	if err := positive("batch", n, "channels", c); err != nil {
		return g, err
	}
	var err error
	if g.Rows, err = newWindow("height", Window{In: h, Size: r, Stride: sp.StrideH, Dilation: sp.DilationH, Before: sp.PadTop, After: sp.PadBottom}); err != nil {
		return g, err
	}
	if g.Cols, err = newWindow("width", Window{In: w, Size: s, Stride: sp.StrideW, Dilation: sp.DilationW, Before: sp.PadLeft, After: sp.PadRight}); err != nil {
		return g, err
	}
	g.P, g.Q = g.Rows.Out, g.Cols.Out
	if err := countable("input", n, c, h, w); err != nil {
		return g, err
	}
	if err := countable("output", n, c, g.P, g.Q); err != nil {
		return g, err
	}
	if err := g.Rows.noneEmpty("height"); err != nil {
		return g, err
	}
	return g, g.Cols.noneEmpty("width")
}

func (g Pool) XLen() int { return g.N * g.C * g.H * g.W }
func (g Pool) YLen() int { return g.N * g.C * g.P * g.Q }

// noneEmpty refuses a window that lies in the padding with all its taps: it has neither a maximum
// nor an average.
func (w Window) noneEmpty(name string) error {
	step := 1
	// no tap steps over the input: the outermost windows are the ones that may miss it
	if w.Dilation <= w.In {
		step = max(1, w.Out-1)
	}
	for p := 0; p < w.Out; p += step {
		// The first tap at or after element 0; it is the window's only chance to be inside.
		r := 0
		if at := w.At(p, 0); at < 0 {
			r = (-at + w.Dilation - 1) / w.Dilation
		}
		if r >= w.Size || !w.Inside(p, r) {
			return errors.Errorf("%s: window %d lies wholly in the padding (%d before, %d after): want at least one element of the input in every window",
				name, p, w.Before, w.After)
		}
	}
	return nil
}

func positive(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1].(int); v < 1 || v > maxSide {
			return errors.Errorf("%s is %d, want 1 to %d", pairs[i], v, maxSide)
		}
	}
	return nil
}

// countable refuses tensors of more elements than a 32-bit index addresses.
func countable(what string, sides ...int) error {
	n := 1
	for _, s := range sides {
		if n > maxElements/s {
			return errors.Errorf("%s of shape %v has more than %d elements", what, sides, maxElements)
		}
		n *= s
	}
	return nil
}
