package operators

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
)

// A Constant is a tensor that is known when the graph is built: whole numbers, which shapes are
// made of, or floats.
type Constant struct {
	Dims   tensor.Shape
	Ints   []int64   // nil for floats
	Floats []float64 // nil for whole numbers
}

// maxConstant is how many elements are computed when a graph is built. Shapes have a few.
const maxConstant = 1 << 16

func constantOf(t *onnx.Tensor) (*Constant, error) {
	k := &Constant{Dims: slices.Clone(tensor.Shape(t.Dims))}
	var err error
	switch {
	case t.Type.IsInteger():
		k.Ints, err = t.Ints()
	default:
		k.Floats, err = onnx.Floats[float64](t)
	}
	return k, err
}

// Ints is a list of whole numbers.
func ints(v ...int64) *Constant { return &Constant{Dims: tensor.Shape{len(v)}, Ints: v} }

func (k *Constant) whole() bool { return k.Floats == nil }

func (k *Constant) integers() ([]int64, error) {
	if !k.whole() {
		return nil, errors.New("it is of floats, want integers")
	}
	return k.Ints, nil
}

// number is the one element.
func (k *Constant) number() (float64, error) {
	switch {
	case volume(k.Dims) != 1:
		return 0, errors.Errorf("it has shape %v, want one element", k.Dims)
	case k.whole():
		return float64(k.Ints[0]), nil
	}
	return k.Floats[0], nil
}

// decimal is the float64 that has the shortest decimal form of a float32: what was meant by it. An
// epsilon of 1e-5 is then 1e-5, as in a network that was never in a file.
func decimal(v float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return d
}

func volume(s tensor.Shape) int {
	n := 1
	for _, side := range s {
		n *= side
	}
	return n
}

// leaf is a constant as a node.
func (e *Env) leaf(k *Constant) (*G.Node, error) {
	if k.whole() {
		return nil, errors.New("it is of integers, want floats: nothing computes with integers but shapes")
	}
	if len(k.Floats) == 0 {
		return nil, errors.Errorf("it has shape %v, want at least one element", k.Dims)
	}
	e.leaves++
	name := G.WithName(fmt.Sprintf("constant %d", e.leaves)) // a blank: no weight is called that
	if len(k.Dims) == 0 {
		var v G.Value = G.NewF64(k.Floats[0])
		if e.Of == tensor.Float32 {
			v = G.NewF32(float32(k.Floats[0]))
		}
		return G.NewScalar(e.Graph, e.Of, name, G.WithValue(v)), nil
	}
	var data any = k.Floats
	if e.Of == tensor.Float32 {
		single := make([]float32, len(k.Floats))
		for i, v := range k.Floats {
			single[i] = float32(v)
		}
		data = single
	}
	v := tensor.New(tensor.WithShape(k.Dims...), tensor.WithBacking(data))
	return G.NewTensor(e.Graph, e.Of, len(k.Dims), G.WithShape(k.Dims...), name, G.WithValue(v)), nil
}

// fold computes operators of constants alone, if they are among those that shapes are made of.
func (c *call) fold() (out []Value, done bool, err error) {
	f, ok := folds[c.node.Op]
	if !ok || len(c.in) == 0 {
		return nil, false, nil
	}
	in := make([]*Constant, len(c.in))
	for i, v := range c.in {
		switch {
		case !v.given():
			continue
		case v.Node != nil:
			return nil, false, nil
		case v.Weight != nil && !v.Weight.Type.IsInteger() && (len(v.Weight.Dims) > 0 || v.Weight.Len() > 1):
			return nil, false, nil // a weight: what is done to it is differentiated
		}
		if in[i], err = v.constant(); err != nil {
			return nil, true, err
		}
		if volume(in[i].Dims) > maxConstant {
			return nil, false, nil
		}
	}
	if in[0] == nil {
		return nil, true, errors.New("operand 0 is left out")
	}
	k, err := f(c, in)
	if err != nil {
		return nil, true, err
	}
	if k == nil {
		return nil, false, nil
	}
	return []Value{{Const: k}}, true, nil
}

// folds are the operators that are computed on constants. One that returns nil and no error leaves
// the constants to the operator on nodes.
var folds = map[string]func(c *call, in []*Constant) (*Constant, error){
	"Gather": foldGather, "Concat": foldConcat, "Slice": foldSlice, "Cast": foldCast,
	"Transpose": foldTranspose, "Squeeze": foldSqueeze, "Unsqueeze": foldUnsqueeze, "Reshape": foldReshape,
	"Add": foldBinary, "Sub": foldBinary, "Mul": foldBinary, "Div": foldBinary,
	"Neg": foldUnary, "Floor": foldUnary, "Ceil": foldUnary, "Sqrt": foldUnary,
	"ReduceProd": foldProduct,
}

