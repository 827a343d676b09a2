package ops_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/ops"
)

// A window is one axis of a convolution or pooling as a caller gives it.
type window struct{ in, size, stride, dilation, before, after int }

// outputs is the number of windows, in numbers that do not overflow, and whether there is one.
func (w window) outputs() (*big.Int, bool) {
	n := func(v int) *big.Int { return big.NewInt(int64(v)) }
	if w.in < 1 || w.size < 1 || w.stride < 1 || w.dilation < 1 || w.before < 0 || w.after < 0 {
		return nil, false
	}
	room := n(w.in)
	room.Add(room, n(w.before)).Add(room, n(w.after))
	extent := n(w.size - 1)
	extent.Mul(extent, n(w.dilation)).Add(extent, big.NewInt(1))
	if room.Sub(room, extent).Sign() < 0 {
		return nil, false
	}
	return room.Quo(room, n(w.stride)).Add(room, big.NewInt(1)), true
}

// empty reports whether some window has no tap in the input, by looking at all of them; the caller
// sees to it that they are few.
func (w window) empty(outputs int) bool {
	for p := range outputs {
		inside := false
		for r := range w.size {
			at := p*w.stride + r*w.dilation - w.before
			inside = inside || 0 <= at && at < w.in
		}
		if !inside {
			return true
		}
	}
	return false
}

// defaulted is a stride or dilation as the parameters are read: two zeros stand for the default.
func defaulted(v, otherwise ops.Size) ops.Size {
	if v == (ops.Size{}) {
		return otherwise
	}
	return v
}

// small reports whether a tensor is quickly computed with.
func small(shape tensor.Shape) bool {
	n := 1
	for _, s := range shape {
		if s < 1 || s > 64 {
			return false
		}
		if n *= s; n > 4096 {
			return false
		}
	}
	return true
}

