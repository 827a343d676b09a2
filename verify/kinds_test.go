package verify_test

import (
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/chewxy/hm"
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

type real interface{ ~float32 | ~float64 }

// shaped is an array with its shape.
type shaped[T real] struct {
	s tensor.Shape
	v []T
}

// rule is an op of a user's own in one element type: y of the inputs, and the gradient of input i.
type rule[T real] struct {
	f func(in []shaped[T]) []T
	d func(i int, in []shaped[T], y, dy []T) []T
}

// op is an op of a user's own, in both element types. Labels come as floats.
type op struct {
	name  string
	args  int
	out   func(in []tensor.Shape) (tensor.Shape, error) // nil: the first input's
	wide  *rule[float64]
	slim  *rule[float32]
	plain bool // it refuses views
	whole int  // the input that has integers, if not 0
	// second is SymDiff of the gradient op of input 0, of (x, dy); nil offers none.
	second func(x, dy, g *G.Node) (G.Nodes, error)
	wrt    []bool // DiffWRT of that op, of (x, y, dy)
	keeps  bool   // its gradient runs in a buffer that is not cleared
	buffer map[tensor.Dtype]any
	raw    bool // dy's memory is taken to be row-major
}

func both(name string, args int, wide rule[float64], slim rule[float32]) *op {
	return &op{name: name, args: args, wide: &wide, slim: &slim}
}

func (o *op) build(in []*G.Node) (*G.Node, error) { return G.ApplyOp(&applied{o: o, i: -1}, in...) }

// applied is y (i = −1), of the inputs, or the gradient of input i, of the inputs, y and dy.
type applied struct {
	user
	o *op
	i int
}

func (a *applied) Arity() int {
	if a.i >= 0 {
		return a.o.args + 2
	}
	return a.o.args
}
func (a *applied) String() string { return fmt.Sprint(a.o.name, map[bool]string{true: "'"}[a.i >= 0]) }
func (a *applied) Type() hm.Type {
	types := make([]hm.Type, a.Arity()+1)
	for k := range types {
		types[k] = hm.TypeVariable(rune('b' + k))
	}
	types[len(types)-1] = hm.TypeVariable('b')
	return hm.NewFnType(types...)
}
func (a *applied) WriteHash(h hash.Hash) { fmt.Fprintf(h, "kinds|%s|%d", a.o.name, a.i) }
func (a *applied) Hashcode() uint32      { h := fnv.New32a(); a.WriteHash(h); return h.Sum32() }
func (a *applied) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	s, err := G.DimSizersToShapes(in)
	if err != nil {
		return nil, err
	}
	if a.i >= 0 {
		return s[a.i].Clone(), nil
	}
	if a.o.out != nil {
		return a.o.out(s)
	}
	return s[0].Clone(), nil
}

func read[T real](v G.Value) (s shaped[T], err error) {
	s.s = v.Shape().Clone()
	d, ok := v.(*tensor.Dense)
	if !ok {
		switch x := v.Data().(type) {
		case T:
			s.v = []T{x}
		default:
			return s, errors.Errorf("got %T", x)
		}
		return s, nil
	}
	var at func(k int) T
	switch x := d.Data().(type) {
	case []T:
		at = func(k int) T { return x[k] }
	case []int:
		at = func(k int) T { return T(x[k]) }
	default:
		return s, errors.Errorf("got %T", x)
	}
	it := d.Iterator()
	for k, err := it.Start(); err == nil; k, err = it.Next() {
		s.v = append(s.v, at(k))
	}
	return s, nil
}

func run[T real](a *applied, r *rule[T], of tensor.Dtype, in []G.Value) (G.Value, error) {
	if r == nil {
		return nil, errors.Errorf("%s has no %v", a.o.name, of)
	}
	var all []shaped[T]
	for k, v := range in {
		if d, ok := v.(*tensor.Dense); ok && a.o.plain && (d.RequiresIterator() || d.DataOrder().IsColMajor()) {
			return nil, errors.Errorf("%s: argument %d is a view, want plain memory", a.o.name, k)
		}
		s, err := read[T](v)
		if err != nil {
			return nil, err
		}
		if d, ok := v.(*tensor.Dense); ok && a.o.raw && a.i >= 0 && k == len(in)-1 {
			s.v = d.Data().([]T)[:len(s.v)]
		}
		all = append(all, s)
	}
	var y []T
	var shape tensor.Shape
	if a.i < 0 {
		var s []tensor.Shape
		for _, v := range all {
			s = append(s, v.s)
		}
		if shape = all[0].s; a.o.out != nil {
			var err error
			if shape, err = a.o.out(s); err != nil {
				return nil, err
			}
		}
		if y = r.f(all); y == nil {
			return nil, errors.Errorf("%s: out of its domain", a.o.name)
		}
	} else {
		shape = all[a.i].s
		n := a.o.args
		y = r.d(a.i, all[:n], all[n].v, all[n+1].v)
		if a.o.keeps {
			if a.o.buffer == nil {
				a.o.buffer = map[tensor.Dtype]any{}
			}
			if old, ok := a.o.buffer[of].([]T); ok && len(old) == len(y) {
				for e := range y {
					if y[e] == 0 {
						y[e] = old[e]
					}
				}
			}
			a.o.buffer[of] = slices.Clone(y)
		}
	}
	if len(shape) == 0 {
		if x, ok := any(y[0]).(float32); ok {
			return G.NewF32(x), nil
		}
		return G.NewF64(float64(y[0])), nil
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(y)), nil
}

