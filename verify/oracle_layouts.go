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
		judge: func(t *trial) { t.layouts(BySlices, 1, values.Sliced) }})
	_ = register(oracle{name: ByTransposes, rank: 210, says: layoutSays(ByTransposes),
		judge: func(t *trial) { t.layouts(ByTransposes, 2, values.Transposed) }})
	_ = register(oracle{name: ByColumnMajor, rank: 220, says: layoutSays(ByColumnMajor),
		judge: func(t *trial) { t.layouts(ByColumnMajor, 2, values.ColumnMajor) }})
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

func (t *trial) layouts(by Oracle, axes int, form func(of tensor.Dtype, shape tensor.Shape, v []float64, axes ...int) (G.Value, error)) {
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
	op.feed(d, at, values.Of(op.typ, op.shape, values.Columns(op.shape, op.v)))
	raw, err := d.at(at, t.dy, false)
	return err == nil && raw.is(o)
}
