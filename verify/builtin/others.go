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
	return []builtIn{
		{name: "Rectify", use: "away from 0", search: func(try try) {
			for n := 2; n <= 12; n++ {
				try(fmt.Sprintf("x [%d]", n), func() string {
					return blamed(use{[][]int{{n}}, true, func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) }, reference.ReLU()}, slices.Concat(underTape, underLisp)...)
				})
			}
		}},
		{name: "Rectify", use: "the gradient at 0", known: "O1", search: rectifyAt(0, 0, 0)},
		{name: "Rectify", use: "of −Inf", known: "O1", search: rectifyAt(math.Inf(-1), 0, 0)},
		{name: "Rectify", use: "of −1, the sign of the 0", known: "O1", search: rectifyAt(-1, 0, 0)},
		{name: "SoftMax", use: "rows whose numbers are near", search: func(try try) {
			for n := 1; n <= 3; n++ {
				for m := 2; m <= 5; m++ {
					try(fmt.Sprintf("x [%d %d]", n, m), func() string { return blamed(softmaxUse(n, m), underTape...) })
				}
			}
		}},
		{name: "SoftMax", use: "of one column", known: "O5", search: func(try try) {
			for n := 1; n <= 3; n++ {
				try(fmt.Sprintf("x [%d 1]", n), func() string { return blamed(softmaxUse(n, 1), underTape...) })
			}
		}},
		{name: "SoftMax", use: "rows that are far apart", known: "O2", search: func(try try) {
			for apart := 1.0; apart <= 1024; apart *= 2 {
				try(fmt.Sprintf("x [%v %v; 0 0]", apart, apart), func() string {
					return at(func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) },
						[]graphs.Array{graphs.Of([]int{2, 2}, []float64{apart, apart, 0, 0})}, graphs.Of([]int{2, 2}, ones(4)), []float64{0.5, 0.5, 0.5, 0.5}, nil)
				})
			}
		}},
		{name: "LogSoftMax", use: "rows that are far apart", known: "O2", search: func(try try) {
			for apart := 1.0; apart <= 1024; apart *= 2 {
				try(fmt.Sprintf("x [%v %v; 0 0]", apart, apart), func() string {
					got, _, err := graphs.Run(func(in []*G.Node) (*G.Node, error) { return G.LogSoftMax(in[0]) }, []graphs.Array{graphs.Of([]int{2, 2}, []float64{apart, apart, 0, 0})}, graphs.Of([]int{2, 2}, ones(4)))
					if err != nil {
						return err.Error()
					}
					for _, y := range got.Data {
						// an exponential, a sum and a logarithm, and whatever is subtracted first
						if !(math.Abs(y+math.Ln2) <= 8*0x1p-53*(1+apart)) {
							return fmt.Sprintf("y is %v, want −ln 2 everywhere", got.Data)
						}
					}
					return ""
				})
			}
		}},
		{name: "SoftMax", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(func(x *G.Node) (*G.Node, error) { return G.SoftMax(x) })},
		{name: "SoftMax", use: "beside LogSoftMax of the same x", known: "O3", search: one("x [0 0]", func() string {
			_, in := graphs.Leaves(graphs.Zeros(1, 2))
			p := must(G.SoftMax(in[0]))
			l := must(G.LogSoftMax(in[0]))
			if p == l {
				return "the two are one node"
			}
			return ""
		})},
		{name: "SoftMax", use: "read beside its Log", known: "O4", search: one("x [0 0]", func() string {
			g, in := graphs.Leaves(graphs.Zeros(1, 2))
			p := must(G.SoftMax(in[0]))
			var read G.Value
			G.Read(p, &read)
			must(G.Log(p))
			run(g)
			got := must(values.Floats(read))
			return differs("softmax", got, []float64{0.5, 0.5})
		})},
		{name: "SoftMax", use: "−mean(log(softmax(x)·t)), the loss of examples/convnet", known: "O6", search: one("x [0 0], targets [1 0] and [0 1]", func() string {
			var grads [2][]float64
			for k := range grads {
				t := []float64{1. / 1024, 1. / 1024}
				t[k] = 1
				_, dx, err := graphs.Run(func(in []*G.Node) (*G.Node, error) {
					p, err := G.SoftMax(in[0])
					if err != nil {
						return nil, err
					}
					if p, err = G.HadamardProd(p, in[1]); err != nil {
						return nil, err
					}
					if p, err = G.Log(p); err != nil {
						return nil, err
					}
					if p, err = G.Mean(p); err != nil {
						return nil, err
					}
					return G.Neg(p)
				}, []graphs.Array{graphs.Of([]int{1, 2}, []float64{0, 0}), graphs.Of([]int{1, 2}, t)}, graphs.Of(nil, []float64{1}))
				if err != nil {
					return err.Error()
				}
				grads[k] = dx[0].Data
			}
			if fmt.Sprint(grads[0]) == fmt.Sprint(grads[1]) {
				return fmt.Sprintf("dx is %v for both targets: it does not depend on the labels", grads[0])
			}
			return ""
		})},
		{name: "Dropout", use: "its gradient", known: "O7", search: func(try try) {
			for _, p := range []float64{0.5, 0.25, 0.75} {
				try(fmt.Sprintf("p %v", p), func() string {
					n := 64
					y, dx, err := graphs.Run(func(in []*G.Node) (*G.Node, error) { return G.Dropout(in[0], p) }, []graphs.Array{graphs.Of([]int{n}, ones(n))}, graphs.Of([]int{n}, ones(n)))
					if err != nil {
						return err.Error()
					}
					for i, y := range y.Data { // linear and diagonal: y/x = dx/dy
						if !(math.Abs(dx[0].Data[i]-y) <= 4*0x1p-53*math.Abs(y)) {
							return fmt.Sprintf("x[i] = dy[i] = 1 gives y[i] = %v and dx[i] = %v, want the same", y, dx[0].Data[i])
						}
					}
					return ""
				})
			}
		}},
		{name: "Dropout", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(func(x *G.Node) (*G.Node, error) { return G.Dropout(x, 0.5) })},
		{name: "Dropout", use: "two of one input with other probabilities", known: "O7", search: one("p 0.25 and 0.75", func() string {
			_, in := graphs.Leaves(graphs.Zeros(2))
			a := must(G.Dropout(in[0], 0.25))
			b := must(G.Dropout(in[0], 0.75))
			if a == b {
				return "the two are one node"
			}
			return ""
		})},
		{name: "Dropout", use: "into memory at hand, by UsePreallocDo", known: "O7", mortal: true, search: one("x [1], p 0.5", func() string {
			_, in := graphs.Leaves(graphs.Of([]int{1}, ones(1)))
			y := must(G.Dropout(in[0], 0.5))
			op, ok := y.Op().(G.UsePreallocDoer)
			if !ok {
				return ""
			}
			v := must(op.UsePreallocDo(graphs.Zeros(1).Value(tensor.Float64), in[0].Value()))
			if got, err := values.Floats(v); err != nil || got[0] != 0 && got[0] != 2 {
				return fmt.Sprintf("y is %v (%v), want 0 or 2", got, err)
			}
			return ""
		})},
		{name: "Dropout", use: "in evaluation, then + 1: is x left alone", known: "O7", search: leftAlone(func(x *G.Node) (*G.Node, error) { return G.Dropout(x, 0.5) }, G.EvalMode())},
		{name: "Reshape", use: "then + 1: is x left alone", known: "O9", search: leftAlone(func(x *G.Node) (*G.Node, error) { return G.Reshape(x, tensor.Shape{2}) })},
		{name: "Reshape", use: "under LispMachine, x with a second consumer", known: "C2", search: func(try try) {
			for n := 1; n <= 4; n++ {
				try(fmt.Sprintf("x [%d 1]", n), func() string {
					s := use{[][]int{{n, 1}}, true, func(in []*G.Node) (*G.Node, error) { return G.Reshape(in[0], tensor.Shape{n}) }, reference.Copy()}
					return blamed(s, underLisp...)
				})
			}
		}},
		{name: "Mean", use: "over one axis of four", known: "O8", mortal: true, search: func(try try) {
			for _, shape := range shapesOf(4, 3) {
				for axis := range 4 {
					try(fmt.Sprintf("x %v, axis %d", shape, axis), func() string { return blamed(meanUse(shape, axis), underTape...) })
				}
			}
		}},
		{name: "Mean", use: "over the rows and columns of images", known: "O8", mortal: true, search: func(try try) {
			for _, shape := range shapesOf(4, 3) {
				if shape[0] > 1 && shape[1] > 1 && shape[2] > 1 && shape[3] > 1 {
					try(fmt.Sprintf("x %v, axes 2 and 3", shape), func() string { return blamed(meanUse(shape, 2, 3), underTape...) })
				}
			}
		}},
		{name: "Grad", use: "of a Grad", known: "M1", search: one("Σ x³, x [1]", func() string {
			g, in := graphs.Leaves(graphs.Of([]int{1}, ones(1)))
			cube := G.Must(G.HadamardProd(G.Must(G.Square(in[0])), in[0]))
			first := must(G.Grad(G.Must(G.Sum(cube)), in[0]))
			second := must(G.Grad(G.Must(G.Sum(first[0])), in[0]))
			run(g)
			got := must(values.Floats(second[0].Value()))
			return differs("d²/dx²", got, []float64{6})
		})},
		{name: "Grad", use: "of a loss, and then of the loss with a penalty on the same weights", known: "M1", search: one("Σ w², and then Σ w² + Σ w⁴, w [1]", func() string {
			g, in := graphs.Leaves(graphs.Ones(1))
			square := G.Must(G.Square(in[0]))
			loss := G.Must(G.Sum(square))
			must(G.Grad(loss, in[0]))
			penalty := G.Must(G.Sum(G.Must(G.Square(square))))
			dw := must(G.Grad(G.Must(G.Add(loss, penalty)), in[0]))
			run(g)
			got := must(values.Floats(dw[0].Value()))
			return differs("dw", got, []float64{6})
		})},
		{name: "BroadcastAdd", use: "its gradient by what is broadcast over axis 2 of four", known: "O8", search: func(try try) {
			for _, shape := range shapesOf(4, 3) {
				// there is nothing to broadcast, or what is broadcast is one element
				if shape[2] < 2 || len(graphs.Zeros(shape...).Data) == shape[2] {
					continue
				}
				try(fmt.Sprintf("x %v, b [%d %d 1 %d]", shape, shape[0], shape[1], shape[3]), func() string {
					return blamedFor(verify.Case{
						Build:  func(in []*G.Node) (*G.Node, error) { return G.BroadcastAdd(in[0], in[1], nil, []byte{2}) },
						Inputs: []verify.Input{verify.Integers("x", 4, shape...), verify.Integers("b", 4, shape[0], shape[1], 1, shape[3])},
					}, verify.ByDifferences)
				})
			}
		}},
		{name: "Mul", use: "of slices of matrices", known: "found here", mortal: true, search: mulOf(verify.BySlices)},
		{name: "Mul", use: "of column-major matrices", known: "found here", mortal: true, search: mulOf(verify.ByColumnMajor)},
		{name: "Mul", use: "of lazy transposes of matrices", mortal: true, search: mulOf(verify.ByTransposes)},
		{name: "Conv2d, Reshape, BroadcastAdd", use: "a convolution with a bias", search: overFamily("Conv2D")},
		{name: "Mul, Transpose, BroadcastAdd", use: "a fully connected layer", search: overFamily("Linear")},
		{name: "Sub, Square, Mean", use: "a squared error", search: overFamily("MSE")},
		{name: "Log, SoftMax, HadamardProd, Sum", use: "a cross-entropy with labels", search: overFamily("CrossEntropy")},
	}
}

func rectifyAt(x, y, dx float64) func(try try) {
	return func(try try) {
		try(fmt.Sprintf("x [%v], dy [1]", x), func() string {
			return at(func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) }, []graphs.Array{graphs.Of([]int{1}, []float64{x})}, graphs.Of([]int{1}, []float64{1}), []float64{y}, []float64{dx})
		})
	}
}

func softmaxUse(n, m int) use {
	return use{[][]int{{n, m}}, false, func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) }, reference.Softmax(n)}
}

// meanUse is G.Mean along some axes, in ascending order.
func meanUse(shape []int, axes ...int) use {
	return use{[][]int{shape}, false, func(in []*G.Node) (*G.Node, error) { return G.Mean(in[0], axes...) }, reference.Mean(axes...)}
}
