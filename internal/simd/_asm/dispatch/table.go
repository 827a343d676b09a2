package main

// table lists every function that chooses among assembly.
var table = []entry{
	// Elementwise: as many elements as fill whole vectors.
	{
		doc:       "reluVector is y = max(0, x), NaN where x is NaN and +0 where x is −0, for the first n elements.",
		signature: "reluVector[T Float](y, x []T) (n int)",
		kernels:   one("relu{b}{t}"), args: "n; y; x", count: "len(x)", tail: "return n",
	},
	{
		doc:       "gateVector is dx = 0 where x ≤ 0 and dy elsewhere, for the first n elements.",
		signature: "gateVector[T Float](dx, dy, x []T) (n int)",
		kernels:   one("gate{b}{t}"), args: "n; dx; dy; x", count: "len(x)", tail: "return n",
	},
	{
		doc:       "addVector is y += x for the first n elements.",
		signature: "addVector[T Float](y, x []T) (n int)",
		kernels:   one("add{b}{t}"), args: "n; y; x", count: "len(x)", tail: "return n",
	},
	{
		doc:       "blendVector is y = wu·u + wv·v for the first n elements.",
		signature: "blendVector[T Float](y, u, v []T, wu, wv T) (n int)",
		kernels:   one("blend{b}{t}"), args: "n; y; u; v; wu; wv", count: "len(y)", tail: "return n",
	},
	{
		doc:       "addScaledVector is y += w·x for the first n elements.",
		signature: "addScaledVector[T Float](y, x []T, w T) (n int)",
		kernels:   one("addScaled{b}{t}"), args: "n; y; x; w", count: "len(x)", tail: "return n",
	},
	{
		doc:       "scaleVector is y = w·x for the first n elements.",
		signature: "scaleVector[T Float](y, x []T, w T) (n int)",
		kernels:   one("scale{b}{t}"), args: "n; y; x; w", count: "len(x)", tail: "return n",
	},
	{
		doc:       "biasVector is y = x + b, then max(0, ·) where relu is set, for the first n elements.",
		signature: "biasVector[T Float](y, x []T, b T, relu bool) (n int)",
		kernels:   []kernel{{"relu", "biasReLU{b}{t}", ""}, {"", "bias{b}{t}", ""}},
		args:      "n; y; x; b", count: "len(x)", tail: "return n",
	},
	{
		doc:       "normaliseVector is y = (x − mean)·scale for the first n elements.",
		signature: "normaliseVector[T Float](y []T, x []uint8, mean, scale T) (n int)",
		kernels:   one("normalise{b}{t}"), args: "n; y; unsafe.SliceData(x); mean; scale", count: "len(x)",
		tail: "return n",
	},
	{
		doc:       "dropoutVector is y[j] = 0 where Hash(i+j, key0, key1) < drop and x[j]·scale elsewhere, for the\nfirst n elements.",
		signature: "dropoutVector[T Float](y, x []T, i, key0, key1, drop uint32, scale T) (n int)",
		kernels:   one("dropout{b}{t}"), args: "n; y; x; i; key0; key1; drop; scale", count: "len(x)",
		tail: "return n",
	},
	{
		doc:       "expVector is ExpSum for n elements, with masks any number of them, else whole vectors.",
		signature: "expVector[T Float](n int, y, x []T, top T) (sum float64)",
		before:    "_, _ = y[n-1], x[n-1]",
		kernels:   one("expSum{b}{t}"), args: "n; y; x; top", result: "sum = ", tail: "return sum",
	},
	{
		doc:       "expAddVector is ExpAdd for n elements, with masks any number of them, else whole vectors.",
		signature: "expAddVector[T Float](n int, y, x, top []T, sums []float64)",
		before:    "_, _, _, _ = y[n-1], x[n-1], top[n-1], sums[n-1]",
		kernels:   one("expAdd{b}{t}"), args: "n; y; x; top; &sums[0]",
	},
	{
		doc:       "maxVector is the maximum of x, of a vector or more, NaN if one of them is.",
		signature: "maxVector[T Float](x []T, top *[1]T)",
		before:    "_ = x[Lanes[T]()-1]",
		kernels:   one("rowMax{b}{t}"), args: "len(x); x; top[:]",
	},
	{
		doc:       "sumVector is Σx over the first n elements, in float64.",
		signature: "sumVector[T Float](x []T) (n int, sum float64)",
		kernels:   one("sum{b}{t}"), args: "n; x", count: "len(x)", step: "{d} - 1",
		result: "sum = ", tail: "return n, sum",
	},
	{
		doc:       "deviationVector is Σ(x − mean)² over the first n elements, in float64.",
		signature: "deviationVector[T Float](x []T, mean float64) (n int, sum float64)",
		kernels:   one("deviation{b}{t}"), args: "n; x; mean", count: "len(x)", step: "{d} - 1",
		result: "sum = ", tail: "return n, sum",
	},
	{
		doc:       "sumDotVector is Σdy and Σ dy·(x − mean) over the first n elements, in float64.",
		signature: "sumDotVector[T Float](dy, x []T, mean float64) (n int, sum, dot float64)",
		kernels:   one("sumDot{b}{t}"), args: "n; dy; x; mean", count: "len(x)", step: "{d} - 1",
		result: "sum, dot = ", tail: "return n, sum, dot",
	},
	{
		doc:       "standardVector is Standard for the first n elements.",
		signature: "standardVector[T Float](y, x, r []T, m, a, b T, relu bool) (n int)",
		kernels: []kernel{
			{"r == nil && !relu", "standard{b}{t}", "n; y; x; m; a; b"},
			{"r == nil", "standardReLU{b}{t}", "n; y; x; m; a; b"},
			{"!relu", "standardAdd{b}{t}", ""}, {"", "standardAddReLU{b}{t}", ""},
		},
		args: "n; y; x; r; m; a; b", count: "len(x)", tail: "return n",
	},
	{
		doc:       "standardBackwardVector is StandardBackward for the first n elements.",
		signature: "standardBackwardVector[T Float](dx, dy, x []T, m, a, b, c T) (n int)",
		kernels:   one("standardBackward{b}{t}"), args: "n; dx; dy; x; m; a; b; c", count: "len(x)",
		tail: "return n",
	},
	{
		doc:       "standardEachVector is StandardEach for the first n elements.",
		signature: "standardEachVector[T Float](y, x, a, b []T, m, inv T) (n int)",
		kernels:   one("standardEach{b}{t}"), args: "n; y; x; a; b; m; inv", count: "len(x)", tail: "return n",
	},
	{
		doc:       "standardBackwardEachVector is StandardBackwardEach for the first n elements.",
		signature: "standardBackwardEachVector[T Float](dx, dy, x, w []T, m, a, b, c T) (n int)",
		kernels:   one("standardBackwardEach{b}{t}"), args: "n; dx; dy; x; w; m; a; b; c", count: "len(x)",
		tail: "return n",
	},
	{
		doc:       "sumDotEachVector is SumDotEach for the first n elements.",
		signature: "sumDotEachVector[T Float](sums, dots []float64, dy, x, w []T, mean, inv float64) (n int, sum, dot float64)",
		kernels:   one("sumDotEach{b}{t}"), args: "n; &sums[0]; &dots[0]; dy; x; w; mean; inv", count: "len(x)", step: "{d} - 1",
		result: "sum, dot = ", tail: "return n, sum, dot",
	},
	{
		doc:       "combineVector is y = a∘b for the first n elements.",
		signature: "combineVector[T Float](op Operation, y, a, b []T) (n int)",
		on:        "op", last: true, kernels: []kernel{{"Plus", "addBoth{b}{t}", ""}, {"Minus", "subBoth{b}{t}", ""}, {"Times", "mulBoth{b}{t}", ""}, {"Over", "divBoth{b}{t}", ""}},
		args: "n; y; a; b", count: "len(y)", tail: "return n",
	},
	{
		doc:       "combineNumberVector is y = a∘s for the first n elements.",
		signature: "combineNumberVector[T Float](op Operation, y, a []T, s T) (n int)",
		on:        "op", last: true, kernels: []kernel{{"Plus", "addNumber{b}{t}", ""}, {"Minus", "subNumber{b}{t}", ""}, {"Times", "mulNumber{b}{t}", ""}, {"Over", "divNumber{b}{t}", ""}},
		args: "n; y; a; s", count: "len(y)", tail: "return n",
	},
	{
		doc:       "combineFromVector is y = s∘a for the first n elements.",
		signature: "combineFromVector[T Float](op Operation, y, a []T, s T) (n int)",
		on:        "op", last: true, kernels: []kernel{{"Plus", "addFrom{b}{t}", ""}, {"Minus", "subFrom{b}{t}", ""}, {"Times", "mulFrom{b}{t}", ""}, {"Over", "divFrom{b}{t}", ""}},
		args: "n; y; a; s", count: "len(y)", tail: "return n",
	},
	{
		doc:       "wideAffineVector is y = (x − m)·a + b in float64, rounded once, for the first n elements.",
		signature: "wideAffineVector[T Float](y, x []T, m, a, b float64) (n int)",
		kernels:   one("wideAffine{b}{t}"), args: "n; y; x; m; a; b", count: "len(y)", step: "{d} - 1", tail: "return n",
	},
	{
		doc:       "addWideVector is sums += x for the first n elements.",
		signature: "addWideVector[T Float](sums []float64, x []T) (n int)",
		kernels:   one("addWide{b}{t}"), args: "n; &sums[0]; x", count: "len(x)", step: "{d} - 1", tail: "return n",
	},
	{
		doc:       "addWideProductVector is sums += x·y for the first n elements.",
		signature: "addWideProductVector[T Float](sums []float64, x, y []T) (n int)",
		kernels:   one("addWideProduct{b}{t}"), args: "n; &sums[0]; x; y", count: "len(x)", step: "{d} - 1", tail: "return n",
	},
	{
		doc:       "squaresVector is Σ(x − y)² over the first n elements, in float64.",
		signature: "squaresVector[T Float](x, y []T) (n int, sum float64)",
		kernels:   one("squares{b}{t}"), args: "n; x; y", count: "len(x)", step: "{d} - 1",
		result: "sum = ", tail: "return n, sum",
	},
	activation("activateVector is y = f(x)", "activateVector[T Float](f Function, y, x []T, a, b T) (n int)", "", "n; y; x"),
	activation("activateBackwardVector is dx = dy·f′(x)", "activateBackwardVector[T Float](f Function, dx, dy, x []T, a, b T) (n int)", "Backward", "n; dx; dy; x"),
	pairing("pairVector is e = f(y, t)", "pairVector[T Float](f Pair, e, y, t []T, a T) (n int)", "Loss", "n; e; y; t"),
	pairing("pairBackwardVector is d = dE·∂f/∂y", "pairBackwardVector[T Float](f Pair, d, dE, y, t []T, a T) (n int)", "LossBackward", "n; d; dE; y; t"),
	{
		doc:       "raiseVector is y = x where x > y, for the first n elements.",
		signature: "raiseVector[T Float](y, x []T) (n int)",
		kernels:   one("raise{b}{t}"), args: "n; y; x", count: "len(x)", tail: "return n",
	},
	{
		doc:       "findVector is the least i with x[i] = v, or n if there is none among the first n elements.",
		signature: "findVector[T Float](x []T, v T) (n, at int)",
		kernels:   one("find{b}{t}"), args: "n; x; v", count: "len(x)", result: "at = ", tail: "return n, at",
	},
	{
		doc:       "maxAbsVector is the greatest magnitude of x, of a vector or more, NaN if one of them is.",
		signature: "maxAbsVector[T Float](x []T, top *[1]T)",
		before:    "_ = x[Lanes[T]()-1]",
		kernels:   one("rowMaxAbs{b}{t}"), args: "len(x); x; top[:]",
	},

	// Optimisers.
	{
		doc:       "sgdVector is w −= rate·(g + decay·w) for the first n elements.",
		signature: "sgdVector[T Float](w, g []T, rate, decay T) (n int)",
		kernels:   one("sgd{b}{t}"), args: "n; w; g; rate; decay", count: "len(w)", tail: "return n",
	},
	{
		doc:       "momentumVector is v = momentum·v + g + decay·w, w −= rate·v for the first n elements; with\nnesterov w −= rate·(g + decay·w + momentum·v).",
		signature: "momentumVector[T Float](w, g, v []T, rate, momentum, decay T, nesterov bool) (n int)",
		kernels:   []kernel{{"nesterov", "nesterov{b}{t}", ""}, {"", "momentum{b}{t}", ""}},
		args:      "n; w; g; v; rate; momentum; decay", count: "len(w)", tail: "return n",
	},
	{
		doc:       "adamVector is m = β₁m + rest₁g, v = β₂v + rest₂g², w −= rate·m/(√(v·unbias₂) + ε) + decay·w for\nthe first n elements.",
		signature: "adamVector[T Float](w, g, m, v []T, c AdamConstants[T]) (n int)",
		kernels:   one("adam{b}{t}"), count: "len(w)", tail: "return n",
		args: "n; w; g; m; v; c.Beta1; c.Rest1; c.Beta2; c.Rest2; c.Rate; c.Unbias2; c.Epsilon; c.Decay",
	},
	{
		doc:       "rmsPropVector is s = ρs + (1−ρ)g², w −= rate·g/(√s + ε) for the first n elements.",
		signature: "rmsPropVector[T Float](w, g, s []T, rate, rho, epsilon T) (n int)",
		kernels:   one("rmsProp{b}{t}"), args: "n; w; g; s; rho; 1 - rho; rate; epsilon", count: "len(w)",
		tail: "return n",
	},

	// Moving data.
	{
		doc: `PadRows is dst[c·dstPlane + r·dstRow + i] = src[c·srcPlane + r·srcRow + i − left] where
left ≤ i < right, and 0 elsewhere, for 0 ≤ c < planes, 0 ≤ r < rows, 0 ≤ i < n. It reports whether it
did. Of dst it writes whole vectors, into the slack, the earlier rows' before the later ones'.`,
		signature: "PadRows[T Float](planes, rows, n int, dst []T, dstPlane, dstRow int, src []T, srcPlane, srcRow, left, right int) bool",
		before: `_ = dst[(planes-1)*dstPlane+(rows-1)*dstRow+(n+Line[T]()-1)/Line[T]()*Line[T]()-1]
_ = src[(planes-1)*srcPlane+(rows-1)*srcRow+right-left-1]`,
		kernels: one("pad{b}{t}"),
		args:    "planes; rows; n; dst; dstPlane; dstRow; src; srcPlane; srcRow; left; right",
		after:   "return true", tail: "return false",
	},
	{
		doc:       "CopyRows is dst[r·ldd+i] = src[r·lds+i] for 0 ≤ r < rows, 0 ≤ i < cols. It reports whether it did.",
		signature: "CopyRows[T Float](dst []T, ldd int, src []T, lds, rows, cols int) bool",
		before:    "_, _ = dst[(rows-1)*ldd+cols-1], src[(rows-1)*lds+cols-1]",
		kernels:   one("copyRows{b}{t}"), args: "rows; cols; dst; ldd; src; lds",
		after: "return true", tail: "return false",
	},
	{
		doc: `gatherVector is Gather for a step of 1 or 2. It reports whether it did. It reads up to two vectors
from a segment's begin and writes one, into the slack of its operands.`,
		signature: "gatherVector[T Float](panel []T, width int, src []T, offsets []int, segs []Segment, step int) bool",
		on:        "step", kernels: []kernel{{"1", "gather1x{b}{t}", ""}, {"2", "gather2x{b}{t}", ""}},
		args:  "len(offsets); panel; width; src; unsafe.SliceData(offsets); (*int)(unsafe.Pointer(unsafe.SliceData(segs))); len(segs)",
		after: "return true", tail: "return false",
	},
	{
		doc:       "Spread2 is dst[2i] = src[i] for all i. It reports whether it did.",
		signature: "Spread2[T Float](dst, src []T) bool",
		before:    "if len(src) == 0 {\nreturn false\n}\n_ = dst[2*(len(src)-1)]",
		kernels:   one("spread2x{b}{t}"), args: "len(src); dst; src", after: "return true", tail: "return false",
	},
	{
		doc: `transposeBlocks is dst[l·ldd+i] = src[i·lds+l] for the first lines i and columns l, as many as it
returns: what fills whole blocks, of step columns.`,
		signature: "transposeBlocks[T Float](dst []T, ldd int, src []T, lds, lines, cols int) (doneLines, doneCols, step int)",
		before: `side := 4 // of a block
step = 4
switch lanes := Line[T](); {
case traits[tier].bytes == 64 && lines >= lanes:
	side, step = lanes, lanes/4
case lanes == 16 && lines >= 8:
	side, step = 8, 8
}
n := cols / step
if lines < 4 || n == 0 {
	return 0, 0, step
}
doneLines, doneCols = lines/side*side, n*step
_, _ = src[(doneLines-1)*lds+doneCols-1], dst[(doneCols-1)*ldd+doneLines-1]`,
		loop: "for i := 0; i < doneLines; i += side ", on: "side", last: true,
		kernels: []kernel{
			{"16", "transpose16x{b}{t}", ""}, {"8", "transpose8x{b}{t}", ""},
			{"8", "transpose8x{b}", ""}, {"4", "transpose4x{b}", ""},
		},
		args: "n; dst[i:]; ldd; src[i*lds:]; lds", tail: "return doneLines, doneCols, step",
	},

	// Micro-kernels.
	{
		doc: `Tile is c[i·ld+j] = Σ_k a[k·MR+i]·b[k·width+j] (+ c[i·ld+j] where accumulate is set) for one whole
tile, 0 ≤ i < MR, 0 ≤ j < width, 0 ≤ k < kc. width is NR or, for the last columns, s.Width of them.`,
		signature: "Tile[T Float](s TileShape, kc, width int, a, b, c []T, ld int, accumulate bool)",
		before:    "_, _, _ = a[kc*s.MR-1], b[kc*width-1], c[(s.MR-1)*ld+width-1]",
		on:        "width", last: true,
		kernels: []kernel{
			{"{3v}", "tile8x{3v}x{b}{t}", ""}, {"{2v}", "tile8x{2v}x{b}{t}", ""}, {"{v}", "tile8x{v}x{b}{t}", ""},
			{"{3v}", "tile4x{3v}x{b}{t}", ""}, {"{2v}", "tile4x{2v}x{b}{t}", ""}, {"{v}", "tile4x{v}x{b}{t}", ""},
		},
		args: "kc; a; b; c; ld; flag(accumulate)", after: "return",
		tail: "tile2x4(kc, a, b, c, ld, accumulate)",
	},
	{
		doc: `LaneTile is c[i·ldc+j] (+)= Σ_k x[at[i]+off[k]]·w[k·width+j] for so many tiles of s.Pixels(width)
outputs i, and finishes as end says. Of x it reads these elements alone. No tier, no tile.`,
		signature: "LaneTile[T Float](s LaneShape, width, tiles int, x []T, at, off []int, w, c []T, ldc int, accumulate bool, end *LaneEnd[T])",
		before: `kc, pixels := len(off), tiles*s.Pixels(width)
_, _, _ = at[pixels-1], w[kc*width-1], c[(pixels-1)*ldc+width-1]
if end.Bias != nil {
	_ = end.Bias[width-1]
}
if end.Cut != nil {
	_ = end.Cut[1]
}
acc := flag(accumulate)`,
		on: "width", last: true,
		kernels: []kernel{
			{"{v}", "lanes12x{v}x{b}{t}", "tiles; kc; x; &at[0]; &off[0]; w; c; ldc; acc; end.Bias; end.Cut"},
			{"{2v}", "lanes12x{2v}x{b}{t}", "tiles; kc; x; &at[0]; &off[0]; w; c; ldc; acc; end.Bias; end.Cut"},
			{"{2v}", "lanes6x{2v}x{b}{t}", ""}, {"{3v}", "lanes8x{3v}x{b}{t}", ""}, {"{4v}", "lanes6x{4v}x{b}{t}", ""},
		},
		args: "tiles; kc; x; &at[0]; &off[0]; w; c; ldc; acc; end.Bias; end.Cut; end.Touch; end.Step; end.Touches; end.Next",
	},
	{
		doc: `Dots is sums[i, j, q mod lanes] += Σ_r Σ_q dy[from[i]+r·dyRow+q]·x[off[j]+r·xRow+q] over rows of n
outputs. from and off hold the shape's filters and taps.`,
		signature: "Dots[T Float](s DotShape, rows, n int, dy []T, from []int, dyRow int, x []T, off []int, xRow int, sums []T)",
		before: `for _, o := range from[:s.Filters] {
	_ = dy[o : o+(rows-1)*dyRow+n]
}
for _, o := range off[:s.Taps] {
	_ = x[o : o+(rows-1)*xRow+n]
}
lanes := Lanes[T]()
_ = sums[s.Filters*s.Taps*lanes-1]`,
		on: "s.Filters", last: true,
		kernels: []kernel{
			{"8", "dots8x3x{b}{t}", ""}, {"6", "dots6x4x{b}{t}", ""}, {"2", "dots2x8x{b}{t}", ""},
			{"4", "dots4x2x{b}{t}", ""}, {"2", "dots2x4x{b}{t}", ""},
		},
		args: "rows; n / lanes; n % lanes; dy; &from[0]; dyRow; x; &off[0]; xRow; sums",
	},
	direct(),
	{
		doc: `sumTapsVector is SumTaps for a step of 1 or 2. It reports whether it did. It reads whole vectors,
into the slack of x.`,
		signature: "sumTapsVector[T Float](rows, cols int, y []T, ldy int, x []T, ldx int, offsets []int, weights []T, step int, accumulate bool) bool",
		before:    "_ = y[(rows-1)*ldy+cols-1]",
		on:        "step", kernels: []kernel{{"1", "sumTaps1x{b}{t}", ""}, {"2", "sumTaps2x{b}{t}", ""}},
		args:  "rows; cols; y; ldy; x; ldx; unsafe.SliceData(offsets); weights; len(offsets); flag(accumulate)",
		after: "return true", tail: "return false",
	},
	{
		doc: `DotRows is Σ_l sums[l] += Σ_p Σ_q d[p·cols+q]·x[p·ldx+q], 0 ≤ p < rows, 0 ≤ q < cols; each lane l has a
part of the sum. It reports whether it did.`,
		signature: "DotRows[T Float](rows, cols int, d, x []T, ldx int, sums []T) bool",
		before:    "_, _, _ = d[rows*cols-1], x[(rows-1)*ldx+cols-1], sums[Line[T]()-1]",
		kernels:   one("dotRows{b}{t}"), args: "rows; cols; d; cols; x; ldx; sums",
		after: "return true", tail: "return false",
	},
	{
		doc: `Apply3 is y[p,q] = max(floor, bias + Σ_r Σ_s weights[3r+s]·x[p+r−Top, q+s−Left]), 0 ≤ r, s < 3, for
the plane y of Rows×Cols. x is H×W, and 0 outside.`,
		signature: "Apply3[T Float](d *Plane3, y, x []T, weights *[9]T, bias, floor T)",
		before:    "_, _ = y[d.Rows*d.Cols-1], x[d.H*d.W-1]",
		kernels:   one("depthwise3x3x{b}{t}"),
		args:      "d.Rows; len(d.masks) / 4; y; d.Cols; x; d.W; d.H; d.Top; d.Left; &d.masks[0]; weights[:]; &bias; &floor",
	},
	{
		doc: `Gradient3 adds, for each of the nine taps of Apply3, the products of delta with x under the tap to
the tap's sums, Lanes of them, one for each lane.`,
		signature: "Gradient3[T Float](d *Plane3, delta, x, sums []T)",
		before:    "_, _, _ = delta[d.Rows*d.Cols-1], x[d.H*d.W-1], sums[9*d.Lanes-1]",
		kernels:   one("depthwiseFilter3x3x{b}{t}"),
		args:      "d.Rows; len(d.masks) / 4; delta; d.Cols; x; d.W; d.H; d.Top; d.Left; &d.masks[0]; sums",
	},
	{
		doc: `TapChannels is y[i·ldy+c] = min(cut[1], max(cut[0], bias[c] + Σ_t x[i·step+taps[2t]+c]·w[taps[2t+1]+c]))
for 0 ≤ i < outputs and 0 ≤ c < channels.`,
		signature: "TapChannels[T Float](outputs, channels int, y []T, ldy int, x []T, step int, taps []int, w, bias, cut []T)",
		before: `for t := 0; t < len(taps); t += 2 {
	_, _ = x[taps[t]:][(outputs-1)*step+channels-1], w[taps[t+1]:][channels-1]
}
_, _, _ = y[(outputs-1)*ldy+channels-1], bias[channels-1], cut[1]`,
		kernels: one("tapChannels{b}{t}"),
		args:    "outputs; channels; y; ldy; x; step; unsafe.SliceData(taps); len(taps) / 2; w; bias; cut", after: "return",
		tail: "tapChannels(outputs, channels, y, ldy, x, step, taps, w, bias, cut)",
	},

	// Winograd's transformations of one tile of m×m outputs, n vectors of channels of it.
	{
		doc: `WinogradInput is dst = Bᵀ·src·B for a tile of m×m outputs, m = 4 or 2, and n vectors of channels.
Element (i, j) of src is at i·srcRow + j·srcCol, that of dst at i·dstRow + j·dstCol.`,
		signature: "WinogradInput[T Float](m, n int, src []T, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp []T)",
		before: `last, lanes := m+1, Lanes[T]()
_, _, _ = src[last*(srcRow+srcCol)+n*lanes-1], dst[last*(dstRow+dstCol)+n*lanes-1], tmp[(m+2)*(m+2)*lanes-1]`,
		on: "m", last: true, kernels: []kernel{{"4", "winogradInput4x{b}{t}", ""}, {"2", "winogradInput2x{b}{t}", ""}},
		args: "n; src; srcRow; srcCol; dst; dstRow; dstCol; tmp",
	},
	{
		doc: `WinogradWeights is dst = G·src·Gᵀ for a tile of m×m outputs, m = 4 or 2, and n vectors of filters.
Element (0, 0) of src is at origin; the strides of src may be negative.`,
		signature: "WinogradWeights[T Float](m, n int, src []T, origin, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp []T)",
		before: `lanes := Lanes[T]()
for _, corner := range [...]int{origin, origin + 2*srcRow, origin + 2*srcCol, origin + 2*srcRow + 2*srcCol} {
	_, _ = src[corner], src[corner+n*lanes-1]
}
_, _ = dst[(m+1)*(dstRow+dstCol)+n*lanes-1], tmp[(m+2)*(m+2)*lanes-1]
src = src[origin:]`,
		on: "m", last: true, kernels: []kernel{{"4", "winogradWeights4x{b}{t}", ""}, {"2", "winogradWeights2x{b}{t}", ""}},
		args: "n; src; srcRow; srcCol; dst; dstRow; dstCol; tmp",
	},
	{
		doc: `WinogradOutput is dst = Aᵀ·src·A + bias, then max(0, ·) where relu is set, for a tile of m×m outputs,
m = 4 or 2, and n vectors of filters. bias may be nil.`,
		signature: "WinogradOutput[T Float](m, n int, src []T, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp, bias []T, relu bool)",
		before: `lanes := Lanes[T]()
_, _ = src[(m+1)*(srcRow+srcCol)+n*lanes-1], dst[(m-1)*(dstRow+dstCol)+n*lanes-1]
_ = tmp[((m+2)*(m+2)+1)*lanes-1]
if bias != nil {
	_ = bias[n*lanes-1]
}`,
		on: "m", last: true, kernels: []kernel{{"4", "winogradOutput4x{b}{t}", ""}, {"2", "winogradOutput2x{b}{t}", ""}},
		args: "n; src; srcRow; srcCol; dst; dstRow; dstCol; tmp; bias; flag(relu)",
	},
	{
		doc: `WinogradDelta is dst = A·src·Aᵀ, the adjoint of WinogradOutput without its bias, for a tile of m×m
deltas, m = 4 or 2, and n vectors of filters.`,
		signature: "WinogradDelta[T Float](m, n int, src []T, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp []T)",
		before: `last, lanes := m+1, Lanes[T]()
_, _, _ = src[(m-1)*(srcRow+srcCol)+n*lanes-1], dst[last*(dstRow+dstCol)+n*lanes-1], tmp[m*(m+2)*lanes-1]`,
		on: "m", last: true, kernels: []kernel{{"4", "winogradDelta4x{b}{t}", ""}, {"2", "winogradDelta2x{b}{t}", ""}},
		args: "n; src; srcRow; srcCol; dst; dstRow; dstCol; tmp",
	},
	{
		doc: `WinogradGradient is dst = Gᵀ·src·G, the adjoint of WinogradWeights, for a tile of m×m outputs, m = 4
or 2, and n vectors of filters.`,
		signature: "WinogradGradient[T Float](m, n int, src []T, srcRow, srcCol int, dst []T, dstRow, dstCol int, tmp []T)",
		before: `last, lanes := m+1, Lanes[T]()
_, _, _ = src[last*(srcRow+srcCol)+n*lanes-1], dst[2*(dstRow+dstCol)+n*lanes-1], tmp[3*(m+2)*lanes-1]`,
		on: "m", last: true, kernels: []kernel{{"4", "winogradGradient4x{b}{t}", ""}, {"2", "winogradGradient2x{b}{t}", ""}},
		args: "n; src; srcRow; srcCol; dst; dstRow; dstCol; tmp",
	},

	// Sparse maps of an axis.
	{
		doc:       "mixRows is MixRows for n columns, of outputs from to to−1.",
		signature: "mixRows[T Float](n int, y []T, ldy int, x []T, ldx int, m *Taps[T], from, to int)",
		before:    "_ = y[(to-from-1)*ldy+n-1]",
		kernels:   one("mixRows{b}{t}"),
		args:      "to - from; n; ldy; ldx; y; x; &m.Start[from]; unsafe.SliceData(m.Index); m.Weight",
	},
	{
		doc:       "mixAcross is MixAcross. It reports whether it did.",
		signature: "mixAcross[T Float](rows int, y []T, ldy int, x []T, ldx int, a *Across[T]) bool",
		kernels:   one("mixAcross{b}{t}"),
		args:      "rows; a.blocks; ldy; ldx; y; x; unsafe.SliceData(a.at); a.table",
		after:     "return true", tail: "return false",
	},

	// Pooling by tiles of 2×2: n outputs of each of the rows, which are ld apart.
	{
		doc:       "maxPool is the winner and the maximum of each tile.",
		signature: "maxPool[T Float](rows, n, ld int, y []T, winner []int32, x0, x1 []T, first, width uint32)",
		kernels:   one("maxPool2x2x{b}{t}"),
		args:      "rows; n; ld; y; unsafe.SliceData(winner); x0; x1; first; width",
	},
	{
		doc:       "maxScatter is the adjoint of maxGather; 0 where a winner lies outside its tile.",
		signature: "maxScatter[T Float](rows, n, ld int, x0, x1, dy []T, winner []int32, first, width uint32) uint32",
		kernels:   one("maxScatter2x2x{b}{t}"), result: "return ",
		args: "rows; n; ld; x0; x1; dy; unsafe.SliceData(winner); first; width", tail: "return 0",
	},
	{
		doc:       "maxGather is y = x[winner]; 0 where a winner lies outside its tile.",
		signature: "maxGather[T Float](rows, n, ld int, y, x0, x1 []T, winner []int32, first, width uint32) uint32",
		kernels:   one("maxGather2x2x{b}{t}"), result: "return ",
		args: "rows; n; ld; y; x0; x1; unsafe.SliceData(winner); first; width", tail: "return 0",
	},
	{
		doc:       "avgPool is the mean of each tile.",
		signature: "avgPool[T Float](rows, n, ld int, y, x0, x1 []T, width uint32)",
		kernels:   one("avgPool2x2x{b}{t}"), args: "rows; n; ld; y; x0; x1; width; 0.25",
	},
	{
		doc:       "avgSpread is the adjoint of avgPool.",
		signature: "avgSpread[T Float](rows, n, ld int, x0, x1, dy []T, width uint32)",
		kernels:   one("avgSpread2x2x{b}{t}"), args: "rows; n; ld; x0; x1; dy; width; 0.25",
	},
	{
		doc:       "maxTaps is MaxTaps for n windows, 1 or 2 apart.",
		signature: "maxTaps[T Float](n int, y []T, winner []int32, x []T, taps []int32, at, stride int)",
		on:        "stride", last: true, kernels: []kernel{{"1", "maxTaps1x{b}{t}", ""}, {"2", "maxTaps2x{b}{t}", ""}},
		args: "n; y; unsafe.SliceData(winner); x; unsafe.SliceData(taps); len(taps); uint32(at)",
	},
	{
		doc: `peak runs n rounds of independent multiply-adds of the tier and returns the floating-point operations
of one.`,
		signature: "peak[T Float](t Tier, n int) int",
		kernels:   one("peak{b}{t}"), args: "n", tier: "t", after: "return 2 * 12 * {v}", tail: "return peakGo(n)",
	},
}