func (a *applied) Do(in ...G.Value) (G.Value, error) {
	k := 0
	if in[0].Dtype() == tensor.Int {
		k = 1
	}
	if in[k].Dtype() == tensor.Float32 {
		return run(a, a.o.slim, tensor.Float32, in)
	}
	return run(a, a.o.wide, tensor.Float64, in)
}

func (a *applied) DiffWRT(n int) []bool {
	all := make([]bool, n)
	if a.i < 0 {
		for k := range all {
			all[k] = k != a.o.whole || k == 0
		}
		return all
	}
	if a.o.wrt != nil {
		return a.o.wrt
	}
	return all
}

func (a *applied) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	if a.i >= 0 {
		return a.o.second(in[0], in[2], dy)
	}
	var all G.Nodes
	for i := range in {
		if !a.DiffWRT(len(in))[i] {
			all = append(all, nil)
			continue
		}
		d, err := G.ApplyOp(&applied{o: a.o, i: i}, append(slices.Clone(in), y, dy)...)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// curve is y = f(x), element by element, with dx = d(x, y)·dy.
func curve[T real](f func(x T) T, d func(x, y T) T) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T {
			y := make([]T, len(in[0].v))
			for e, x := range in[0].v {
				if y[e] = f(x); math.IsInf(float64(y[e]), -1) && math.IsNaN(float64(f(-1))) && x < 0 {
					return nil
				}
			}
			return y
		},
		d: func(_ int, in []shaped[T], y, dy []T) []T {
			dx := make([]T, len(y))
			for e, x := range in[0].v {
				dx[e] = d(x, y[e]) * dy[e]
			}
			return dx
		},
	}
}

func exp[T real](x T) T      { return T(math.Exp(float64(x))) }
func log[T real](x T) T      { return T(math.Log(float64(x))) }
func sqrt[T real](x T) T     { return T(math.Sqrt(float64(x))) }
func tanh[T real](x T) T     { return T(math.Tanh(float64(x))) }
func absolute[T real](x T) T { return max(x, -x) }

func pick[T real](when bool, a, b T) T {
	if when {
		return a
	}
	return b
}

// per group makes of rows (or columns) of a matrix.
func rows[T real](in shaped[T], each func(x []T) []T) []T {
	n := in.s[len(in.s)-1]
	var y []T
	for k := 0; k < len(in.v); k += n {
		y = append(y, each(in.v[k:k+n])...)
	}
	return y
}

func rowRule[T real](f func(x []T) []T, d func(x, y, dy []T) []T) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T { return rows(in[0], f) },
		d: func(_ int, in []shaped[T], y, dy []T) []T {
			n := in[0].s[len(in[0].s)-1]
			m := len(y) / (len(in[0].v) / n)
			var dx []T
			for k := 0; k*n < len(in[0].v); k++ {
				dx = append(dx, d(in[0].v[k*n:k*n+n], y[k*m:k*m+m], dy[k*m:k*m+m])...)
			}
			return dx
		},
	}
}

func greatest[T real](x []T) T { return slices.Max(x) }

func softmaxOf[T real](x []T) []T {
	m, s := greatest(x), T(0)
	y := make([]T, len(x))
	for i := range x {
		y[i] = exp(x[i] - m)
		s += y[i]
	}
	for i := range y {
		y[i] /= s
	}
	return y
}

func softmaxRule[T real]() rule[T] {
	return rowRule(softmaxOf[T], func(_, y, dy []T) []T {
		s := T(0)
		for i := range y {
			s += y[i] * dy[i]
		}
		dx := make([]T, len(y))
		for i := range y {
			dx[i] = y[i] * (dy[i] - s)
		}
		return dx
	})
}

func logSoftmaxRule[T real]() rule[T] {
	return rowRule(func(x []T) []T {
		m, s := greatest(x), T(0)
		for i := range x {
			s += exp(x[i] - m)
		}
		y := make([]T, len(x))
		for i := range x {
			y[i] = x[i] - m - log(s)
		}
		return y
	}, func(_, y, dy []T) []T {
		s := T(0)
		for i := range y {
			s += dy[i]
		}
		dx := make([]T, len(y))
		for i := range y {
			dx[i] = dy[i] - exp(y[i])*s
		}
		return dx
	})
}

