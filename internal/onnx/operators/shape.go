package operators

import (
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// shapes are the operators that move elements, and those that sum along axes.
var shapes = map[string]operator{
	"Reshape": func(c *call) ([]Value, error) {
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		to, err := c.reshaped(x.Shape())
		if err != nil {
			return nil, err
		}
		return one(ops.Reshape(x, to...))
	},
	"Flatten": func(c *call) ([]Value, error) {
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		s := x.Shape()
		axis := c.integer("axis", 1)
		if axis < -int64(len(s)) || axis > int64(len(s)) {
			return nil, errors.Errorf("the axis is %d, want %d to %d", axis, -len(s), len(s))
		}
		if axis < 0 {
			axis += int64(len(s))
		}
		if axis == 1 {
			return one(ops.Flatten(x))
		}
		return one(ops.Reshape(x, volume(s[:axis]), volume(s[axis:])))
	},
	"Squeeze": func(c *call) ([]Value, error) {
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		to, err := c.squeezed(x.Shape())
		if err != nil {
			return nil, err
		}
		return one(ops.Reshape(x, to...))
	},
	"Unsqueeze": func(c *call) ([]Value, error) {
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		to, err := c.unsqueezed(x.Shape())
		if err != nil {
			return nil, err
		}
		return one(ops.Reshape(x, to...))
	},
	"Transpose": func(c *call) ([]Value, error) {
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		return one(ops.Transpose(x, c.integers("perm")...))
	},
	"Concat": func(c *call) ([]Value, error) {
		axis := c.integer("axis", 1)
		xs := make([]*G.Node, len(c.in))
		for i := range xs {
			var err error
			if xs[i], err = c.x(i); err != nil {
				return nil, err
			}
		}
		if len(xs) == 1 {
			return one(xs[0], nil)
		}
		return one(ops.Concat(int(min(max(axis, -far), far)), xs...))
	},
	"Split": split, "Slice": slice, "Expand": expand,
	"DepthToSpace": func(c *call) ([]Value, error) { return c.blocks(true) },
	"SpaceToDepth": func(c *call) ([]Value, error) { return c.blocks(false) },

	"ReduceMean": reduction(ops.Mean), "ReduceSum": reduction(ops.Sum), "ReduceMax": reduction(ops.Max),
	"ReduceMin": reduction(func(x *G.Node, axes ...int) (*G.Node, error) {
		var t ops.Try
		y := t.Do(ops.Affine(t.Do(ops.Max(t.Do(ops.Affine(x, -1, 0)), axes...)), -1, 0))
		return y, t.Err()
	}),
	"ReduceL1": reduction(func(x *G.Node, axes ...int) (*G.Node, error) {
		var t ops.Try
		y := t.Do(ops.Sum(t.Do(ops.Abs(x)), axes...))
		return y, t.Err()
	}),
	"ReduceL2": reduction(func(x *G.Node, axes ...int) (*G.Node, error) {
		var t ops.Try
		y := t.Do(ops.Sqrt(t.Do(ops.Sum(t.Do(ops.Square(x)), axes...))))
		return y, t.Err()
	}),
	"ReduceSumSquare": reduction(func(x *G.Node, axes ...int) (*G.Node, error) {
		var t ops.Try
		y := t.Do(ops.Sum(t.Do(ops.Square(x)), axes...))
		return y, t.Err()
	}),
}

// reshaped is the shape that a Reshape asks for.
func (c *call) reshaped(from tensor.Shape) (tensor.Shape, error) {
	if err := c.operands(2, 2); err != nil {
		return nil, err
	}
	zeros := c.flag("allowzero", false)
	list := c.list("shape", 1)
	if c.err != nil {
		return nil, c.err
	}
	asked := slices.Clone(tensor.Shape(list))
	to := slices.Clone(asked)
	for i, n := range to {
		if n != 0 || zeros {
			continue
		}
		if i >= len(from) {
			return nil, errors.Errorf("the shape is %v, whose side %d is that of x: x is %v", asked, i, from)
		}
		to[i] = from[i]
	}
	if resolved := rest(to, from); volumeIs(resolved, from) {
		return resolved, nil
	}
	if b := c.env.FixedBatch; b > 0 && len(to) > 0 && len(from) > 0 && to[0] == b && from[0] != b {
		to[0] = from[0]
		if resolved := rest(to, from); volumeIs(resolved, from) {
			return resolved, nil
		}
	}
	return nil, errors.Errorf("the shape is %v, want the %d elements of x, %v, and −1 at most once", asked, volume(from), from)
}

// rest puts what is left of from's elements in the place of −1.
func rest(to, from tensor.Shape) tensor.Shape {
	to = slices.Clone(to)
	if i := slices.Index(to, -1); i >= 0 {
		to[i] = 1
		n := 1
		for _, side := range to {
			if side < 0 || side > 0 && n > far/side {
				return nil
			}
			n *= side
		}
		if n == 0 || volume(from)%n != 0 {
			return nil
		}
		to[i] = volume(from) / n
	}
	return to
}

func volumeIs(to, from tensor.Shape) bool {
	if to == nil {
		return false
	}
	n := 1
	for _, side := range to {
		if side < 0 || side > 0 && n > far/side {
			return false
		}
		n *= side
	}
	return n == volume(from)
}

// squeezed is a shape without axes of one element: those that are named, or all.
func (c *call) squeezed(from tensor.Shape) (tensor.Shape, error) {
	if err := c.operands(1, 2); err != nil {
		return nil, err
	}
	list := c.list("axes", 1)
	if c.err != nil {
		return nil, c.err
	}
	axes, err := c.axes(list, len(from))
	if err != nil {
		return nil, err
	}
	to := tensor.Shape{}
	for i, side := range from {
		gone := slices.Contains(axes, i)
		if gone && side != 1 {
			return nil, errors.Errorf("axis %d has %d elements, want one: x is %v", i, side, from)
		}
		if !gone && (list != nil || side != 1) {
			to = append(to, side)
		}
	}
	return to, nil
}

// unsqueezed is a shape with axes of one element put in.
func (c *call) unsqueezed(from tensor.Shape) (tensor.Shape, error) {
	if err := c.operands(1, 2); err != nil {
		return nil, err
	}
	list := c.list("axes", 1)
	if c.err != nil {
		return nil, c.err
	}
	if list == nil {
		return nil, errors.New("there are no axes")
	}
	axes, err := c.axes(list, len(from)+len(list))
	if err != nil {
		return nil, err
	}
	to, k := tensor.Shape{}, 0
	for i := range len(from) + len(list) {
		if slices.Contains(axes, i) {
			to = append(to, 1)
			continue
		}
		to, k = append(to, from[k]), k+1
	}
	return to, nil
}

// A cut is a part of an axis. With a negative step it goes down from from, and stops before to.
type cut struct{ axis, from, to, step int }

// cuts are the parts that a Slice of a shape takes.
func (c *call) cuts(from tensor.Shape) ([]cut, error) {
	if err := c.operands(1, 5); err != nil {
		return nil, err
	}
	starts, ends, axes, steps := c.list("starts", 1), c.list("ends", 2), c.list("axes", 3), c.list("steps", 4)
	if c.err != nil {
		return nil, c.err
	}
	if axes == nil {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	axes, err := c.axes(axes, len(from))
	if err != nil {
		return nil, err
	}
	if len(starts) != len(ends) || len(starts) != len(axes) || steps != nil && len(steps) != len(starts) {
		return nil, errors.Errorf("there are %d starts, %d ends, %d axes and %d steps, want as many", len(starts), len(ends), len(axes), len(steps))
	}
	cuts := make([]cut, len(axes))
	for i, axis := range axes {
		n, k := from[axis], cut{axis, starts[i], ends[i], 1}
		if steps != nil {
			k.step = steps[i]
		}
		if k.from < 0 {
			k.from += n
		}
		if k.to < 0 {
			k.to += n
		}
		switch {
		case k.step > 0:
			k.from, k.to = min(max(k.from, 0), n), min(max(k.to, 0), n)
		case k.step < 0:
			k.from, k.to = min(max(k.from, 0), n-1), min(max(k.to, -1), n-1)
		default:
			return nil, errors.New("a step is 0")
		}
		cuts[i] = k
	}
	return cuts, nil
}

func slice(c *call) ([]Value, error) {
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	cuts, err := c.cuts(x.Shape())
	if err != nil {
		return nil, err
	}
	for _, k := range cuts {
		if k.step < 0 {
			if x, err = backwards(x, k); err != nil {
				return nil, err
			}
			continue
		}
		if k.from >= k.to {
			return nil, errors.Errorf("it takes elements %d to %d of axis %d, of which there are none", k.from, k.to, k.axis)
		}
		if k.from == 0 && k.to == x.Shape()[k.axis] && k.step == 1 {
			continue
		}
		if x, err = ops.Slice(x, k.axis, k.from, k.to, min(k.step, k.to-k.from)); err != nil {
			return nil, err
		}
	}
	return one(x, nil)
}

// maxBackwards is how many elements a cut with a negative step may have: those of a filter.
const maxBackwards = 64

// backwards is a cut with a negative step, put together element by element.
func backwards(x *G.Node, k cut) (*G.Node, error) {
	n := (k.from - k.to - k.step - 1) / -k.step
	if n < 1 || n > maxBackwards {
		return nil, errors.Errorf("it takes %d elements of axis %d backwards, want 1 to %d", n, k.axis, maxBackwards)
	}
	var t ops.Try
	parts := make([]*G.Node, n)
	for i := range parts {
		at := k.from + i*k.step
		parts[i] = t.Do(ops.Slice(x, k.axis, at, at+1, 1))
	}
	if t.Err() != nil || n == 1 {
		return parts[0], t.Err()
	}
	return ops.Concat(k.axis, parts...)
}

// sliced is element i of an axis, in a shape.
func sliced(x *G.Node, to tensor.Shape, axis, i int) (*G.Node, error) {
	var t ops.Try
	y := t.Do(ops.Reshape(t.Do(ops.Slice(x, axis, i, i+1, 1)), to...))
	return y, t.Err()
}

func split(c *call) ([]Value, error) {
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	axis, err := c.axis(c.integer("axis", 0), x.Dims())
	if err != nil {
		return nil, err
	}
	n, parts := x.Shape()[axis], len(c.node.Outputs)
	sides := c.list("split", 1)
	if want := c.integer("num_outputs", int64(parts)); want != int64(parts) {
		return nil, errors.Errorf("num_outputs is %d, and there are %d outputs", want, parts)
	}
	if c.err != nil {
		return nil, c.err
	}
	if sides == nil && parts > 0 {
		each := (n + parts - 1) / parts
		for i := range parts {
			sides = append(sides, min(each, n-i*each))
		}
	}
	if len(sides) != parts {
		return nil, errors.Errorf("it splits into %v, and there are %d outputs", sides, parts)
	}
	var out []Value
	at := 0
	for _, side := range sides {
		if side < 1 || side > n-at {
			return nil, errors.Errorf("it splits axis %d, of %d elements, into %v", axis, n, sides)
		}
		y, err := ops.Slice(x, axis, at, at+side, 1)
		if err != nil {
			return nil, err
		}
		out, at = append(out, Value{Node: y}), at+side
	}
	if at != n {
		return nil, errors.Errorf("it splits axis %d, of %d elements, into %v", axis, n, sides)
	}
	return out, nil
}

// expand repeats x along axes, as a product with ones of the shape does.
func expand(c *call) ([]Value, error) {
	if err := c.operands(2, 2); err != nil {
		return nil, err
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	list := c.list("shape", 1)
	if c.err != nil {
		return nil, c.err
	}
	s := x.Shape()
	same := len(list) <= len(s)
	for i, side := range list {
		k := len(s) - len(list) + i
		same = same && (side == 1 || k >= 0 && side == s[k])
	}
	if same {
		return one(x, nil)
	}
	ones := &Constant{Dims: slices.Clone(tensor.Shape(list))}
	n := 1
	for _, side := range list {
		if side < 1 || n > maxConstant/side {
			return nil, errors.Errorf("it expands to %v, want at most %d elements", list, maxConstant)
		}
		n *= side
	}
	for range n {
		ones.Floats = append(ones.Floats, 1)
	}
	leaf, err := c.env.leaf(ones)
	if err != nil {
		return nil, err
	}
	return one(ops.Mul(x, leaf))
}

// reduction is an operator that makes one element of all along some axes.
func reduction(f func(x *G.Node, axes ...int) (*G.Node, error)) operator {
	return func(c *call) ([]Value, error) {
		if err := c.operands(1, 2); err != nil {
			return nil, err
		}
		x, err := c.x(0)
		if err != nil {
			return nil, err
		}
		list, keep, noop := c.list("axes", 1), c.flag("keepdims", true), c.flag("noop_with_empty_axes", false)
		if c.err != nil {
			return nil, c.err
		}
		s := x.Shape()
		if len(list) == 0 {
			if noop {
				return one(x, nil)
			}
			for i := range s {
				list = append(list, i)
			}
		}
		axes, err := c.axes(list, len(s))
		if err != nil {
			return nil, err
		}
		y := x
		if len(s) > 0 {
			if y, err = f(x, axes...); err != nil {
				return nil, err
			}
		}
		if !keep {
			return one(y, nil)
		}
		to := slices.Clone(s)
		for _, a := range axes {
			to[a] = 1
		}
		return one(ops.Reshape(y, to...))
	}
}

// blocks moves blocks of an image into channels, or back.
func (c *call) blocks(toSpace bool) ([]Value, error) {
	if err := c.operands(1, 1); err != nil {
		return nil, err
	}
	x, err := c.x(0)
	if err != nil {
		return nil, err
	}
	b, mode := int(min(max(c.integer("blocksize", 0), 0), far)), "DCR"
	if toSpace {
		mode = c.text("mode", mode)
	}
	s := x.Shape()
	if len(s) != 4 || b < 1 || toSpace && s[1]%(b*b) != 0 || !toSpace && (s[2]%b != 0 || s[3]%b != 0) || mode != "DCR" && mode != "CRD" {
		return nil, errors.Errorf("the block is %d and the mode %.100q: x is %v", b, mode, s)
	}
	n, ch, h, w := s[0], s[1], s[2], s[3]
	var t ops.Try
	var y *G.Node
	switch {
	case !toSpace: // blocks before channels
		y = t.Do(ops.Transpose(t.Do(ops.Reshape(x, n, ch, h/b, b, w/b, b)), 0, 3, 5, 1, 2, 4))
		y = t.Do(ops.Reshape(y, n, ch*b*b, h/b, w/b))
	case mode == "DCR":
		y = t.Do(ops.Transpose(t.Do(ops.Reshape(x, n, b, b, ch/(b*b), h, w)), 0, 3, 4, 1, 5, 2))
		y = t.Do(ops.Reshape(y, n, ch/(b*b), h*b, w*b))
	default:
		y = t.Do(ops.Transpose(t.Do(ops.Reshape(x, n, ch/(b*b), b, b, h, w)), 0, 1, 4, 2, 5, 3))
		y = t.Do(ops.Reshape(y, n, ch/(b*b), h*b, w*b))
	}
	return one(y, t.Err())
}
