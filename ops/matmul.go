package ops

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// MatMul returns the node y of the matrix products of a's and b's last two axes:
//
//	y[…,i,j] = Σ_k a[…,i,k]·b[…,k,j]
//
// Shapes: a …×M×K, b …×K×N, y …×M×N. The axes in front are a batch. It is repeated where one
// operand has 1 or none, as in Add. A vector a is a row and a vector b a column, and y lacks that
// axis: two vectors give a scalar. Linear is the product with a transposed b and a bias.
//
// Derivatives: da = dy·bᵀ and db = aᵀ·dy, summed over the batch where an operand was repeated.
//
// NaN and infinities propagate to every sum with a product that contains them; 0·∞ is NaN.
//
// MatMul returns an error if a or b is not a float node of rank 1 or more, or the shapes do not
// match.
func MatMul(a, b *G.Node) (*G.Node, error) {
	const name = "MatMul"
	if err := check(name, float("a", -1, a), float("b", -1, b)); err != nil {
		return nil, err
	}
	row, column := a.Dims() == 1, b.Dims() == 1
	if !row && !column {
		return Apply(matProduct{}, a, b)
	}
	var t Try
	if row {
		a = t.Do(Unsqueeze(a, 0))
	}
	if column {
		b = t.Do(Unsqueeze(b, 1))
	}
	y := t.Do(Apply(matProduct{}, a, b))
	to := y.Shape().Clone()
	if column {
		to = to[:len(to)-1]
	}
	if row {
		at := len(to) - 2
		if column {
			at++
		}
		to = slices.Delete(to, at, at+1)
	}
	y = t.Do(Reshape(y, to...))
	return y, t.Err()
}

// matProduct is the product of a or, where TransA is set, aᵀ, with b or bᵀ.
type matProduct struct{ TransA, TransB bool }

func (o matProduct) Name(int) (string, []string) { return "MatMul", []string{"a", "b"} }

// sides are the lengths of a product and its batch.
func (o matProduct) sides(a, b tensor.Shape) (batch tensor.Shape, m, n, k int, err error) {
	if len(a) < 2 || len(b) < 2 {
		return nil, 0, 0, 0, errors.Errorf("a is %v and b %v, want rank 2 or more", a, b)
	}
	m, k = a[len(a)-2], a[len(a)-1]
	k2, n := b[len(b)-2], b[len(b)-1]
	if o.TransA {
		m, k = k, m
	}
	if o.TransB {
		k2, n = n, k2
	}
	if k != k2 {
		return nil, 0, 0, 0, errors.Errorf("a has %d columns and b %d rows, want as many: a is %v, b is %v", k, k2, a, b)
	}
	batch, err = binaryOp{}.Infer([]tensor.Shape{a[:len(a)-2], b[:len(b)-2]})
	return batch, m, n, k, errors.Wrapf(err, "the batch of a, %v, and b, %v", a, b)
}

func (o matProduct) Infer(in []tensor.Shape) (tensor.Shape, error) {
	batch, m, n, _, err := o.sides(in[0], in[1])
	if err != nil {
		return nil, err
	}
	y := append(batch.Clone(), m, n)
	return y, countable(y)
}

func (o matProduct) MACs(in []tensor.Shape) int64 {
	batch, m, n, k, err := o.sides(in[0], in[1])
	if err != nil {
		return 0
	}
	return int64(volume(batch)) * int64(m) * int64(n) * int64(k)
}

func (o matProduct) Compute(c *Call) error {
	return ByType(o, c, matProducts[float32], matProducts[float64])
}