// entropyRule is −log softmax(x)[0] of each row.
func entropyRule[T real]() rule[T] {
	l := logSoftmaxRule[T]()
	return rowRule(func(x []T) []T {
		return []T{-l.f([]shaped[T]{{tensor.Shape{len(x)}, x}})[0]}
	}, func(x, _, dy []T) []T {
		p := softmaxOf(x)
		for i := range p {
			if i == 0 {
				p[i]--
			}
			p[i] *= dy[0]
		}
		return p
	})
}

// maxRule gives share(k) of dy to each of k that tie.
func maxRule[T real](share func(k, nth int) T) rule[T] {
	return rowRule(func(x []T) []T { return []T{greatest(x)} }, func(x, y, dy []T) []T {
		k := 0
		for _, v := range x {
			if v == y[0] {
				k++
			}
		}
		dx, nth := make([]T, len(x)), 0
		for i, v := range x {
			if v == y[0] {
				dx[i] = share(k, nth) * dy[0]
				nth++
			}
		}
		return dx
	})
}

func sortRule[T real]() rule[T] {
	order := func(x []T) []int {
		p := make([]int, len(x))
		for i := range p {
			p[i] = i
		}
		sort.SliceStable(p, func(a, b int) bool { return x[p[a]] < x[p[b]] })
		return p
	}
	return rowRule(func(x []T) []T {
		y := make([]T, len(x))
		for k, i := range order(x) {
			y[k] = x[i]
		}
		return y
	}, func(x, _, dy []T) []T {
		dx := make([]T, len(x))
		for k, i := range order(x) {
			dx[i] = dy[k]
		}
		return dx
	})
}

// poolRule is the maximum of windows of side by side, step apart, of N×C×H×W. at decodes a
// position.
func poolRule[T real](side, step int, at func(k, h, w int) (int, int)) rule[T] {
	walk := func(in shaped[T], each func(o, winner int)) {
		n, h, w := in.s[0]*in.s[1], in.s[2], in.s[3]
		o := 0
		for k := range n {
			for p := 0; p+side <= h; p += step {
				for q := 0; q+side <= w; q += step {
					best := -1
					for a := range side {
						for b := range side {
							if e := (k*h+p+a)*w + q + b; best < 0 || in.v[e] > in.v[best] {
								best = e
							}
						}
					}
					each(o, best)
					o++
				}
			}
		}
	}
	return rule[T]{
		f: func(in []shaped[T]) []T {
			var y []T
			walk(in[0], func(_, e int) { y = append(y, in[0].v[e]) })
			return y
		},
		d: func(_ int, in []shaped[T], _, dy []T) []T {
			dx := make([]T, len(in[0].v))
			h, w := in[0].s[2], in[0].s[3]
			walk(in[0], func(o, e int) {
				plane := e / (h * w)
				i, j := at(e%(h*w), h, w)
				if i < h && j < w {
					dx[plane*h*w+i*w+j] += dy[o]
				}
			})
			return dx
		},
	}
}

func poolShape(side, step int) func(in []tensor.Shape) (tensor.Shape, error) {
	return func(in []tensor.Shape) (tensor.Shape, error) {
		s := in[0]
		if len(s) != 4 || s[2] < side || s[3] < side {
			return nil, errors.Errorf("pool: x is %v", s)
		}
		return tensor.Shape{s[0], s[1], (s[2]-side)/step + 1, (s[3]-side)/step + 1}, nil
	}
}

func pool(name string, side, step int, at func(k, h, w int) (int, int)) *op {
	o := both(name, 1, poolRule[float64](side, step, at), poolRule[float32](side, step, at))
	o.out = poolShape(side, step)
	return o
}

func firstOf(in []tensor.Shape) (tensor.Shape, error) {
	if len(in[0]) != 2 {
		return nil, errors.Errorf("x is %v, want two axes", in[0])
	}
	return tensor.Shape{in[0][0], 1}, nil
}

// normRule is (x − mean)/deviation of columns; the gradient divides by divisor(n).
func normRule[T real](divisor func(n int) int) rule[T] {
	const eps = 1e-5
	column := func(in shaped[T], c int) (mean, inv T) {
		n := in.s[0]
		for i := range n {
			mean += in.v[i*in.s[1]+c]
		}
		mean /= T(n)
		s := T(0)
		for i := range n {
			d := in.v[i*in.s[1]+c] - mean
			s += d * d
		}
		return mean, 1 / sqrt(s/T(n)+eps)
	}
	return rule[T]{
		f: func(in []shaped[T]) []T {
			y := make([]T, len(in[0].v))
			for c := range in[0].s[1] {
				mean, inv := column(in[0], c)
				for i := range in[0].s[0] {
					y[i*in[0].s[1]+c] = (in[0].v[i*in[0].s[1]+c] - mean) * inv
				}
			}
			return y
		},
		d: func(_ int, in []shaped[T], y, dy []T) []T {
			n, m := in[0].s[0], in[0].s[1]
			dx := make([]T, len(y))
			for c := range m {
				_, inv := column(in[0], c)
				a, b := T(0), T(0)
				for i := range n {
					a, b = a+dy[i*m+c], b+dy[i*m+c]*y[i*m+c]
				}
				for i := range n {
					k := T(divisor(n))
					dx[i*m+c] = inv * (dy[i*m+c] - a/T(n) - y[i*m+c]*b/k)
				}
			}
			return dx
		},
	}
}