// Whatever the shapes and parameters, Conv2D returns an error that begins with its name or a node
// of the shape that the sums have, never panics, and runs to the reference's values where that is
// quick.
func FuzzConv2D(f *testing.F) {
	f.Add(2, 3, 7, 8, 4, 3, 3, 2, 1, 1, 1, 1, 0, 0, 0, 0, 1, false)
	f.Add(2, 4, 9, 6, 6, 2, 2, 3, 2, 1, 1, 2, 1, 0, 2, 3, 2, true)
	f.Add(1, 3, 5, 5, 3, 1, 3, 3, 0, 0, 0, 0, 1, 1, 1, 1, 3, false)
	f.Add(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, math.MaxInt, math.MaxInt, 0, 0, 1, false)
	f.Add(1, 1, 2, 3, 1, 1, 1, 2, 1<<23, 1<<23, 1, 1, 1<<24, 1<<24, 0, 1<<23, 1, false)
	f.Add(1, 1, 5, 5, 1, 1, 3, 3, 1, 1, math.MaxInt, 1, 0, 0, 0, 0, 1, false)
	f.Add(1, 1, 5, 5, 1, 1, math.MaxInt, 3, 1, 1, 2, 1, 0, 0, 0, 0, 1, true)
	f.Add(1, 1, 5, 5, 1, 1, 3, 3, math.MaxInt, 1, 1, 1, math.MaxInt32, 0, 0, 0, 1, false)
	f.Add(1, 1, 5, 5, 1, 1, 3, 3, -1, 1, 1, 1, 0, 0, 0, 0, 1, false)
	f.Add(1, 1, 5, 5, 1, 1, 3, 3, 1, 1, 1, 1, 0, 0, 0, math.MinInt, 1, false)
	f.Add(1, 4, 5, 5, 6, 4, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, math.MinInt, false)
	f.Add(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false)
	f.Add(1<<20, 1<<20, 1<<20, 1<<20, 1<<20, 1<<20, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, false)
	f.Fuzz(func(t *testing.T, n, c, h, w, k, cg, r, s, strideH, strideW, dilationH, dilationW, top, bottom, left, right, groups int, flip bool) {
		p := ops.ConvParams{
			Stride: ops.Size{H: strideH, W: strideW}, Dilation: ops.Size{H: dilationH, W: dilationW}, Pad: ops.Padding{Top: top, Bottom: bottom, Left: left, Right: right}, Groups: groups, Flip: flip,
		}
		xs, ws := tensor.Shape{n, c, h, w}, tensor.Shape{k, cg, r, s}
		shape, err := ops.Conv2DShape(xs, ws, p)
		if err != nil && !strings.HasPrefix(err.Error(), "ops: Conv2DShape: ") {
			t.Fatalf("the error %q does not name the op", err)
		}
		stride, dilation := defaulted(p.Stride, ops.Both(1)), defaulted(p.Dilation, ops.Both(1))
		down, okDown := window{h, r, stride.H, dilation.H, top, bottom}.outputs()
		across, okAcross := window{w, s, stride.W, dilation.W, left, right}.outputs()
		g := max(groups, 1)
		describes := okDown && okAcross && n >= 0 && c > 0 && k > 0 && cg > 0 && groups >= 0 && c%g == 0 && k%g == 0 && cg == c/g
		if err == nil {
			if !describes {
				t.Fatalf("x %v, w %v, %+v: accepted, but is no convolution", xs, ws, p)
			}
			if want := (tensor.Shape{k, int(down.Int64()), int(across.Int64())}); !slices.Equal(shape, want) || !down.IsInt64() || !across.IsInt64() {
				t.Fatalf("x %v, w %v, %+v: the shape is %v, want %v", xs, ws, p, shape, want)
			}
		} else if describes && small(xs) && small(ws) && down.BitLen() < 12 && across.BitLen() < 12 && max(top, bottom, left, right, stride.H, stride.W) < 1<<20 {
			t.Fatalf("x %v, w %v, %+v: refused: %v", xs, ws, p, err)
		}
		for _, side := range append(append([]int(nil), xs...), ws...) {
			if side < 0 || side > math.MaxInt32 {
				return // Gorgonia itself has no such nodes
			}
		}
		graph := G.NewGraph()
		x := G.NewTensor(graph, tensor.Float64, 4, G.WithShape(xs...), G.WithName("x"))
		filters := G.NewTensor(graph, tensor.Float64, 4, G.WithShape(ws...), G.WithName("w"))
		y, nodeErr := ops.Conv2D(x, filters, nil, p)
		if (nodeErr == nil) != (err == nil) || nodeErr != nil && !strings.HasPrefix(nodeErr.Error(), "ops: Conv2D: ") {
			t.Fatalf("Conv2D has the error %v, Conv2DShape %v", nodeErr, err)
		}
		if err != nil {
			return
		}
		if want := append(tensor.Shape{n}, shape...); !slices.Equal(y.Shape(), want) {
			t.Fatalf("x %v, w %v, %+v: the node's shape is %v, want %v", xs, ws, p, y.Shape(), want)
		}
		if !small(xs) || !small(ws) || !small(y.Shape()) {
			return
		}
		random := rand.New(rand.NewPCG(uint64(n), uint64(h)))
		xv, wv, dy := integers[float64](random, xs.TotalSize(), 9), integers[float64](random, ws.TotalSize(), 9), integers[float64](random, y.Shape().TotalSize(), 9)
		want := referenceOf(t, xs, ws, p, xv, wv, dy)
		fuzzValues(t, xs, ws, p, xv, wv, dy, want.y, want.dx, want.dw)
		fuzzValues(t, xs, ws, p, rounded(xv), rounded(wv), rounded(dy), rounded(want.y), rounded(want.dx), rounded(want.dw))
	})
}

// fuzzValues runs a convolution of integers, small enough to be exact in either type, and its
// gradients.
func fuzzValues[T kernel.Float](t *testing.T, xs, ws tensor.Shape, p ops.ConvParams, xv, wv, dy, y, dx, dw []T) {
	graph := G.NewGraph()
	x, filters := leaf(graph, "x", xs, xv), leaf(graph, "w", ws, wv)
	n := must(t)(ops.Conv2D(x, filters, nil, p))
	value, grads := mustEvaluate[T](t, ours, must(t)(costOf(n, dy)), n, x, filters)
	equal(t, "y", value, y)
	equal(t, "dx", grads[0], dx)
	equal(t, "dw", grads[1], dw)
}

