package verify

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify/internal/values"
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

func (t *trial) operands() (all []operand) {
	for i := range t.c.Inputs {
		if in := &t.c.Inputs[i]; !in.whole() {
			all = append(all, operand{in.Name, i, 0, in.Shape, t.x[i], t.of})
		}
	}
	for o, n := range t.fwd.y {
		if t.base.dx != nil && t.fwd.real(o) {
			all = append(all, operand{"d" + t.fwd.name(o), -1, o, t.fwd.shapes[o], t.fwd.part(o, t.dy), n.Dtype()})
		}
	}
	return all
}

func (t *trial) layouts(by Oracle, axes int, form func(of tensor.Dtype, shape tensor.Shape, v []float64) (G.Value, error)) {
	applies := false
	for _, op := range t.operands() {
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
		d, is, err := t.anew(t.of, t.x)
		var o outcome
		if err == nil {
			op.feed(d, is, v)
			o, err = d.at(is, t.dy, false)
		}
		where := op.name + " is in " + string(by) + ", and only the layout is at fault"
		if err != nil {
			if broken := (flaw{}); errors.As(err, &broken) && !t.foreign(d, is) {
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
		if n := t.culprit(d, is); n != nil && native(n.Op()) && t.blameless(d.world) {
			t.rows = t.rows[:rows]
			t.absent("the layout of "+op.name, by, false, errors.Errorf(
				"Gorgonia's own %v misreads %s: not the op's mistake", n.Op(), by))
		}
	}
	if !applies {
		t.note("y", by, Skipped, errors.Errorf("no operand has %d axes longer than 1", axes))
	}
}

// feed gives a graph the operand.
func (op *operand) feed(d *derivation, at assignment, v G.Value) {
	if op.input >= 0 {
		at[d.in[op.input]] = v
	} else {
		at[d.dy[op.of]] = v
	}
}

// culprit is the first node whose value differs from the same node's in a run on plain memory,
// though its arguments are equal, or nil.
func (t *trial) culprit(d *derivation, is assignment) *G.Node {
	plain, at, err := t.anew(t.of, t.x)
	if err != nil || plain.evaluate(plain.nodes, at, false) != nil || len(plain.nodes) != len(d.nodes) {
		return nil
	}
	for k, n := range d.nodes {
		x, err1 := values.Floats(at[plain.nodes[k]])
		y, err2 := values.Floats(is[n])
		if err1 != nil || err2 != nil || len(x) != len(y) {
			return nil
		}
		if differ(y, x, filled(len(x), 1e-4*greatest(x))) {
			return n
		}
	}
	return nil
}

// blameless reports whether what Gorgonia's own ops do wrong is not to be blamed on the case: where
// the case is more than one of them.
func (t *trial) blameless(w *world) bool { return !t.c.Strict && w.composed() || !native(w.y[0].Op()) }

// foreign reports whether the op that stopped a run is Gorgonia's own.
func (t *trial) foreign(d *derivation, at assignment) bool {
	if d == nil || !t.blameless(d.world) {
		return false
	}
	i := slices.IndexFunc(d.nodes, func(n *G.Node) bool { return at[n] == nil })
	return i >= 0 && native(d.nodes[i].Op())
}

// rowMajor reports whether the outcome is what comes of an operand that has the column-major memory
// for its row-major one.
func (t *trial) rowMajor(op operand, o outcome) bool {
	d, at, err := t.anew(t.of, t.x)
	if err != nil {
		return false
	}
	op.feed(d, at, values.Of(op.typ, op.shape, columns(op.shape, op.v)))
	raw, err := d.at(at, t.dy, false)
	return err == nil && raw.is(o)
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
	f := filled(large.TotalSize(), math.NaN())
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
	t, err := values.Of(of, large, f).(*tensor.Dense).Slice(at...)
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
		return values.Of(of, shape, v), nil
	}
	t := values.Of(of, reversed(shape), columns(shape, v)).(*tensor.Dense)
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
		return values.Of(of, shape, v), nil
	}
	// AsFortran takes row-major numbers and reorders them.
	return tensor.New(tensor.WithShape(shape...), tensor.AsFortran(values.Backing(of, v))), nil
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