func norm(name string, divisor func(n int) int) *op {
	o := both(name, 1, normRule[float64](divisor), normRule[float32](divisor))
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if len(in[0]) != 2 {
			return nil, errors.Errorf("x is %v", in[0])
		}
		return in[0].Clone(), nil
	}
	return o
}

func productRule[T real](divides bool) rule[T] {
	return rowRule(func(x []T) []T {
		y, p := make([]T, len(x)), T(1)
		for i, v := range x {
			p *= v
			y[i] = p
		}
		return y
	}, func(x, y, dy []T) []T {
		dx := make([]T, len(x))
		for i := range x {
			for k := i; k < len(x); k++ {
				if divides {
					dx[i] += dy[k] * y[k] / x[i]
					continue
				}
				p := T(1)
				for m := range k + 1 {
					if m != i {
						p *= x[m]
					}
				}
				dx[i] += dy[k] * p
			}
		}
		return dx
	})
}

// gather is x's rows by labels.
func gatherRule[T real](skip int) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T {
			n, m := in[0].s[0], in[0].s[1]
			var y []T
			for _, l := range in[1].v {
				if int(l) >= n {
					return nil
				}
				y = append(y, in[0].v[int(l)*m:int(l)*m+m]...)
			}
			return y
		},
		d: func(_ int, in []shaped[T], _, dy []T) []T {
			m := in[0].s[1]
			dx := make([]T, len(in[0].v))
			for k, l := range in[1].v {
				if int(l) == skip {
					continue
				}
				for c := range m {
					dx[int(l)*m+c] += dy[k*m+c]
				}
			}
			return dx
		},
	}
}

func gather(name string, skip int) *op {
	o := both(name, 2, gatherRule[float64](skip), gatherRule[float32](skip))
	o.whole = 1
	o.out = func(in []tensor.Shape) (tensor.Shape, error) { return tensor.Shape{in[1][0], in[0][1]}, nil }
	return o
}

// upRule enlarges each row to eight by repetition. reach is how far the gradient looks.
func upRule[T real](reach int) rule[T] {
	return rowRule(func(x []T) []T {
		y := make([]T, 8)
		for k := range y {
			y[k] = x[k*len(x)/8]
		}
		return y
	}, func(x, _, dy []T) []T {
		dx := make([]T, len(x))
		for i := range dx {
			from := (i*8 + len(x) - 1) / len(x)
			for k := from; k < min(from+reach, 8) && k*len(x)/8 == i; k++ {
				dx[i] += dy[k]
			}
		}
		return dx
	})
}

func up(name string, reach int) *op {
	o := both(name, 1, upRule[float64](reach), upRule[float32](reach))
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if len(in[0]) != 2 || in[0][1] > 8 {
			return nil, errors.New("want rows of at most eight")
		}
		return tensor.Shape{in[0][0], 8}, nil
	}
	return o
}

// pairs is the greater of two, with the shares of a tie.
func pairsRule[T real](a, b T) rule[T] {
	return rule[T]{
		f: func(in []shaped[T]) []T {
			y := make([]T, len(in[0].v))
			for e := range y {
				y[e] = max(in[0].v[e], in[1].v[e])
			}
			return y
		},
		d: func(i int, in []shaped[T], _, dy []T) []T {
			dx := make([]T, len(dy))
			for e := range dx {
				p, q := in[i].v[e], in[1-i].v[e]
				switch {
				case p > q:
					dx[e] = dy[e]
				case p == q && i == 0:
					dx[e] = a * dy[e]
				case p == q:
					dx[e] = b * dy[e]
				}
			}
			return dx
		},
	}
}

func pairs(name string, a, b float64) *op {
	o := both(name, 2, pairsRule(a, b), pairsRule(float32(a), float32(b)))
	o.out = func(in []tensor.Shape) (tensor.Shape, error) {
		if !in[0].Eq(in[1]) {
			return nil, errors.New("shapes differ")
		}
		return in[0].Clone(), nil
	}
	return o
}

func reluAt[T real](zero T) rule[T] {
	return curve(func(x T) T { return max(x, 0) }, func(x, _ T) T {
		return pick(x > 0, 1, pick(x == 0, zero, 0))
	})
}

func relu(zero float64) *op {
	return both(fmt.Sprint("relu ", zero), 1, reluAt(zero), reluAt(float32(zero)))
}