// pick is the constant of some elements, in a shape.
func (k *Constant) pick(dims tensor.Shape, at []int) *Constant {
	to := &Constant{Dims: dims}
	if k.whole() {
		to.Ints = make([]int64, 0, len(at))
	} else {
		to.Floats = make([]float64, 0, len(at))
	}
	for _, i := range at {
		if k.whole() {
			to.Ints = append(to.Ints, k.Ints[i])
		} else {
			to.Floats = append(to.Floats, k.Floats[i])
		}
	}
	return to
}

func foldGather(c *call, in []*Constant) (*Constant, error) {
	if err := c.operands(2, 2); err != nil {
		return nil, err
	}
	axis, err := c.axis(c.integer("axis", 0), len(in[0].Dims))
	if err != nil {
		return nil, err
	}
	index, err := in[1].integers()
	if err != nil {
		return nil, errors.Wrap(err, "the indices")
	}
	from := in[0].Dims
	outer, inner := volume(from[:axis]), volume(from[axis+1:])
	dims := slices.Concat(from[:axis], in[1].Dims, from[axis+1:])
	if outer > maxConstant || inner > maxConstant || len(index) > maxConstant || outer*inner > maxConstant ||
		outer*inner*len(index) > maxConstant {
		return nil, errors.Errorf("a constant of shape %v is too large", dims)
	}
	var at []int
	for o := range outer {
		for _, i := range index {
			if i < 0 {
				i += int64(from[axis])
			}
			if i < 0 || i >= int64(from[axis]) {
				return nil, errors.Errorf("the index is %d, want one of %d elements", i, from[axis])
			}
			for k := range inner {
				at = append(at, (o*from[axis]+int(i))*inner+k)
			}
		}
	}
	return in[0].pick(dims, at), nil
}

func foldConcat(c *call, in []*Constant) (*Constant, error) {
	c.integer("axis", 0)
	to := &Constant{Dims: tensor.Shape{0}}
	for i, k := range in {
		if k == nil || len(k.Dims) != 1 || k.whole() != in[0].whole() {
			return nil, errors.Errorf("operand %d is no list like operand 0", i)
		}
		to.Dims[0] += k.Dims[0]
		to.Ints, to.Floats = append(to.Ints, k.Ints...), append(to.Floats, k.Floats...)
		if to.Dims[0] > maxConstant {
			return nil, errors.Errorf("a constant of %d elements is too large", to.Dims[0])
		}
	}
	return to, nil
}

func foldSlice(c *call, in []*Constant) (*Constant, error) {
	cuts, err := c.cuts(in[0].Dims)
	if err != nil {
		return nil, err
	}
	k := in[0]
	for _, cut := range cuts { // one axis after the other
		dims, n := slices.Clone(k.Dims), k.Dims[cut.axis]
		outer, inner := volume(dims[:cut.axis]), volume(dims[cut.axis+1:])
		var along, at []int
		for i := cut.from; i < cut.to && cut.step > 0 || i > cut.to && cut.step < 0; i += cut.step {
			along = append(along, i)
		}
		if volume(dims) == 0 {
			outer = 0 // however large the other sides say that they are
		}
		for o := range outer {
			for _, i := range along {
				for j := range inner {
					at = append(at, (o*n+i)*inner+j)
				}
			}
		}
		dims[cut.axis] = len(along)
		k = k.pick(dims, at)
	}
	return k, nil
}

func foldTranspose(c *call, in []*Constant) (*Constant, error) {
	from := in[0].Dims
	perm := c.integers("perm")
	if perm == nil {
		for i := range from {
			perm = append([]int{i}, perm...)
		}
	}
	perm, err := c.axes(perm, len(from))
	if err != nil || len(perm) != len(from) {
		return nil, errors.Errorf("the axes are %v, want each of %d once", perm, len(from))
	}
	dims := make(tensor.Shape, len(from))
	for i, axis := range perm {
		dims[i] = from[axis]
	}
	if volume(dims) == 0 {
		return in[0].pick(dims, nil), nil
	}
	at := []int{0} // where the elements of the axes so far are
	for _, axis := range perm {
		var further []int
		for _, o := range at {
			for k := range from[axis] {
				further = append(further, o+k*volume(from[axis+1:]))
			}
		}
		at = further
	}
	return in[0].pick(dims, at), nil
}

