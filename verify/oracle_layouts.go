package verify

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The layouts: each operand in turn, inputs and cotangents, as a slice of a larger tensor, as a
// transposed view, and in column-major order. The results must be those of plain operands, but
// for rounding: a matrix product may add in another order.
const (
	BySlices      Oracle = "sliced memory"
	ByTransposes  Oracle = "transposed memory"
	ByColumnMajor Oracle = "column-major memory"
)

var (
	_ = register(oracle{name: BySlices, rank: 200, says: layoutSays(BySlices),
		judge: func(t *trial) { t.layouts(BySlices, 1, sliced) }})
	_ = register(oracle{name: ByTransposes, rank: 210, says: layoutSays(ByTransposes),
		judge: func(t *trial) { t.layouts(ByTransposes, 2, transposed) }})
	_ = register(oracle{name: ByColumnMajor, rank: 220, says: layoutSays(ByColumnMajor),
		judge: func(t *trial) { t.layouts(ByColumnMajor, 2, columnMajor) }})
)

func layoutSays(name Oracle) func(_, got, want string) string {
	return func(_, got, want string) string {
		return " is " + got + " where an operand is in " + string(name) + ", and " + want + " on plain memory"
	}
}

// An operand is an input, or the cotangent of an output.
type operand struct {
	name  string
	input int // or −1
	of    int // the output, of a cotangent
	shape tensor.Shape
	v     []float64
	typ   tensor.Dtype
}

func (t *trial) operands(d *derivation) (all []operand) {
	for i := range t.c.Inputs {
		if in := &t.c.Inputs[i]; !in.whole() {
			all = append(all, operand{in.Name, i, 0, in.Shape, t.x[i], t.of})
		}
	}
	if d != nil {
		for o, n := range d.dy {
			if n != nil {
				all = append(all, operand{"d" + d.name(o), -1, o, d.shapes[o], d.part(o, t.dy), n.Dtype()})
			}
		}
	}
	return all
}

func (t *trial) layouts(by Oracle, axes int, form func(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error)) {
	var d *derivation
	plainWorld, at, _, err := t.anew(t.of, t.x, func(_ *world, e *derivation, _ values) error { d = e; return nil })
	if err != nil {
		t.note("y", by, Fails, err)
		return
	}
	applies := false
	for _, op := range t.operands(d) {
		long := 0
		for _, s := range op.shape {
			long += min(s-1, 1)
		}
		if long < axes {
			continue
		}
		v, err := form(op.typ, op.shape, op.v)
		if err != nil { // the tensor package cannot make it
			continue
		}
		applies = true
		var e *derivation
		w, is, o, err := t.anew(t.of, t.x, func(w *world, d *derivation, at values) error {
			if e = d; op.input >= 0 {
				at[w.in[op.input]] = v
			} else {
				at[d.dy[op.of]] = v
			}
			return nil
		})
		where := op.name + " is in " + string(by) + ", and only the layout is at fault"
		if err != nil {
			if broken := (flaw{}); errors.As(err, &broken) && !t.foreign(w, is, e) {
				t.note("the layout of "+op.name, by, Fails, err)
			} else {
				t.absent("the layout of "+op.name, by, false, errors.Wrap(err, "the layout is refused"))
			}
			continue
		}
		rows := len(t.rows)
		t.alike(by, o, func(r *Row) {
			if r.Mismatch.Hint = ""; !t.steady() {
				return
			}
			r.Mismatch.Hint = where
			switch {
			case by == BySlices && math.IsNaN(float64(r.Mismatch.Got)):
				r.Mismatch.Hint += "; it reads memory outside of the slice: the strides are passed over"
			case by != BySlices && t.rowMajor(op, o):
				r.Mismatch.Hint += "; the memory is taken to be row-major: the strides are passed over"
			}
		})
		if !slices.ContainsFunc(t.rows[rows:], func(r Row) bool { return r.Verdict == Fails }) {
			continue
		}
		roots, also := plainWorld.y, w.y
		if d != nil {
			roots = append(slices.Clone(roots), grown(d.grads)...)
			also = append(slices.Clone(also), grown(e.grads)...)
		}
		if n := culprit(plainWorld, w, at, is, roots, also); n != nil && native(n.Op()) && t.blameless(w) {
			t.rows = t.rows[:rows]
			t.absent("the layout of "+op.name, by, false, errors.Errorf(
				"Gorgonia's own %v misreads %s: not the op's mistake", n.Op(), by))
		}
	}
	if !applies {
		t.note("y", by, Skipped, errors.Errorf("no operand has %d axes longer than 1", axes))
	}
}