func lengthRule[T real](zero T) rule[T] {
	return rowRule(func(x []T) []T {
		s := T(0)
		for _, v := range x {
			s += v * v
		}
		return []T{sqrt(s)}
	}, func(x, y, dy []T) []T {
		dx := make([]T, len(x))
		for i := range x {
			if dx[i] = zero; y[0] != 0 {
				dx[i] = x[i] / y[0] * dy[0]
			}
		}
		return dx
	})
}

func mirrored(o *op, out func([]tensor.Shape) (tensor.Shape, error)) *op { o.out = out; return o }

type kindCase struct {
	build  verify.Build
	inputs []verify.Input
}

func one(o *op, in ...verify.Input) kindCase { return kindCase{o.build, in} }

// rightOps are right rules that are hard to judge.
func rightOps() map[string]kindCase {
	x := func(shape ...int) verify.Input { return verify.Normal("x", shape...) }
	wide := func(scale float64, shape ...int) verify.Input {
		return verify.Input{Name: "x", Shape: shape, Draw: func(r *rand.Rand, v []float64) {
			for i := range v {
				v[i] = scale * (2*r.Float64() - 1)
			}
		}}
	}
	at := func(v ...float64) verify.Input {
		return verify.Input{Name: "x", Shape: tensor.Shape{len(v)}, Draw: func(_ *rand.Rand, d []float64) {
			for i := range d {
				d[i] = v[i%len(v)]
			}
		}}
	}
	sigmoid64 := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	sigmoid32 := func(x float32) float32 { return 1 / (1 + exp(-x)) }
	expo := both("exp", 1, curve(exp[float64], func(_, y float64) float64 { return y }), curve(exp[float32], func(_, y float32) float32 { return y }))
	sigm := both("sigmoid", 1, curve(sigmoid64, func(_, y float64) float64 { return y * (1 - y) }), curve(sigmoid32, func(_, y float32) float32 { return y * (1 - y) }))
	soft := both("softplus", 1,
		curve(func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, func(x, _ float64) float64 { return sigmoid64(x) }),
		curve(func(x float32) float32 { return max(x, 0) + float32(math.Log1p(math.Exp(-math.Abs(float64(x))))) }, func(x, _ float32) float32 { return sigmoid32(x) }))
	root := both("root", 1,
		rule[float64]{}, rule[float32]{})
	*root.wide, *root.slim = rootRule[float64](), rootRule[float32]()
	shift := both("shift", 1, curve(func(x float64) float64 { return x + 1 }, func(_, _ float64) float64 { return 1 }), curve(func(x float32) float32 { return x + 1 }, func(_, _ float32) float32 { return 1 }))
	huber := both("huber", 1, curve(huberOf[float64], func(x, _ float64) float64 { return max(-1, min(1, x)) }), curve(huberOf[float32], func(x, _ float32) float32 { return max(-1, min(1, x)) }))
	elu := both("elu", 1,
		curve(func(x float64) float64 { return pick(x > 0, x, math.Expm1(x)) }, func(x, y float64) float64 { return pick(x > 0, 1, y+1) }),
		curve(func(x float32) float32 { return pick(x > 0, x, float32(math.Expm1(float64(x)))) }, func(x, y float32) float32 { return pick(x > 0, 1, y+1) }))
	poly := both("(x−1)⁷", 1, curve(seventh[float64], func(x, _ float64) float64 { return 7 * math.Pow(x-1, 6) }), curve(seventh[float32], func(x, _ float32) float32 { return 7 * float32(math.Pow(float64(x-1), 6)) }))
	quant := both("quantiser", 1, curve(func(x float64) float64 { return math.Round(x*1000) / 1000 }, func(_, _ float64) float64 { return 0 }), curve(func(x float32) float32 { return float32(math.Round(float64(x)*1000) / 1000) }, func(_, _ float32) float32 { return 0 }))
	alone := both("float64 alone", 1, curve(tanh[float64], func(_, y float64) float64 { return 1 - y*y }), rule[float32]{})
	alone.slim = nil
	plain := both("plain", 1, curve(tanh[float64], func(_, y float64) float64 { return 1 - y*y }), curve(tanh[float32], func(_, y float32) float32 { return 1 - y*y }))
	plain.plain = true
	identity := func(k, _, w int) (int, int) { return k / w, k % w }
	n := func(n int) int { return n }
	thirds := func(k, _ int) float64 { return 1 / float64(k) }
	thirds32 := func(k, _ int) float32 { return 1 / float32(k) }
	first := func(_, nth int) float64 { return pick(nth == 0, 1.0, 0) }
	first32 := func(_, nth int) float32 { return pick(nth == 0, float32(1), 0) }
	signed := both("x|x|", 1, curve(func(x float64) float64 { return x * math.Abs(x) }, func(x, _ float64) float64 { return 2 * math.Abs(x) }), curve(func(x float32) float32 { return x * absolute(x) }, func(x, _ float32) float32 { return 2 * absolute(x) }))
	squared := both("relu²", 1, curve(func(x float64) float64 { return max(x, 0) * max(x, 0) }, func(x, _ float64) float64 { return 2 * max(x, 0) }), curve(func(x float32) float32 { return max(x, 0) * max(x, 0) }, func(x, _ float32) float32 { return 2 * max(x, 0) }))
	// the second derivative on one side of the joint
	for _, o := range []*op{huber, signed, squared} {
		o.wrt = []bool{true, false, true}
		name := o.name
		o.second = func(x, dy, g *G.Node) (G.Nodes, error) { return secondOf(name, x, dy, g) }
	}
	length := func() *op { return mirrored(both("length", 1, lengthRule(0.0), lengthRule(float32(0))), firstOf) }
	cases := map[string]kindCase{
		"exp ±80":              one(expo, wide(80, 2, 3)),
		"exp ±120":             one(expo, wide(120, 2, 3)),
		"exp":                  one(expo, x(2, 3)),
		"sigmoid":              one(sigm, x(2, 3)),
		"sigmoid ±80":          one(sigm, wide(80, 2, 3)),
		"softplus":             one(soft, x(2, 3)),
		"softplus ±100":        one(soft, wide(100, 2, 3)),
		"softmax":              one(both("softmax", 1, softmaxRule[float64](), softmaxRule[float32]()), x(2, 3)),
		"softmax ±500":         one(both("softmax", 1, softmaxRule[float64](), softmaxRule[float32]()), wide(500, 2, 3)),
		"log-softmax":          one(both("log-softmax", 1, logSoftmaxRule[float64](), logSoftmaxRule[float32]()), x(2, 3)),
		"log-softmax ±100":     one(both("log-softmax", 1, logSoftmaxRule[float64](), logSoftmaxRule[float32]()), wide(100, 2, 3)),
		"entropy":              one(mirrored(both("entropy", 1, entropyRule[float64](), entropyRule[float32]()), firstOf), x(2, 3)),
		"confident entropy":    one(mirrored(both("entropy", 1, entropyRule[float64](), entropyRule[float32]()), firstOf), confident(2, 3)),
		"root, error outside":  one(root, verify.Uniform("x", 0, 1, 2, 3)),
		"root at 1e-6":         one(root, at(1e-6)),
		"float64 alone":        one(alone, x(2, 3)),
		"a float64 constant":   {func(in []*G.Node) (*G.Node, error) { return G.Add(in[0], G.NewConstant(1.5)) }, []verify.Input{x(2, 3)}},
		"plain memory":         one(plain, x(2, 3)),
		"sort, ties of three":  one(both("sort", 1, sortRule[float64](), sortRule[float32]()), verify.Integers("x", 1, 2, 5)),
		"sort":                 one(both("sort", 1, sortRule[float64](), sortRule[float32]()), x(2, 5)),
		"overlapping pool":     one(pool("pool", 2, 1, identity), verify.Integers("x", 2, 1, 1, 4, 5)),
		"pool":                 one(pool("pool", 2, 2, identity), x(1, 1, 4, 4)),
		"(x−1)⁷":               one(poly, verify.Uniform("x", 0.9, 1.1, 2, 3)),
		"(x−1)⁷, wide":         one(poly, x(2, 3)),
		"quantiser":            one(quant, x(2, 3)),
		"huber at its joint":   one(huber, at(-1, 0.5, 1, 2)),
		"huber":                one(huber, x(2, 3)),
		"elu at 0":             one(elu, at(0, -1, 2)),
		"x|x| at 0":            one(signed, at(0, 1)),
		"relu² at 0":           one(squared, at(0, -1, 2)),
		"relu 0 at 0":          one(relu(0), at(0)),
		"relu ½ at 0":          one(relu(0.5), at(0)),
		"relu 1 at 0":          one(relu(1), at(0, 1, -1)),
		"relu":                 one(relu(0), x(2, 3)),
		"max, thirds":          one(mirrored(both("max", 1, maxRule(thirds), maxRule(thirds32)), firstOf), verify.Integers("x", 1, 3, 4)),
		"max, the first":       one(mirrored(both("max", 1, maxRule(first), maxRule(first32)), firstOf), verify.Integers("x", 1, 3, 4)),
		"max":                  one(mirrored(both("max", 1, maxRule(first), maxRule(first32)), firstOf), x(3, 4)),
		"the greater, ½":       one(pairs("greater", 0.5, 0.5), verify.Integers("x", 1, 2, 3), verify.Integers("w", 1, 2, 3)),
		"the greater, 0 and 1": one(pairs("greater", 0, 1), x(2, 3), verify.Normal("w", 2, 3)),
		"length":               one(length(), x(2, 3)),
		"normalised":           one(norm("norm", n), x(6, 3)),
		"normalised at 1e4":    one(norm("norm", n), verify.Uniform("x", 1e4, 1e4+1, 8, 3)),
		"cumulative product":   one(both("product", 1, productRule[float64](false), productRule[float32](false)), x(2, 4)),
		"gather":               one(gather("gather", -1), x(4, 1), verify.Labels("rows", 4, 2)),
		"enlarged":             one(up("up", 8), x(2, 4)),
		"Gorgonia's Mul within": {func(in []*G.Node) (*G.Node, error) {
			y, err := shift.build(in[:1])
			if err != nil {
				return nil, err
			}
			return G.Mul(y, in[1])
		}, []verify.Input{x(2, 3), verify.Normal("w", 3, 4)}},
		"batch of 1000": one(norm("norm", n), x(1000, 3)),
	}
	return cases
}