func foldCast(c *call, in []*Constant) (*Constant, error) {
	to := onnx.DataType(c.integer("to", 0))
	c.castAttributes()
	k := &Constant{Dims: in[0].Dims}
	switch {
	case to.IsFloat() && in[0].whole():
		k.Floats = make([]float64, len(in[0].Ints))
		for i, v := range in[0].Ints {
			k.Floats[i] = float64(v)
		}
	case to.IsInteger() && to != onnx.Bool && !in[0].whole():
		k.Ints = make([]int64, len(in[0].Floats))
		for i, v := range in[0].Floats {
			if !(math.Abs(v) < 1<<62) {
				return nil, errors.Errorf("element %d is %v, beyond an integer", i, v)
			}
			k.Ints[i] = int64(v)
		}
	case to.IsFloat() || to.IsInteger():
		return in[0], nil
	default:
		return nil, errors.Errorf("it casts to %v, which is not supported", to)
	}
	return k, nil
}

func foldSqueeze(c *call, in []*Constant) (*Constant, error) {
	to, err := c.squeezed(in[0].Dims)
	return &Constant{Dims: to, Ints: in[0].Ints, Floats: in[0].Floats}, err
}

func foldUnsqueeze(c *call, in []*Constant) (*Constant, error) {
	to, err := c.unsqueezed(in[0].Dims)
	return &Constant{Dims: to, Ints: in[0].Ints, Floats: in[0].Floats}, err
}

func foldReshape(c *call, in []*Constant) (*Constant, error) {
	to, err := c.reshaped(in[0].Dims)
	return &Constant{Dims: to, Ints: in[0].Ints, Floats: in[0].Floats}, err
}

// foldBinary is arithmetic on numbers and on lists of one length.
func foldBinary(c *call, in []*Constant) (*Constant, error) {
	if err := c.operands(2, 2); err != nil {
		return nil, err
	}
	a, b := in[0], in[1]
	n := max(volume(a.Dims), volume(b.Dims))
	to := &Constant{Dims: a.Dims}
	if len(b.Dims) > len(a.Dims) || volume(b.Dims) > volume(a.Dims) {
		to.Dims = b.Dims
	}
	if va, vb := volume(a.Dims), volume(b.Dims); (va != n && va != 1) || (vb != n && vb != 1) || len(to.Dims) > 1 || a.whole() != b.whole() {
		return nil, nil
	}
	for i := range n {
		ia, ib := i%max(volume(a.Dims), 1), i%max(volume(b.Dims), 1)
		if !a.whole() {
			x, y := a.Floats[ia], b.Floats[ib]
			to.Floats = append(to.Floats, map[string]float64{"Add": x + y, "Sub": x - y, "Mul": x * y, "Div": x / y}[c.node.Op])
			continue
		}
		x, y := a.Ints[ia], b.Ints[ib]
		if max(x, y) > far || min(x, y) < -far {
			return nil, errors.Errorf("%d and %d are beyond any size", x, y)
		}
		switch c.node.Op {
		case "Add":
			x += y
		case "Sub":
			x -= y
		case "Mul":
			x *= y
		default:
			if y == 0 {
				return nil, errors.New("an integer is divided by 0")
			}
			x /= y
		}
		to.Ints = append(to.Ints, x)
	}
	return to, nil
}

func foldUnary(c *call, in []*Constant) (*Constant, error) {
	if err := c.operands(1, 1); err != nil {
		return nil, err
	}
	to := &Constant{Dims: in[0].Dims}
	for _, v := range in[0].Ints {
		if c.node.Op != "Neg" {
			return nil, errors.New("it is of integers, want floats")
		}
		to.Ints = append(to.Ints, -v)
	}
	f := map[string]func(float64) float64{"Neg": func(v float64) float64 { return -v }, "Floor": math.Floor, "Ceil": math.Ceil, "Sqrt": math.Sqrt}[c.node.Op]
	for _, v := range in[0].Floats {
		to.Floats = append(to.Floats, f(v))
	}
	return to, nil
}

// foldProduct is the product of a list, such as a shape.
func foldProduct(c *call, in []*Constant) (*Constant, error) {
	c.list("axes", 1)
	keep := c.flag("keepdims", true)
	c.flag("noop_with_empty_axes", false)
	v, err := in[0].integers()
	if err != nil || len(in[0].Dims) > 1 {
		return nil, errors.Errorf("the product of a constant of shape %v, want a list of integers", in[0].Dims)
	}
	product := int64(1)
	for _, n := range v {
		if n < 0 || n > 0 && product > far/n {
			return nil, errors.Errorf("the product of %v is beyond any size", v)
		}
		product *= n
	}
	k := &Constant{Ints: []int64{product}}
	if keep {
		k.Dims = tensor.Shape{1}
	}
	return k, nil
}