// activation has a kernel for each function, with the parameters that it has.
func activation(doc, signature, suffix, args string) entry {
	e := entry{doc: doc + " for the first n elements.", signature: signature, on: "f", args: args, count: "len(x)", tail: "return n"}
	for _, f := range []struct{ name, kernel, parameters string }{
		{"Sigmoid", "sigmoid", ""},
		{"Tanh", "tanh", ""},
		{"Softplus", "softplus", ""},
		{"SiLU", "silu", ""},
		{"GELU", "gelu", ""},
		{"GELUTanh", "geluTanh", ""},
		{"ELU", "elu", "; a"},
		{"LeakyReLU", "leakyReLU", "; a"},
		{"Clamp", "clamp", "; a; b"},
		{"ReLU6", "relu6", ""},
		{"HardSigmoid", "hardSigmoid", ""},
		{"HardSwish", "hardSwish", ""},
		{"Exp", "exp", ""},
		{"Log", "log", ""},
		{"Sqrt", "sqrt", ""},
		{"Square", "square", ""},
		{"Abs", "abs", ""},
		{"Below", "below", ""},
	} {
		e.kernels = append(e.kernels, kernel{f.name, f.kernel + suffix + "{b}{t}", args + f.parameters})
	}
	return e
}

// pairing has a kernel for each loss of two numbers.
func pairing(doc, signature, suffix, args string) entry {
	return entry{doc: doc + " for the first n elements.", signature: signature, on: "f", count: "len(y)", tail: "return n",
		args: args, kernels: []kernel{
			{"Absolute", "absolute" + suffix + "{b}{t}", ""}, {"Huber", "huber" + suffix + "{b}{t}", args + "; a"},
			{"BinaryCrossEntropy", "crossEntropy" + suffix + "{b}{t}", ""},
		}}
}