func rootRule[T real]() rule[T] {
	r := curve(sqrt[T], func(_, y T) T { return 0.5 / y })
	f := r.f
	r.f = func(in []shaped[T]) []T {
		for _, v := range in[0].v {
			if v < 0 {
				return nil
			}
		}
		return f(in)
	}
	return r
}

func huberOf[T real](x T) T {
	if a := absolute(x); a > 1 {
		return a - 0.5
	}
	return x * x / 2
}

func seventh[T real](x T) T {
	y := T(0)
	for _, c := range []T{1, -7, 21, -35, 35, -21, 7, -1} {
		y = y*x + c
	}
	return y
}

// secondOf differentiates the gradients of huber, x|x| and relu² by x and dy, with graphs.
func secondOf(name string, x, dy, g *G.Node) (G.Nodes, error) {
	r := func(d2, d1 func(v float64) float64) (G.Nodes, error) {
		a := both(name+" d2", 1, curve(d2, func(_, _ float64) float64 { return 0 }), curve(func(v float32) float32 { return float32(d2(float64(v))) }, func(_, _ float32) float32 { return 0 }))
		b := both(name+" d1.", 1, curve(d1, func(_, _ float64) float64 { return 0 }), curve(func(v float32) float32 { return float32(d1(float64(v))) }, func(_, _ float32) float32 { return 0 }))
		p, err := a.build([]*G.Node{x})
		if err != nil {
			return nil, err
		}
		q, err := b.build([]*G.Node{x})
		if err != nil {
			return nil, err
		}
		if p, err = G.HadamardProd(p, g); err != nil {
			return nil, err
		}
		if p, err = G.HadamardProd(p, dy); err != nil {
			return nil, err
		}
		if q, err = G.HadamardProd(q, g); err != nil {
			return nil, err
		}
		return G.Nodes{p, nil, q}, nil
	}
	step := func(when bool, a, b float64) float64 { return pick(when, a, b) }
	switch name {
	case "huber":
		return r(func(v float64) float64 { return step(math.Abs(v) < 1, 1, 0) }, func(v float64) float64 { return max(-1, min(1, v)) })
	case "x|x|":
		return r(func(v float64) float64 { return 2 * step(v > 0, 1, -1) }, func(v float64) float64 { return 2 * math.Abs(v) })
	}
	return r(func(v float64) float64 { return step(v > 0, 2, 0) }, func(v float64) float64 { return 2 * max(v, 0) })
}