func matProducts[T kernel.Float](o matProduct, c *Call) error {
	a, b, y := In[T](c, 0), In[T](c, 1), Out[T](c)
	batch, m, n, k, err := o.sides(c.Shape(0), c.Shape(1))
	if err != nil || len(y) == 0 {
		return err
	}
	// Walk the batch: a walk's last axis is a row of its own.
	front := func(s tensor.Shape) tensor.Shape { return append(s[:len(s)-2:len(s)-2], 1) }
	w := newWalk(append(batch.Clone(), 1), front(c.Shape(0)), front(c.Shape(1)))
	last := len(w.sides) - 1
	const few = 64      // elements, to which the place of a product would be much to note
	var places [][3]int // in y, a and b
	w.rows(func(iy, ia, ib int) {
		for i := range w.sides[last] {
			iy, ia, ib := iy+i, ia+i*w.a[last], ib+i*w.b[last]
			if m*n < few {
				kernel.MatMul(y[iy*m*n:][:m*n], a[ia*m*k:][:m*k], b[ib*k*n:][:k*n], m, n, k, o.TransA, o.TransB, false)
				continue
			}
			places = append(places, [3]int{iy, ia, ib})
		}
	})
	kernel.MatMuls(len(places), func(i int) (_, _, _ []T) {
		p := places[i]
		return y[p[0]*m*n:][:m*n], a[p[1]*m*k:][:m*k], b[p[2]*k*n:][:k*n]
	}, m, n, k, o.TransA, o.TransB)
	return nil
}

func (o matProduct) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	var t Try
	var da, db *G.Node
	if o.TransA {
		da = t.Do(Apply(matProduct{o.TransB, true}, in[1], dy))
	} else {
		da = t.Do(Apply(matProduct{false, !o.TransB}, dy, in[1]))
	}
	if o.TransB {
		db = t.Do(Apply(matProduct{true, o.TransA}, dy, in[0]))
	} else {
		db = t.Do(Apply(matProduct{!o.TransA, false}, in[0], dy))
	}
	if t.Err() != nil {
		return nil, t.Err()
	}
	return []*G.Node{t.Do(sumLike(da, in[0].Shape())), t.Do(sumLike(db, in[1].Shape()))}, t.Err()
}

func init() {
	opset.Register(opset.Entry{Name: "MatMul", Draw: func(r *rand.Rand) opset.Case {
		shapes := [][2][]int{{{2, 3}, {3, 4}}, {{2, 2, 3}, {2, 3, 2}}, {{3, 1, 2, 3}, {2, 3, 2}}, {{2, 3}, {4, 3, 2}}}[r.IntN(4)]
		a, b := shapes[0], shapes[1]
		return opset.Case{
			Params: fmt.Sprint(a, b),
			Inputs: []opset.Input{opset.Normal("a", a...), opset.Normal("b", b...)},
			Build:  func(in []*G.Node) (*G.Node, error) { return MatMul(in[0], in[1]) },
			Terms:  3,
			Want: func(in [][]float64) []float64 {
				batch := []int{1, 1}
				for k := range 2 { // the batch axes, from the last
					for _, s := range [][]int{a, b} {
						if i := len(s) - 3 - k; i >= 0 {
							batch[1-k] = max(batch[1-k], s[i])
						}
					}
				}
				m, n, depth := a[len(a)-2], b[len(b)-1], a[len(a)-1]
				of := func(s []int, i, j int) int { // the number of a matrix in its operand
					at := 0
					for k, index := range []int{i, j} {
						if axis := len(s) - 4 + k; axis >= 0 {
							at = at*s[axis] + index%s[axis]
						}
					}
					return at
				}
				var y []float64
				for i := range batch[0] {
					for j := range batch[1] {
						for p := range m {
							for q := range n {
								sum := 0.0
								for k := range depth {
									sum += in[0][(of(a, i, j)*m+p)*depth+k] * in[1][(of(b, i, j)*depth+k)*n+q]
								}
								y = append(y, sum)
							}
						}
					}
				}
				return y
			},
			PyTorch: "torch.matmul(a, b)",
		}
	}})
}

func init() {
	opset.Timed("MatMul", func() []opset.Case {
		var all []opset.Case
		for _, s := range [][2][]int{{{512, 512}, {512, 512}}, {{16, 128, 64}, {16, 64, 128}}} {
			all = append(all, opset.Call("", "torch.matmul(a, b)", func(in []*G.Node) (*G.Node, error) {
				return MatMul(in[0], in[1])
			}, opset.Normal("a", s[0]...), opset.Normal("b", s[1]...)))
		}
		return all
	})
}