func one(name string) []kernel { return []kernel{{"", name, ""}} }

// direct has a kernel for each group of filters, each distance of neighbouring outputs in the
// source and each in the destination.
func direct() entry {
	e := entry{
		doc: `Direct is dst[s₁ + i·ldd + spread·j] = max(floor, bias[i] + Σ_k a[k·m+i]·src[offsets[k] + s₀ + step·j]),
0 ≤ k < depth, 0 ≤ i < m, for DirectVectors(m) segments, triples s, and the j whose bits are set in s₂.
NaN stays NaN. Of src it reads whole vectors. See CanDirect.`,
		signature: "Direct[T Float](m, step, spread, depth int, a, src []T, offsets, segments []int, dst []T, ldd int, bias []T, floor T)",
		before:    "_, _, _ = a[m*depth-1], bias[m-1], segments[3*DirectVectors(m)-1]",
		on:        "3*m + step - 1 + 2*(spread-1)",
		args:      "depth; a; src; unsafe.SliceData(offsets); unsafe.SliceData(segments); dst; ldd; bias; &floor",
	}
	for _, g := range []struct{ m, vectors string }{{"1", "8"}, {"2", "8"}, {"3", "6"}, {"4", "5"}, {"6", "4"}, {"8", "3"}} {
		for _, k := range []struct{ at, name string }{{"0", "1to1"}, {"2", "1to2"}, {"1", "2to1"}} {
			e.kernels = append(e.kernels, kernel{"3*" + g.m + " + " + k.at, "direct" + g.m + "x" + g.vectors + "x" + k.name + "x{b}{t}", ""})
		}
	}
	return e
}