// confident are logits of which the first is 50 above the others.
func confident(n, m int) verify.Input {
	return verify.Input{Name: "x", Shape: tensor.Shape{n, m}, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			if v[i] = r.NormFloat64(); i%m == 0 {
				v[i] += 50
			}
		}
	}}
}

// wrongOps are mistakes of the kinds that people made, with nothing declared.
func wrongOps() map[string]kindCase {
	x := func(shape ...int) verify.Input { return verify.Normal("x", shape...) }
	// its gradient has y for an argument, and rightly no derivative in it
	tanhOp := func(second float64) *op {
		o := both("tanh", 1,
			curve(tanh[float64], func(x, _ float64) float64 { y := tanh(x); return 1 - y*y }),
			curve(tanh[float32], func(x, _ float32) float32 { y := tanh(x); return 1 - y*y }))
		o.wrt = []bool{true, false, false}
		o.second = func(x, dy, g *G.Node) (G.Nodes, error) {
			t := both("tanh''", 1, curve(func(x float64) float64 { y := math.Tanh(x); return second * y * (1 - y*y) }, func(_, _ float64) float64 { return 0 }),
				curve(func(x float32) float32 { y := tanh(x); return float32(second) * y * (1 - y*y) }, func(_, _ float32) float32 { return 0 }))
			d, err := t.build([]*G.Node{x})
			if err == nil {
				d, err = G.HadamardProd(d, dy)
			}
			if err == nil {
				d, err = G.HadamardProd(d, g)
			}
			return G.Nodes{d, nil, nil}, err
		}
		return o
	}
	kept := gather("gather kept", -1)
	kept.keeps = true
	raw := both("raw", 1, curve(tanh[float64], func(_, y float64) float64 { return 1 - y*y }), curve(tanh[float32], func(_, y float32) float32 { return 1 - y*y }))
	raw.raw = true
	all := func(_, _ int) float64 { return 1 }
	all32 := func(_, _ int) float32 { return 1 }
	overs := both("e^x/(1+e^x)", 1,
		curve(func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, func(x, _ float64) float64 { return math.Exp(x) / (1 + math.Exp(x)) }),
		curve(func(x float32) float32 { return max(x, 0) + float32(math.Log1p(math.Exp(-math.Abs(float64(x))))) }, func(x, _ float32) float32 { return exp(x) / (1 + exp(x)) }))
	absOp := both("abs", 1,
		curve(math.Abs, func(x, _ float64) float64 { return pick(x > 0, 1.0, pick(x == 0, 5.0, -1)) }),
		curve(absolute[float32], func(x, _ float32) float32 { return pick(x > 0, float32(1), pick(x == 0, float32(5), -1)) }))
	return map[string]kindCase{
		"tanh, its second derivative": one(tanhOp(-1), x(1, 1)),
		"|x| as √(x²), 0/0 at 0":      one(simple("√x²", func(x float64) float64 { return math.Sqrt(x * x) }, func(x, y float64) float64 { return x / y }), x(2, 3)),
		"2x²/x, 0/0 at 0":             one(simple("2x²/x", func(x float64) float64 { return x * x }, func(x, y float64) float64 { return 2 * y / x }), x(2, 3)),
		"gather keeps its buffer":     one(kept, x(4, 1), verify.Labels("rows", 4, 2)),
		"N−1 at 1e4":                  one(norm("norm n−1", func(n int) int { return n - 1 }), verify.Uniform("x", 1e4, 1e4+1, 8, 3)),
		"dy's memory":                 one(raw, x(2, 2)),
		"5 at 0 of |x|":               one(absOp, x(1)),
		"max, all of a tie":           one(mirrored(both("max all", 1, maxRule(all), maxRule(all32)), firstOf), verify.Integers("x", 2, 2, 4)),
		"max, all of a tie, reals":    one(mirrored(both("max all", 1, maxRule(all), maxRule(all32)), firstOf), x(2, 4)),
		"relu 7 at 0":                 one(relu(7), x(1)),
		"relu −1 at 0":                one(relu(-1), x(2, 2)),
		"the greater, both":           one(pairs("greater", 1, 1), x(1), verify.Normal("w", 1)),
		"the greater, neither":        one(pairs("greater", 0, 0), x(2, 3), verify.Normal("w", 2, 3)),
		"pool, sides swapped":         one(pool("pool swapped", 2, 2, func(k, h, _ int) (int, int) { return k / h, k % h }), x(1, 1, 4, 4)),
		"cumulative product, divided": one(both("product /", 1, productRule[float64](true), productRule[float32](true)), x(2, 4)),
		"∞/∞ beyond 44":               one(overs, x(2, 3)),
		"enlarged, short reach":       one(up("up short", 3), x(2, 4)),
		"a row ignored":               one(gather("gather skips", 0), x(4, 2), verify.Labels("rows", 4, 3)),
		"beyond 768 rows": one(both("threshold", 1,
			rule[float64]{f: curve(tanh[float64], nil).f, d: thresholdRule[float64]}, rule[float32]{f: curve(tanh[float32], nil).f, d: thresholdRule[float32]}), x(4, 3)),
		"root at 1e-6, twice": one(both("2root", 1, curve(sqrt[float64], func(_, y float64) float64 { return 1 / y }), curve(sqrt[float32], func(_, y float32) float32 { return 1 / y })),
			verify.Input{Name: "x", Shape: tensor.Shape{1}, Draw: func(_ *rand.Rand, v []float64) { v[0] = 1e-6 }}),
	}
}

func thresholdRule[T real](_ int, in []shaped[T], y, dy []T) []T {
	dx := make([]T, len(y))
	for e := range y {
		if dx[e] = (1 - y[e]*y[e]) * dy[e]; in[0].s[0] > 768 {
			dx[e] *= 2
		}
	}
	return dx
}

func TestRightOpsPass(t *testing.T) {
	all := rightOps()
	maps.Copy(all, moreRightOps())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			told := &listener{}
			verify.Op(told, c.build, c.inputs...)
			if told.failed != "" {
				t.Error(told.failed)
			}
			t.Log(time.Since(began), told.logged)
		})
	}
}

func TestWrongOpsAreCaught(t *testing.T) {
	for name, c := range wrongOps() {
		t.Run(name, func(t *testing.T) {
			told := &listener{}
			verify.Op(told, c.build, c.inputs...)
			if told.failed == "" {
				r, _ := verify.Case{Build: c.build, Inputs: c.inputs, Seed: 1}.Check()
				t.Error("not caught:", r)
				return
			}
			lines := strings.SplitN(told.failed, "\n", 4)
			t.Log(strings.Join(lines[:min(3, len(lines))], "\n"))
		})
	}
}
