package vm_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// block is what networks are made of: convolutions of every kind, sums, maps and a pooling, between
// which images have their channels last where the machine has kernels for that.
func block(x *G.Node, leaf func(shape ...int) *G.Node) (all G.Nodes) {
	conv := func(x *G.Node, filters, side, stride, groups int) *G.Node {
		w := leaf(filters, x.Shape()[1]/groups, side, side)
		y := G.Must(ops.Conv2D(x, w, leaf(filters), ops.ConvParams{Stride: ops.Both(stride), Pad: ops.Around(side / 2), Groups: groups}))
		all = append(all, y)
		return y
	}
	then := func(y *G.Node, err error) *G.Node {
		all = append(all, G.Must(y, err))
		return y
	}
	stem := then(ops.ReLU(conv(x, 32, 3, 2, 1)))
	y := then(ops.MaxPool2D(stem, ops.PoolParams{Window: ops.Both(3), Stride: ops.Both(2), Pad: ops.Around(1)}))
	z := then(ops.ReLU6(conv(conv(y, 32, 1, 1, 1), 32, 3, 1, 32)))
	y = then(ops.ReLU(then(ops.Add(conv(z, 32, 3, 1, 1), y))))
	y = then(ops.Mul(conv(y, 24, 3, 2, 1), conv(conv(y, 40, 1, 1, 1), 24, 1, 2, 1)))
	y = conv(conv(y, 3, 1, 1, 1), 32, 1, 1, 1) // 3 filters fill no vector
	return append(all, G.Must(ops.Reshape(y, y.Shape().TotalSize())))
}

// Where nobody sees the images between convolutions their order may differ, and the numbers do not:
// they are integers, whose sums are exact.
func TestOrderOfImages(t *testing.T) {
	const seed = 17
	for _, of := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		r := rand.New(rand.NewPCG(seed, 0))
		g := G.NewGraph()
		leaf := func(shape ...int) *G.Node {
			v := tensor.New(tensor.WithShape(shape...), tensor.Of(of))
			for i := range v.Size() {
				small := float64(r.IntN(64) / 60 * (1 - 2*r.IntN(2)))
				if len(shape) == 1 {
					small = float64(r.IntN(3))
				}
				if of == tensor.Float32 {
					v.Set(i, float32(small))
				} else {
					v.Set(i, small)
				}
			}
			return G.NodeFromAny(g, v, G.WithName("leaf"))
		}
		x := leaf(2, 3, 17, 22)
		nodes := block(x, leaf)
		y := nodes[len(nodes)-1]
		run := func(outputs ...*G.Node) any {
			m, err := vm.New(g, outputs...)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for range 2 {
				if err := m.RunAll(); err != nil {
					t.Fatal(err)
				}
			}
			v := y.Value().(*tensor.Dense).Clone().(*tensor.Dense)
			return v.Data()
		}
		hidden, seen := run(y), run(nodes...)
		equal, zeros := false, 0
		switch h := hidden.(type) {
		case []float32:
			equal, zeros = slices.Equal(h, seen.([]float32)), count(h)
		case []float64:
			equal, zeros = slices.Equal(h, seen.([]float64)), count(h)
		}
		if !equal {
			t.Errorf("seed %d, %v: other numbers where every image is an output", seed, of)
		}
		if n := y.Shape().TotalSize(); zeros > n*9/10 {
			t.Errorf("seed %d, %v: %d of %d numbers are 0", seed, of, zeros, n)
		}
	}
}

func count[T comparable](v []T) (zeros int) {
	var zero T
	for _, x := range v {
		if x == zero {
			zeros++
		}
	}
	return zeros
}

// Ops say in which orders they can read and write images.
func TestChannelsLastAreRefusedByWhatReadsPlanes(t *testing.T) {
	g := G.NewGraph()
	x := G.NewTensor(g, tensor.Float32, 4, G.WithShape(1, 16, 5, 6), G.WithName("x"))
	w := G.NewTensor(g, tensor.Float32, 4, G.WithShape(32, 16, 1, 1), G.WithName("w"))
	y := G.Must(ops.Conv2D(x, w, nil, ops.ConvParams{}))
	sum := G.Must(ops.Add(y, y))
	type arranged interface {
		ChannelsLast(of tensor.Dtype, in []bool, out bool) (G.Op, bool)
	}
	for _, c := range []struct {
		of   *G.Node
		in   []bool
		out  bool
		want bool
	}{
		{sum, []bool{true, true}, true, true},
		{sum, []bool{true, false}, true, false},
		{sum, []bool{true, true}, false, false},
		{y, []bool{true, true}, true, false}, // filters have no pixels
	} {
		if _, ok := c.of.Op().(arranged).ChannelsLast(tensor.Float32, c.in, c.out); ok != c.want {
			t.Errorf("%v with operands %v and result %v: %v, want %v", c.of.Op(), c.in, c.out, ok, c.want)
		}
	}
}