// The same for the poolings, which agree with each other on which shapes and parameters they take.
func FuzzPool(f *testing.F) {
	f.Add(2, 3, 7, 8, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0)
	f.Add(2, 1, 6, 5, 3, 2, 2, 1, 1, 1, 1, 0, 0, 1)
	f.Add(1, 1, 5, 5, 2, 2, 1, 1, 3, 10, 0, 0, 2, 2)
	f.Add(1, 1, 3, 3, 2, 2, 1, 1, 1, 1, 2, 0, 0, 0)
	f.Add(1, 1, 2, 2, 2, 2, 2, 2, 1, 1, 0, 2, 0, 0)
	f.Add(1, 1, 2, 2, 1, 1, math.MaxInt, 1, 1, 1, 0, 0, 0, 0)
	f.Add(1, 1, 2, 2, math.MaxInt, 2, 1, 1, 1, 1, math.MaxInt, 0, 0, 0)
	f.Add(1, 1, 2, 2, 2, 2, 1, 1, math.MaxInt, 1, math.MaxInt/2, math.MaxInt/2, 0, 0)
	f.Add(1, 1, 2, 2, -2, 2, -1, 1, 1, 1, 0, 0, -3, 0)
	f.Add(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	f.Fuzz(func(t *testing.T, n, c, h, w, r, s, strideH, strideW, dilationH, dilationW, top, bottom, left, right int) {
		if h > 1<<20 || w > 1<<20 {
			return // accepting one takes a while, since its windows are gone through
		}
		p := ops.PoolParams{Window: ops.Size{H: r, W: s}, Stride: ops.Size{H: strideH, W: strideW}, Dilation: ops.Size{H: dilationH, W: dilationW}, Pad: ops.Padding{Top: top, Bottom: bottom, Left: left, Right: right}}
		xs := tensor.Shape{n, c, h, w}
		shape, err := ops.Pool2DShape(xs, p)
		if err != nil && !strings.HasPrefix(err.Error(), "ops: Pool2DShape: ") {
			t.Fatalf("the error %q does not name the op", err)
		}
		stride, dilation := defaulted(p.Stride, p.Window), defaulted(p.Dilation, ops.Both(1))
		rows, cols := window{h, r, stride.H, dilation.H, top, bottom}, window{w, s, stride.W, dilation.W, left, right}
		down, okDown := rows.outputs()
		across, okAcross := cols.outputs()
		describes := okDown && okAcross && n >= 0 && c > 0
		quick := small(xs) && describes && down.BitLen() < 10 && across.BitLen() < 10 && r < 1000 && s < 1000 && max(top, bottom, left, right, stride.H, stride.W) < 1<<20
		if err == nil {
			if !describes {
				t.Fatalf("x %v, %+v: accepted, but is no pooling", xs, p)
			}
			if want := (tensor.Shape{c, int(down.Int64()), int(across.Int64())}); !slices.Equal(shape, want) || !down.IsInt64() || !across.IsInt64() {
				t.Fatalf("x %v, %+v: the shape is %v, want %v", xs, p, shape, want)
			}
		}
		if quick {
			if hollow := rows.empty(int(down.Int64())) || cols.empty(int(across.Int64())); hollow == (err == nil) {
				t.Fatalf("x %v, %+v: error %v, a window without an element: %v", xs, p, err, hollow)
			}
		}
		for _, side := range xs {
			if side < 0 || side > math.MaxInt32 {
				return
			}
		}
		for name, pool := range map[string]func(x *G.Node) (*G.Node, error){
			"MaxPool2D": func(x *G.Node) (*G.Node, error) { return ops.MaxPool2D(x, p) },
			"AvgPool2D": func(x *G.Node) (*G.Node, error) { return ops.AvgPool2D(x, p) },
			"L2Pool2D":  func(x *G.Node) (*G.Node, error) { return ops.L2Pool2D(x, p) },
		} {
			y, nodeErr := pool(G.NewTensor(G.NewGraph(), tensor.Float64, 4, G.WithShape(xs...), G.WithName("x")))
			if (nodeErr == nil) != (err == nil) || nodeErr != nil && !strings.HasPrefix(nodeErr.Error(), "ops: "+name+": ") {
				t.Fatalf("%s has the error %v, Pool2DShape %v", name, nodeErr, err)
			}
			if err == nil && !slices.Equal(y.Shape(), append(tensor.Shape{n}, shape...)) {
				t.Fatalf("%s: the node's shape is %v, want %v for each image", name, y.Shape(), shape)
			}
		}
		if err != nil || !quick || !small(append(tensor.Shape{n}, shape...)) {
			return
		}
		g, err := kernel.NewPool(n, c, h, w, r, s, kernel.Spatial{
			StrideH: stride.H, StrideW: stride.W, DilationH: dilation.H, DilationW: dilation.W, PadTop: top, PadBottom: bottom, PadLeft: left, PadRight: right,
		})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(uint64(n), uint64(h)))
		xv, dy := integers[float64](random, g.XLen(), 9), integers[float64](random, g.YLen(), 9)
		wantY, wantX := make([]float64, g.YLen()), make([]float64, g.XLen())
		maxPoolReference(g, wantY, wantX, xv, dy)
		x := leaf(G.NewGraph(), "x", xs, xv)
		y := must(t)(ops.MaxPool2D(x, p))
		value, grads := mustEvaluate[float64](t, ours, must(t)(costOf(y, dy)), y, x)
		equal(t, "y", value, wantY)
		equal(t, "dx", grads[0], wantX)
	})
}
