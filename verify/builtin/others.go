package builtin

import (
	"fmt"
	"math"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/reference"
	"github.com/convgrad/convgrad/verify/internal/values"
)

// others are uses of the other ops.
func others() []builtIn {
	apart := []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
	half := func(x *G.Node) (*G.Node, error) { return G.Dropout(x, 0.5) }
	softMax := func(x *G.Node) (*G.Node, error) { return G.SoftMax(x) }
	logSoftMax := func(x *G.Node) (*G.Node, error) { return G.LogSoftMax(x) }
	flat := func(x *G.Node) (*G.Node, error) { return G.Reshape(x, tensor.Shape{x.Shape().TotalSize()}) }
	rowsOf := func(s []int) string {
		return blamed(use{[][]int{s}, false, of(softMax), reference.Softmax(s[0])}, underTape...)
	}
	far := func(apart float64) graphs.Array { return graphs.Of([]int{2, 2}, []float64{apart, apart, 0, 0}) }
	rectifyAt := func(x, y, dx float64) search {
		return one(fmt.Sprintf("x [%v], dy [1]", x), func() string {
			return at(of(G.Rectify), row(x), row(1), []float64{y}, []float64{dx})
		})
	}
	meanOf := func(s []int, axes ...int) string { // in ascending order
		return blamed(use{[][]int{s}, false, of(func(x *G.Node) (*G.Node, error) { return G.Mean(x, axes...) }), reference.Mean(axes...)}, underTape...)
	}
	return []builtIn{
		{name: "Rectify", use: "away from 0", search: over(shapes(12)[1:], "x %v", func(s []int) string {
			return blamed(use{[][]int{s}, true, of(G.Rectify), reference.ReLU()}, slices.Concat(underTape, underLisp)...)
		})},
		{name: "Rectify", use: "the gradient at 0", known: "O1", search: rectifyAt(0, 0, 0)},
		{name: "Rectify", use: "of −Inf", known: "O1", search: rectifyAt(math.Inf(-1), 0, 0)},
		{name: "Rectify", use: "of −1, the sign of the 0", known: "O1", search: rectifyAt(-1, 0, 0)},
		{name: "SoftMax", use: "rows whose numbers are near", search: over(slices.DeleteFunc(shapes(3, 5), func(s []int) bool { return s[1] == 1 }), "x %v", rowsOf)},
		{name: "SoftMax", use: "of one column", known: "O5", search: over(shapes(3, 1), "x %v", rowsOf)},
		{name: "SoftMax", use: "rows that are far apart", known: "O2", search: over(apart, "x [%[1]v %[1]v; 0 0]", func(apart float64) string {
			return at(of(softMax), far(apart), graphs.Ones(2, 2), []float64{0.5, 0.5, 0.5, 0.5}, nil)
		})},
		{name: "LogSoftMax", use: "rows that are far apart", known: "O2", search: over(apart, "x [%[1]v %[1]v; 0 0]", func(apart float64) string {
			got, _, err := graphs.Run(of(logSoftMax), []graphs.Array{far(apart)}, graphs.Ones(2, 2))
			done(err)
			// an exponential, a sum and a logarithm, and whatever is subtracted first
			if slices.ContainsFunc(got.Data, func(y float64) bool { return !(math.Abs(y+math.Ln2) <= 8*0x1p-53*(1+apart)) }) {
				return fmt.Sprintf("y is %v, want −ln 2 everywhere", got.Data)
			}
			return ""
		})},
		{name: "SoftMax", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(softMax)},
		{name: "SoftMax", use: "beside LogSoftMax of the same x", known: "O3", search: merged("x [0 0]", softMax, logSoftMax)},
		{name: "SoftMax", use: "read beside its Log", known: "O4", search: one("x [0 0]", func() string {
			g, in := graphs.Leaves(graphs.Zeros(1, 2))
			p := must(G.SoftMax(in[0]))
			must(G.Log(p))
			return read("softmax", g, p, 0.5, 0.5)
		})},
		{name: "SoftMax", use: "−mean(log(softmax(x)·t)), the loss of examples/convnet", known: "O6", search: one("x [0 0], targets [1 0] and [0 1]", func() string {
			var grads [2]string
			for k := range grads {
				t := []float64{1. / 1024, 1. / 1024}
				t[k] = 1
				_, dx, err := graphs.Run(func(in []*G.Node) (*G.Node, error) {
					return G.Neg(must(G.Mean(must(G.Log(must(G.HadamardProd(must(G.SoftMax(in[0])), in[1])))))))
				}, []graphs.Array{graphs.Zeros(1, 2), graphs.Of([]int{1, 2}, t)}, graphs.Of(nil, []float64{1}))
				done(err)
				grads[k] = fmt.Sprint(dx[0].Data)
			}
			if grads[0] == grads[1] {
				return fmt.Sprintf("dx is %v for both targets: it does not depend on the labels", grads[0])
			}
			return ""
		})},
		{name: "Dropout", use: "its gradient", known: "O7", search: over([]float64{0.5, 0.25, 0.75}, "p %v", func(p float64) string {
			y, dx, err := graphs.Run(of(func(x *G.Node) (*G.Node, error) { return G.Dropout(x, p) }), []graphs.Array{graphs.Ones(64)}, graphs.Ones(64))
			done(err)
			for i, y := range y.Data { // linear and diagonal: y/x = dx/dy
				if !(math.Abs(dx[0].Data[i]-y) <= 4*0x1p-53*math.Abs(y)) {
					return fmt.Sprintf("x[i] = dy[i] = 1 gives y[i] = %v and dx[i] = %v, want the same", y, dx[0].Data[i])
				}
			}
			return ""
		})},
		{name: "Dropout", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(half)},
		{name: "Dropout", use: "two of one input with other probabilities", known: "O7",
			search: merged("p 0.5 and 0.75", half, func(x *G.Node) (*G.Node, error) { return G.Dropout(x, 0.75) })},
		{name: "Dropout", use: "into memory at hand, by UsePreallocDo", known: "O7", mortal: true, search: one("x [1], p 0.5", func() string {
			_, in := graphs.Leaves(graphs.Ones(1))
			op, ok := must(half(in[0])).Op().(G.UsePreallocDoer)
			if !ok {
				return ""
			}
			v := must(op.UsePreallocDo(graphs.Zeros(1).Value(tensor.Float64), in[0].Value()))
			if got, err := values.Floats(v); err != nil || got[0] != 0 && got[0] != 2 {
				return fmt.Sprintf("y is %v (%v), want 0 or 2", got, err)
			}
			return ""
		})},
		{name: "Dropout", use: "in evaluation, then + 1: is x left alone", known: "O7", search: leftAlone(half, G.EvalMode())},
		{name: "Reshape", use: "then + 1: is x left alone", known: "O9", search: leftAlone(flat)},
		{name: "Reshape", use: "under LispMachine, x with a second consumer", known: "C2", search: over(shapes(4, 1), "x %v", func(s []int) string {
			return blamed(use{[][]int{s}, true, of(flat), reference.Copy()}, underLisp...)
		})},
		{name: "Mean", use: "over one axis of four", known: "O8", mortal: true, search: func(try try) {
			for axis := range 4 {
				over(shapes(3, 3, 3, 3), fmt.Sprintf("x %%v, axis %d", axis), func(s []int) string { return meanOf(s, axis) })(try)
			}
		}},
		{name: "Mean", use: "over the rows and columns of images", known: "O8", mortal: true,
			search: over(slices.DeleteFunc(shapes(3, 3, 3, 3), func(s []int) bool { return slices.Min(s) == 1 }), "x %v, axes 2 and 3", func(s []int) string { return meanOf(s, 2, 3) })},
		{name: "Grad", use: "of a Grad", known: "M1", search: one("Σ x³, x [1]", func() string {
			g, in := graphs.Leaves(graphs.Ones(1))
			cube := must(G.HadamardProd(must(G.Square(in[0])), in[0]))
			first := must(G.Grad(must(G.Sum(cube)), in[0]))
			return read("d²/dx²", g, must(G.Grad(must(G.Sum(first[0])), in[0]))[0], 6)
		})},
		{name: "Grad", use: "of a loss, and then of the loss with a penalty on the same weights", known: "M1", search: one("Σ w², and then Σ w² + Σ w⁴, w [1]", func() string {
			g, in := graphs.Leaves(graphs.Ones(1))
			square := must(G.Square(in[0]))
			loss := must(G.Sum(square))
			must(G.Grad(loss, in[0]))
			penalty := must(G.Sum(must(G.Square(square))))
			return read("dw", g, must(G.Grad(must(G.Add(loss, penalty)), in[0]))[0], 6)
		})},
		{name: "BroadcastAdd", use: "its gradient by what is broadcast over axis 2 of four", known: "O8",
			search: over(slices.DeleteFunc(shapes(3, 3, 3, 3), func(s []int) bool {
				// there is nothing to broadcast, or what is broadcast is one element
				return s[2] < 2 || tensor.Shape(s).TotalSize() == s[2]
			}), "x %v, b the same but for its third side, 1", func(s []int) string {
				return blamedFor(verify.Case{
					Build:  func(in []*G.Node) (*G.Node, error) { return G.BroadcastAdd(in[0], in[1], nil, []byte{2}) },
					Inputs: []verify.Input{verify.Integers("x", 4, s...), verify.Integers("b", 4, s[0], s[1], 1, s[3])},
				}, verify.ByDifferences)
			})},
		{name: "Mul", use: "of slices of matrices", known: "found here", mortal: true, search: mulOf(verify.BySlices)},
		{name: "Mul", use: "of column-major matrices", known: "found here", mortal: true, search: mulOf(verify.ByColumnMajor)},
		{name: "Mul", use: "of lazy transposes of matrices", mortal: true, search: mulOf(verify.ByTransposes)},
		{name: "Conv2d, Reshape, BroadcastAdd", use: "a convolution with a bias", search: overFamily("Conv2D")},
		{name: "Mul, Transpose, BroadcastAdd", use: "a fully connected layer", search: overFamily("Linear")},
		{name: "Sub, Square, Mean", use: "a squared error", search: overFamily("MSE")},
		{name: "Log, SoftMax, HadamardProd, Sum", use: "a cross-entropy with labels", search: overFamily("CrossEntropy")},
	}
}