// constants are the operators that give constants.
var constants = map[string]operator{
	"Constant": func(c *call) ([]Value, error) {
		if len(c.node.Attrs) != 1 || len(c.in) > 0 {
			return nil, errors.Errorf("it has %d attributes and %d operands, want one attribute", len(c.node.Attrs), len(c.in))
		}
		a := c.node.Attrs[0]
		c.read[a.Name] = true
		k, err := constantOfAttribute(a)
		return []Value{{Const: k}}, err
	},
	"ConstantOfShape": func(c *call) ([]Value, error) {
		k, err := c.constant(0, "the shape")
		if err != nil {
			return nil, err
		}
		sides, err := k.integers()
		if err != nil {
			return nil, err
		}
		value := &Constant{Dims: tensor.Shape{1}, Floats: []float64{0}}
		if a := c.attr("value", onnx.AttrTensor); a != nil {
			if value, err = constantOf(a.Tensor); err != nil {
				return nil, err
			}
			if volume(value.Dims) != 1 {
				return nil, errors.Errorf("its value has shape %v, want one element", value.Dims)
			}
		}
		to, n := tensor.Shape{}, 1
		for _, s := range sides {
			if s < 0 || s > maxConstant || n*int(s) > maxConstant {
				return nil, errors.Errorf("the shape is %v, want at most %d elements", sides, maxConstant)
			}
			to, n = append(to, int(s)), n*int(s)
		}
		return []Value{{Const: value.pick(to, make([]int, n))}}, nil
	},
	"Shape": func(c *call) ([]Value, error) {
		if err := c.operands(1, 1); err != nil {
			return nil, err
		}
		s := c.in[0].shape()
		from, to := c.integer("start", 0), c.integer("end", int64(len(s)))
		clamp := func(v int64) int {
			if v < 0 {
				v += int64(len(s))
			}
			return int(min(max(v, 0), int64(len(s))))
		}
		k := &Constant{Dims: tensor.Shape{0}, Ints: []int64{}}
		for i := clamp(from); i < clamp(to); i++ {
			k.Ints = append(k.Ints, int64(s[i]))
		}
		k.Dims[0] = len(k.Ints)
		return []Value{{Const: k}}, nil
	},
	"Size": func(c *call) ([]Value, error) {
		if err := c.operands(1, 1); err != nil {
			return nil, err
		}
		return []Value{{Const: &Constant{Ints: []int64{int64(volume(c.in[0].shape()))}}}}, nil
	},
	"Gather": gather, "ReduceProd": onlyConstants, "Floor": onlyConstants, "Ceil": onlyConstants,
}

func onlyConstants(*call) ([]Value, error) {
	return nil, errors.New("it is supported on constants alone: its operand depends on the network's input, or is a weight")
}

// gather on a node takes one element of an axis, which it drops.
func gather(c *call) ([]Value, error) {
	k, err := c.constant(1, "the indices")
	if err != nil {
		return nil, err
	}
	index, err := k.integers()
	if err != nil || len(index) != 1 {
		return nil, errors.Errorf("the indices have shape %v, want one integer: more are supported on constants alone", k.Dims)
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	s := x.Shape()
	axis, err := c.axis(c.integer("axis", 0), len(s))
	if err != nil {
		return nil, err
	}
	i := int(index[0])
	if i < 0 {
		i += s[axis]
	}
	if i < 0 || i >= s[axis] {
		return nil, errors.Errorf("the index is %d, want one of %d elements", index[0], s[axis])
	}
	to := slices.Concat(s[:axis], k.Dims, s[axis+1:])
	return one(sliced(x, to, axis, i))
}

func constantOfAttribute(a onnx.Attribute) (*Constant, error) {
	switch a.Name {
	case "value":
		if a.Type == onnx.AttrTensor {
			return constantOf(a.Tensor)
		}
	case "value_int":
		return &Constant{Ints: []int64{a.Int}}, nil
	case "value_ints":
		return ints(a.Ints...), nil
	case "value_float":
		return &Constant{Floats: []float64{float64(a.Float)}}, nil
	case "value_floats":
		k := &Constant{Dims: tensor.Shape{len(a.Floats)}, Floats: make([]float64, len(a.Floats))}
		for i, v := range a.Floats {
			k.Floats[i] = float64(v)
		}
		return k, nil
	}
	return nil, errors.Errorf("the attribute %.100q, %v, is not supported", a.Name, a.Type)
}