func grown(nodes []*G.Node) (all []*G.Node) {
	for _, n := range nodes {
		if n != nil {
			all = append(all, n)
		}
	}
	return all
}

// blameless reports whether what Gorgonia's own ops do wrong is not to be blamed on the case: where
// the case is more than one of them.
func (t *trial) blameless(w *world) bool { return !t.c.Strict && w.composed() || !native(w.y[0].Op()) }

// foreign reports whether the op that stopped a run is Gorgonia's own.
func (t *trial) foreign(w *world, at values, d *derivation) bool {
	if w == nil || !t.blameless(w) {
		return false
	}
	nodes := order(w.g, w.y...)
	if d != nil {
		nodes = d.nodes
	}
	for _, n := range nodes {
		if at[n] == nil {
			return native(n.Op())
		}
	}
	return false
}

// rowMajor reports whether the outcome is what comes of an operand that has the column-major memory
// for its row-major one.
func (t *trial) rowMajor(op operand, o outcome) bool {
	_, _, raw, err := t.anew(t.of, t.x, func(w *world, d *derivation, at values) error {
		v := value(op.typ, op.shape, columns(op.shape, op.v))
		if op.input >= 0 {
			at[w.in[op.input]] = v
		} else {
			at[d.dy[op.of]] = v
		}
		return nil
	})
	if err != nil || !same(raw.y, o.y) {
		return false
	}
	for i := range o.dx {
		if !same(raw.dx[i], o.dx[i]) {
			return false
		}
	}
	return true
}

// sliced is a slice of a larger tensor whose other elements are NaN.
func sliced(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error) {
	large := shape.Clone()
	var at []tensor.Slice
	for a, s := range shape {
		if s == 1 { // the tensor package drops an axis that is sliced to one element
			at = append(at, nil)
			continue
		}
		large[a] = s + 2
		at = append(at, G.S(1, s+1))
	}
	f := make([]float64, large.TotalSize())
	for i := range f {
		f[i] = math.NaN()
	}
	for i, x := range v {
		k := 0
		for a, e := range multiIndex(i, shape) {
			if shape[a] > 1 {
				e++
			}
			k = k*large[a] + e
		}
		f[k] = x
	}
	t, err := value(of, large, f).(*tensor.Dense).Slice(at...)
	if err != nil {
		return nil, err
	}
	if !t.Shape().Eq(shape) {
		return nil, errors.Errorf("the tensor package slices %v to %v", shape, t.Shape())
	}
	return t.(G.Value), nil
}

// transposed lies in memory with its axes in reverse.
func transposed(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error) {
	if len(shape) < 2 {
		return value(of, shape, v), nil
	}
	t := value(of, reversed(shape), columns(shape, v)).(*tensor.Dense)
	axes := make([]int, len(shape))
	for a := range axes {
		axes[a] = len(axes) - 1 - a
	}
	if err := t.T(axes...); err != nil {
		return nil, err
	}
	return t, nil
}

// columnMajor lies in memory with its first axis fastest.
func columnMajor(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error) {
	if len(shape) < 2 {
		return value(of, shape, v), nil
	}
	// AsFortran takes row-major numbers and reorders them.
	return tensor.New(tensor.WithShape(shape...), tensor.AsFortran(backing(of, v))), nil
}

func reversed(shape tensor.Shape) tensor.Shape {
	r := shape.Clone()
	slices.Reverse(r)
	return r
}

// columns is v in column-major order.
func columns(shape tensor.Shape, v []float64) []float64 {
	c := make([]float64, len(v))
	for i, x := range v {
		k := 0
		index := multiIndex(i, shape)
		for a := len(shape) - 1; a >= 0; a-- {
			k = k*shape[a] + index[a]
		}
		c[k] = x
	}
	return c
}
