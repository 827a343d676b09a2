package ops_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// nodes makes inputs without values for calls that fail before any is needed.
type nodes struct{ g *G.ExprGraph }

func (n nodes) of(dtype tensor.Dtype, shape ...int) *G.Node {
	name := fmt.Sprint(dtype, shape, len(n.g.AllNodes()))
	if len(shape) == 0 {
		return G.NewScalar(n.g, dtype, G.WithName(name))
	}
	return G.NewTensor(n.g, dtype, len(shape), G.WithShape(shape...), G.WithName(name))
}

func (n nodes) floats(shape ...int) *G.Node { return n.of(tensor.Float64, shape...) }

// A wrongCall is a call that must fail, and the whole of the error it must fail with.
type wrongCall struct {
	name string
	call func(n nodes) error
	want string
}

func only(_ *G.Node, err error) error { return err }

func wrongCalls() []wrongCall {
	const huge = math.MaxInt
	conv := func(x, w []int, p ops.ConvParams) func(n nodes) error {
		return func(n nodes) error { return only(ops.Conv2D(n.floats(x...), n.floats(w...), nil, p)) }
	}
	x, w := []int{2, 3, 7, 8}, []int{4, 3, 3, 2}
	pool := func(p ops.PoolParams) func(n nodes) error {
		return func(n nodes) error { return only(ops.MaxPool2D(n.floats(x...), p)) }
	}
	two := ops.Both(2)
	return []wrongCall{
		{"x is nil", func(n nodes) error { return only(ops.Conv2D(nil, n.floats(w...), nil, ops.ConvParams{})) }, `ops: Conv2D: x is nil, want a node`},
		{"w is nil", func(n nodes) error { return only(ops.Conv2D(n.floats(x...), nil, nil, ops.ConvParams{})) }, `ops: Conv2D: w is nil, want a node`},
		{"x is in no graph", func(n nodes) error { return only(ops.Conv2D(new(G.Node), n.floats(w...), nil, ops.ConvParams{})) }, `ops: Conv2D: x is in no graph`},
		{"w is in another graph", func(n nodes) error {
			return only(ops.Conv2D(n.floats(x...), nodes{G.NewGraph()}.floats(w...), nil, ops.ConvParams{}))
		}, `ops: Conv2D: w is in another graph than x`},
		{"b is in another graph", func(n nodes) error {
			return only(ops.Conv2D(n.floats(x...), n.floats(w...), nodes{G.NewGraph()}.floats(4), ops.ConvParams{}))
		}, `ops: Conv2D: b is in another graph than x`},
		{"x has rank 3", conv([]int{3, 7, 8}, w, ops.ConvParams{}), `ops: Conv2D: x has shape (3, 7, 8), of rank 3, want rank 4`},
		{"w has rank 2", conv(x, []int{3, 2}, ops.ConvParams{}), `ops: Conv2D: w has shape (3, 2), of rank 2, want rank 4`},
		{"x is a scalar", conv(nil, w, ops.ConvParams{}), `ops: Conv2D: x has shape (), of rank 0, want rank 4`},
		{"x has no shape", func(n nodes) error {
			return only(ops.Conv2D(G.NewTensor(n.g, tensor.Float64, 4, G.WithName("x")), n.floats(w...), nil, ops.ConvParams{}))
		}, `ops: Conv2D: x has the shape () but rank 4: want a node whose shape is known`},
		{"no channels", conv([]int{2, 0, 7, 8}, []int{4, 0, 3, 2}, ops.ConvParams{}), `ops: Conv2D: x is (2, 0, 7, 8), w is (4, 0, 3, 2): channels is 0, want 1 to 536870911`},
		{"no filters", conv(x, []int{0, 3, 3, 2}, ops.ConvParams{}), `ops: Conv2D: x is (2, 3, 7, 8), w is (0, 3, 3, 2): filters is 0, want 1 to 536870911`},
		{"x is integers", func(n nodes) error {
			return only(ops.Conv2D(n.of(tensor.Int, x...), n.floats(w...), nil, ops.ConvParams{}))
		}, `ops: Conv2D: x has elements of type int, want float32 or float64`},
		{"float types are mixed", func(n nodes) error {
			return only(ops.Conv2D(n.of(tensor.Float32, x...), n.floats(w...), nil, ops.ConvParams{}))
		}, `ops: Conv2D: w has elements of type float64, want float32 like x`},
		{"b has the other float type", func(n nodes) error {
			return only(ops.Conv2D(n.floats(x...), n.floats(w...), n.of(tensor.Float32, 4), ops.ConvParams{}))
		}, `ops: Conv2D: b has elements of type float32, want float64 like x`},
		{"channels differ", conv(x, []int{4, 1, 3, 2}, ops.ConvParams{}), `ops: Conv2D: x has 3 channels and w 1, want as many: x is (2, 3, 7, 8), w is (4, 1, 3, 2)`},
		{"channels of a group differ", conv([]int{2, 4, 7, 8}, []int{4, 4, 3, 2}, ops.ConvParams{Groups: 2}), `ops: Conv2D: x has 4 channels in 2 groups and w 4, want 2: x is (2, 4, 7, 8), w is (4, 4, 3, 2)`},
		{"groups do not divide the channels", conv(x, w, ops.ConvParams{Groups: 2}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): 2 groups do not divide the channels, 3, and the filters, 4`},
		{"groups do not divide the filters", conv(x, []int{4, 1, 3, 2}, ops.ConvParams{Groups: 3}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 1, 3, 2): 3 groups do not divide the channels, 3, and the filters, 4`},
		{"negative groups", conv(x, w, ops.ConvParams{Groups: -1}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): groups is -1, want 1 to 536870911`},
		{"very many groups", conv(x, w, ops.ConvParams{Groups: huge}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): groups is 9223372036854775807, want 1 to 536870911`},
		{"b is too long", func(n nodes) error {
			return only(ops.Conv2D(n.floats(x...), n.floats(w...), n.floats(5), ops.ConvParams{}))
		}, `ops: Conv2D: b has shape (5), want (4)`},
		{"b has rank 2", func(n nodes) error {
			return only(ops.Conv2D(n.floats(x...), n.floats(w...), n.floats(1, 4), ops.ConvParams{}))
		}, `ops: Conv2D: b has shape (1, 4), of rank 2, want rank 1`},
		{"a zero stride", conv(x, w, ops.ConvParams{Stride: ops.Size{H: 0, W: 1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): stride of the height is 0, want 1 to 536870911`},
		{"a negative stride", conv(x, w, ops.ConvParams{Stride: ops.Size{H: 1, W: -1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): stride of the width is -1, want 1 to 536870911`},
		{"an immense stride", conv(x, w, ops.ConvParams{Stride: ops.Size{H: huge, W: 1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): stride of the height is 9223372036854775807, want 1 to 536870911`},
		{"a zero dilation", conv(x, w, ops.ConvParams{Dilation: ops.Size{H: 1, W: 0}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): dilation of the width is 0, want 1 to 536870911`},
		{"a negative dilation", conv(x, w, ops.ConvParams{Dilation: ops.Size{H: -2, W: 1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): dilation of the height is -2, want 1 to 536870911`},
		{"an immense dilation", conv(x, w, ops.ConvParams{Dilation: ops.Size{H: huge, W: 1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): dilation of the height is 9223372036854775807, want 1 to 536870911`},
		{"a dilation whose extent overflows 32 bits", conv(x, w, ops.ConvParams{Dilation: ops.Size{H: math.MaxInt32 / 4, W: 1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): height: window 3 with dilation 536870911 spans more than 536870911`},
		{"negative padding", conv(x, w, ops.ConvParams{Pad: ops.Padding{Left: -1}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): padding before of the width is -1, want 0 to 536870911`},
		{"immense padding", conv(x, w, ops.ConvParams{Pad: ops.Padding{Bottom: huge}}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): padding after of the height is 9223372036854775807, want 0 to 536870911`},
		{"padding whose sum overflows", conv(x, w, ops.ConvParams{Pad: ops.AroundHW(huge/2+1, 0)}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): padding before of the height is 4611686018427387904, want 0 to 536870911`},
		{"an output of too many elements", conv(x, w, ops.ConvParams{Pad: ops.Around(1 << 20)}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): output of shape [2 4 2097157 2097159] has more than 2147483647 elements`},
		{"a filter larger than the input", conv(x, []int{4, 3, 9, 2}, ops.ConvParams{}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 9, 2): height: a window of 9 taps with dilation 1 spans 9, want at most the padded input, 7 (0+7+0)`},
		{"a filter larger than the padded input", conv(x, []int{4, 3, 3, 2}, ops.ConvParams{Dilation: ops.Size{H: 1, W: 10}, Pad: ops.AroundHW(0, 1)}), `ops: Conv2D: x is (2, 3, 7, 8), w is (4, 3, 3, 2): width: a window of 2 taps with dilation 10 spans 11, want at most the padded input, 10 (1+8+1)`},

		{"dy of another shape", func(n nodes) error {
			return only(ops.Conv2DBackwardData(n.floats(2, 4, 5, 6), n.floats(w...), x, ops.ConvParams{}))
		}, `ops: Conv2DBackwardData: dy has shape (2, 4, 5, 6), want (2, 4, 5, 7)`},
		{"dy of a rank less", func(n nodes) error {
			return only(ops.Conv2DBackwardData(n.floats(4, 5, 7), n.floats(w...), x, ops.ConvParams{}))
		}, `ops: Conv2DBackwardData: dy has shape (4, 5, 7), of rank 3, want rank 4`},
		{"x's shape has rank 3", func(n nodes) error {
			return only(ops.Conv2DBackwardData(n.floats(2, 4, 5, 7), n.floats(w...), x[1:], ops.ConvParams{}))
		}, `ops: Conv2DBackwardData: the shape of x is (3, 7, 8), of rank 3, want rank 4`},
		{"x's shape has a zero side", func(n nodes) error {
			return only(ops.Conv2DBackwardData(n.floats(2, 4, 5, 7), n.floats(w...), tensor.Shape{2, 3, 0, 8}, ops.ConvParams{}))
		}, `ops: Conv2DBackwardData: x is (2, 3, 0, 8), w is (4, 3, 3, 2): input of the height is 0, want 1 to 536870911`},
		{"w's shape has other channels", func(n nodes) error {
			return only(ops.Conv2DBackwardFilter(n.floats(x...), n.floats(2, 4, 5, 7), tensor.Shape{4, 2, 3, 2}, ops.ConvParams{}))
		}, `ops: Conv2DBackwardFilter: x has 3 channels and w 2, want as many: x is (2, 3, 7, 8), w is (4, 2, 3, 2)`},
		{"w's shape has rank 0", func(n nodes) error {
			return only(ops.Conv2DBackwardFilter(n.floats(x...), n.floats(2, 4, 5, 7), nil, ops.ConvParams{}))
		}, `ops: Conv2DBackwardFilter: the shape of w is (), of rank 0, want rank 4`},
		{"dy of other filters", func(n nodes) error {
			return only(ops.Conv2DBackwardFilter(n.floats(x...), n.floats(2, 5, 5, 7), w, ops.ConvParams{}))
		}, `ops: Conv2DBackwardFilter: dy has shape (2, 5, 5, 7), want (2, 4, 5, 7)`},

		{"no window", pool(ops.PoolParams{}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 0×0: window of the height is 0, want 1 to 536870911`},
		{"a negative window", pool(ops.PoolParams{Window: ops.Size{H: 2, W: -2}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×-2: window of the width is -2, want 1 to 536870911`},
		{"an immense window", pool(ops.PoolParams{Window: ops.Size{H: huge, W: 2}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 9223372036854775807×2: window of the height is 9223372036854775807, want 1 to 536870911`},
		{"a window larger than the input", pool(ops.PoolParams{Window: ops.Size{H: 2, W: 9}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×9: width: a window of 9 taps with dilation 1 spans 9, want at most the padded input, 8 (0+8+0)`},
		{"a window in the padding above", pool(ops.PoolParams{Window: two, Pad: ops.Padding{Top: 2}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×2: height: window 0 lies wholly in the padding (2 before, 0 after): want at least one element of the input in every window`},
		{"a window in the padding on the right", pool(ops.PoolParams{Window: two, Pad: ops.Padding{Right: 2}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×2: width: window 4 lies wholly in the padding (0 before, 2 after): want at least one element of the input in every window`},
		{"a dilated window around the input", pool(ops.PoolParams{Window: two, Dilation: ops.Size{H: 1, W: 10}, Pad: ops.AroundHW(0, 2)}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×2: width: window 0 lies wholly in the padding (2 before, 2 after): want at least one element of the input in every window`},
		{"a zero stride of a pooling", pool(ops.PoolParams{Window: two, Stride: ops.Size{H: 2, W: 0}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×2: stride of the width is 0, want 1 to 536870911`},
		{"negative padding of a pooling", pool(ops.PoolParams{Window: two, Pad: ops.Padding{Top: -1}}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×2: padding before of the height is -1, want 0 to 536870911`},
		{"immense padding of a pooling", pool(ops.PoolParams{Window: two, Pad: ops.AroundHW(huge, 0)}), `ops: MaxPool2D: x is (2, 3, 7, 8), the window 2×2: padding before of the height is 9223372036854775807, want 0 to 536870911`},
		{"MaxPool2D of nil", func(nodes) error { return only(ops.MaxPool2D(nil, ops.PoolParams{Window: two})) }, `ops: MaxPool2D: x is nil, want a node`},
		{"MaxPool2D of rank 3", func(n nodes) error { return only(ops.MaxPool2D(n.floats(3, 7, 8), ops.PoolParams{Window: two})) }, `ops: MaxPool2D: x has shape (3, 7, 8), of rank 3, want rank 4`},
		{"AvgPool2D of rank 2", func(n nodes) error { return only(ops.AvgPool2D(n.floats(7, 8), ops.PoolParams{Window: two})) }, `ops: AvgPool2D: x has shape (7, 8), of rank 2, want rank 4`},
		{"AvgPool2D with a window too large", func(n nodes) error {
			return only(ops.AvgPool2D(n.floats(x...), ops.PoolParams{Window: ops.Both(8)}))
		}, `ops: AvgPool2D: x is (2, 3, 7, 8), the window 8×8: height: a window of 8 taps with dilation 1 spans 8, want at most the padded input, 7 (0+7+0)`},
		{"L2Pool2D of integers", func(n nodes) error { return only(ops.L2Pool2D(n.of(tensor.Int, x...), ops.PoolParams{Window: two})) }, `ops: L2Pool2D: x has elements of type int, want float32 or float64`},

		{"ReLU of nil", func(nodes) error { return only(ops.ReLU(nil)) }, `ops: ReLU: x is nil, want a node`},
		{"ReLU of integers", func(n nodes) error { return only(ops.ReLU(n.of(tensor.Int, 3))) }, `ops: ReLU: x has elements of type int, want float32 or float64`},
		{"ReLU of rank 9", func(n nodes) error { return only(ops.ReLU(n.floats(1, 1, 1, 1, 1, 1, 1, 1, 2))) }, `ops: ReLU: x has rank 9, want at most 8`},
		{"ReLU of more elements than are counted", func(n nodes) error { return only(ops.ReLU(n.floats(1<<16, 1<<15))) }, `ops: ReLU: x has shape (65536, 32768), want at most 2147483647 elements`},
		{"Flatten of a size that overflows", func(n nodes) error { return only(ops.Flatten(n.floats(1<<30, 1<<30, 16))) }, `ops: Flatten: x has shape (1073741824, 1073741824, 16), want at most 2147483647 elements`},
		{"Flatten of nil", func(nodes) error { return only(ops.Flatten(nil)) }, `ops: Flatten: x is nil, want a node`},
		{"Flatten of a scalar", func(n nodes) error { return only(ops.Flatten(n.floats())) }, `ops: Flatten: x is a scalar, want rank 1 or more`},
		{"Linear of nil", func(n nodes) error { return only(ops.Linear(nil, n.floats(3, 4), nil)) }, `ops: Linear: x is nil, want a node`},
		{"Linear of rank 4", func(n nodes) error { return only(ops.Linear(n.floats(x...), n.floats(3, 4), nil)) }, `ops: Linear: x has 8 columns and w 4, want as many: x is (2, 3, 7, 8), w is (3, 4)`},
		{"Linear with w the other way", func(n nodes) error { return only(ops.Linear(n.floats(2, 3), n.floats(3, 4), nil)) }, `ops: Linear: x has 3 columns and w 4, want as many: x is (2, 3), w is (3, 4)`},
		{"Linear with an output of too many elements", func(n nodes) error { return only(ops.Linear(n.floats(1<<20, 1), n.floats(1<<20, 1), nil)) }, `ops: Linear: y has shape (1048576, 1048576), want at most 2147483647 elements`},
		{"Linear with a bias too short", func(n nodes) error { return only(ops.Linear(n.floats(2, 3), n.floats(4, 3), n.floats(3))) }, `ops: Linear: b has shape (3), want (4)`},
		{"Linear with float types mixed", func(n nodes) error { return only(ops.Linear(n.floats(2, 3), n.of(tensor.Float32, 4, 3), nil)) }, `ops: Linear: w has elements of type float32, want float64 like x`},
		{"MSE of nil", func(n nodes) error { return only(ops.MSE(n.floats(2), nil, ops.ReductionMean)) }, `ops: MSE: t is nil, want a node`},
		{"MSE of two shapes", func(n nodes) error { return only(ops.MSE(n.floats(2, 3), n.floats(3, 2), ops.ReductionMean)) }, `ops: MSE: y has shape (2, 3) and t (3, 2), want the same`},
		{"MSE of a column and a vector", func(n nodes) error { return only(ops.MSE(n.floats(3, 1), n.floats(3), ops.ReductionMean)) }, `ops: MSE: y has shape (3, 1) and t (3), want the same`},
		{"padding that is same and has sides", conv(x, w, func() ops.ConvParams { p := ops.SameUpper(); p.Left = 1; return ops.ConvParams{Pad: p} }()), `ops: Conv2D: the padding is same and has sides (0, 0, 1, 0), want one of both`},
		{"output padding of a convolution", conv(x, w, ops.ConvParams{OutputPad: ops.Both(1)}), `ops: Conv2D: the output padding is 1×1, want none: it belongs to a transposed convolution`},
		{"a divisor of MaxPool2D", pool(ops.PoolParams{Window: two, Divisor: 3}), `ops: MaxPool2D: Divisor is 3, want 0: it belongs to AvgPool2D`},
		{"padding left out of MaxPool2D", pool(ops.PoolParams{Window: two, ExcludePadding: true}), `ops: MaxPool2D: ExcludePadding is set, want it unset: it belongs to AvgPool2D`},
		{"a norm of MaxPool2D", pool(ops.PoolParams{Window: two, Norm: 2}), `ops: MaxPool2D: Norm is 2, want 0: it belongs to LpPool2D`},
		{"ArticleError of two shapes", func(n nodes) error { return only(ops.ArticleError(n.floats(2, 3), n.floats(3, 2))) }, `ops: ArticleError: y has shape (2, 3) and t (3, 2), want the same`},
		{"MSE with an unknown reduction", func(n nodes) error { return only(ops.MSE(n.floats(2), n.floats(2), 7)) }, `ops: MSE: the reduction is 7, want ReductionMean, ReductionSum or ReductionNone`},
		{"Softmax along no axis", func(n nodes) error { return only(ops.Softmax(n.floats(3), 1)) }, `ops: Softmax: the axis is 1, want -1 to 0`},
		{"labels are floats", func(n nodes) error {
			return only(ops.CrossEntropy(n.floats(2, 3), n.floats(2), ops.CrossEntropyParams{}))
		}, `ops: CrossEntropy: labels has elements of type float64, want int, int32 or int64; probabilities are of shape (2, 3)`},
		{"labels are of 32-bit floats", func(n nodes) error {
			return only(ops.CrossEntropy(n.floats(2, 3), n.of(tensor.Float32, 2), ops.CrossEntropyParams{}))
		}, `ops: CrossEntropy: labels has elements of type float32, want int, int32 or int64; probabilities are of shape (2, 3)`},
		{"labels are one-hot rows", func(n nodes) error {
			return only(ops.CrossEntropy(n.floats(2, 3), n.of(tensor.Int, 2, 3), ops.CrossEntropyParams{}))
		}, `ops: CrossEntropy: labels has shape (2, 3), want (2): logits is (2, 3)`},
		{"labels are too many", func(n nodes) error {
			return only(ops.CrossEntropy(n.floats(2, 3), n.of(tensor.Int, 3), ops.CrossEntropyParams{}))
		}, `ops: CrossEntropy: labels has shape (3), want (2): logits is (2, 3)`},
		{"labels are nil", func(n nodes) error { return only(ops.CrossEntropy(n.floats(2, 3), nil, ops.CrossEntropyParams{})) }, `ops: CrossEntropy: labels is nil, want a node`},
		{"cross-entropy with an unknown reduction", func(n nodes) error {
			return only(ops.CrossEntropy(n.floats(2, 3), n.of(tensor.Int, 2), ops.CrossEntropyParams{Reduction: -1}))
		}, `ops: CrossEntropy: the reduction is -1, want ReductionMean, ReductionSum or ReductionNone`},

		{"a random source of no graph", func(nodes) error { _, err := ops.NewRandom(nil, 1); return err }, `ops: NewRandom: the graph is nil`},
		{"two random sources of one seed", func(n nodes) error {
			if _, err := ops.NewRandom(n.g, 1); err != nil {
				return err
			}
			_, err := ops.NewRandom(n.g, 1)
			return err
		}, `ops: NewRandom: the graph has a source with the seed 1 already: their masks would be the same`},
		{"Dropout of a wrong probability without a source", func(n nodes) error { return only(ops.Dropout(n.floats(2), 1, nil)) }, `ops: Dropout: p is 1, want a probability in [0, 1)`},
		{"Dropout with an empty source", func(n nodes) error { return only(ops.Dropout(n.floats(2), 0.5, new(ops.Random))) }, `ops: Dropout: the source of masks is empty, want one of NewRandom, or nil`},
		{"Dropout of nil", dropout(nil, 0.5), `ops: Dropout: x is nil, want a node`},
		{"Dropout of everything", dropout([]int{2}, 1), `ops: Dropout: p is 1, want a probability in [0, 1)`},
		{"Dropout with a negative probability", dropout([]int{2}, -0.1), `ops: Dropout: p is -0.1, want a probability in [0, 1)`},
		{"Dropout with a NaN", dropout([]int{2}, math.NaN()), `ops: Dropout: p is NaN, want a probability in [0, 1)`},
		{"Dropout with an infinity", dropout([]int{2}, math.Inf(1)), `ops: Dropout: p is +Inf, want a probability in [0, 1)`},
		{"Dropout of another graph than its source's", func(n nodes) error {
			r, err := ops.NewRandom(G.NewGraph(), 1)
			if err != nil {
				return err
			}
			return only(ops.Dropout(n.floats(2), 0.5, r))
		}, `ops: Dropout: the source's state is in another graph than x`},

		{"Region of rank 3", func(nodes) error { _, _, err := ops.Region(x[1:], w, ops.ConvParams{}, 0, 0); return err }, `ops: Region: x is (3, 7, 8) and w is (4, 3, 3, 2), want rank 4 both`},
		{"Region of an empty image", func(nodes) error {
			_, _, err := ops.Region(tensor.Shape{2, 0, 7, 8}, w, ops.ConvParams{}, 0, 0)
			return err
		}, `ops: Region: x has 0 channels and w 3, want as many: x is (2, 0, 7, 8), w is (4, 3, 3, 2)`},
		{"Region outside the image", func(nodes) error { _, _, err := ops.Region(x, w, ops.ConvParams{}, 7, 0); return err }, `ops: Region: the pixel (7, 0) is not in x, which is (2, 3, 7, 8)`},
		{"Conv2DShape of too large a filter", func(nodes) error {
			_, err := ops.Conv2DShape(x, tensor.Shape{4, 3, 8, 2}, ops.ConvParams{})
			return err
		}, `ops: Conv2DShape: x is (2, 3, 7, 8), w is (4, 3, 8, 2): height: a window of 8 taps with dilation 1 spans 8, want at most the padded input, 7 (0+7+0)`},
		{"Conv2DShape of very many filters", func(nodes) error {
			_, err := ops.Conv2DShape(x, tensor.Shape{1 << 40, 3, 3, 2}, ops.ConvParams{})
			return err
		}, `ops: Conv2DShape: w has shape (1099511627776, 3, 3, 2), want at most 2147483647 elements`},
		{"Conv2DShape of no shape", func(nodes) error { _, err := ops.Conv2DShape(nil, w, ops.ConvParams{}); return err }, `ops: Conv2DShape: x is () and w is (4, 3, 3, 2), want rank 4 both`},
		{"Pool2DShape of rank 2", func(nodes) error { _, err := ops.Pool2DShape(x[2:], ops.PoolParams{Window: two}); return err }, `ops: Pool2DShape: x is (7, 8), want rank 4`},
		{"Pool2DShape of a negative side", func(nodes) error {
			_, err := ops.Pool2DShape(tensor.Shape{2, 3, -7, 8}, ops.PoolParams{Window: two})
			return err
		}, `ops: Pool2DShape: x has shape (2, 3, -7, 8), want no negative sides`},
	}
}

// dropout calls Dropout with a source of its graph.
func dropout(shape []int, p float64) func(n nodes) error {
	return func(n nodes) error {
		r, err := ops.NewRandom(n.g, 1)
		if err != nil {
			return err
		}
		if shape == nil {
			return only(ops.Dropout(nil, p, r))
		}
		return only(ops.Dropout(n.floats(shape...), p, r))
	}
}

// A wrong call of a constructor is an error that says op, argument, got and wanted, and leaves the
// graph as it was.
func TestWrongCalls(t *testing.T) {
	for _, c := range wrongCalls() {
		t.Run(c.name, func(t *testing.T) {
			n := nodes{G.NewGraph()}
			err := refused(func() error { return c.call(n) })
			switch {
			case err == nil:
				t.Errorf("no error, want %q", c.want)
			case err.Error() != c.want:
				t.Errorf("got  %s\nwant %s", err, c.want)
			case !strings.HasPrefix(c.want, "ops: "):
				t.Errorf("%q does not name the package", c.want)
			}
			for _, node := range n.g.AllNodes() {
				if node.Op() != nil {
					t.Errorf("the graph has got %v", node)
				}
			}
		})
	}
}

// What only a run can see is an error of the run in every machine, and names op, argument, got and
// wanted.
func TestWrongValuesAtRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []int
		want   string
	}{
		{"a label too large", []int{0, 3}, "ops: CrossEntropy: labels: element 1 is 3, want 0 to 2"},
		{"a negative label", []int{-1, 0}, "ops: CrossEntropy: labels: element 0 is -1, want 0 to 2"},
		{"an immense label", []int{1, math.MaxInt}, "ops: CrossEntropy: labels: element 1 is 9223372036854775807, want 0 to 2"},
	} {
		for _, machine := range machines {
			if machine == lisp && raceDetector {
				continue // it races with its own goroutine when an op returns an error
			}
			x := leaf(G.NewGraph(), "x", tensor.Shape{2, 3}, []float64{1, 2, 3, 4, 5, 6})
			cost := must(t)(ops.CrossEntropy(x, labels(x.Graph(), c.labels...), ops.CrossEntropyParams{}))
			err := refused(func() error {
				_, _, err := evaluate[float64](machine, cost, cost, x)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s: error %v, want one with %q", machine, c.name, err, c.want)
			}
		}
	}
}
