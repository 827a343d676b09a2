package ops

import (
	"fmt"
	"go/ast"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// What Gorgonia and ops/vm ask of an op, checked for every op of the package. Each check is a
// function from an op to the breaches it found, so that it can be turned on ops that are broken on
// purpose: those of contract_broken_test.go. The checks are in contract_checks_test.go.

// A machineOp is what the machines see of an op.
type machineOp interface {
	G.SDOp
	G.ADOp
	G.UsePreallocDoer
}

// A subject is one op of the package and operands that it takes. All sides are 2 or more, since
// tensor drops sides of 1 when it slices.
type subject struct {
	spec   spec
	shapes []tensor.Shape
	below  map[int]int      // integer operands: their elements are 0 to below−1
	fixed  map[int][]int    // or these
	others [][]tensor.Shape // other shapes that the same op takes, if the spec does not fix them
	given  map[int]any      // or these, of any type
	bad    map[int][]any    // elements that an integer operand must not have
}

func subjects() []subject {
	sp := kernel.Spatial{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 2, PadTop: 1, PadBottom: 0, PadLeft: 2, PadRight: 1}
	conv, err := kernel.NewConv(2, 4, 7, 6, 6, 3, 2, 2, sp, true)
	if err != nil {
		panic(err)
	}
	x, w, y := xSides(conv), wSides(conv), ySides(conv)
	pool, err := kernel.NewPool(2, 3, 6, 5, 3, 2, kernel.Spatial{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadRight: 1})
	if err != nil {
		panic(err)
	}
	from, to := inSides(pool), outSides(pool)
	winners, badWinners := map[int]int{1: pool.H * pool.W}, map[int][]any{1: {int32(-1), int32(pool.H * pool.W), int32(math.MaxInt32)}}
	mirrored := resample{N: 2, C: 3, Scale: -2,
		Rows: kernel.AxisMap{Kind: kernel.PadReflect, Window: kernel.Window{In: 5, Before: 2, Out: 8}},
		Cols: kernel.AxisMap{Kind: kernel.WindowSum, Window: kernel.Window{In: 6, Size: 3, Stride: 2, Dilation: 2, Before: 1, After: 1, Out: 2}}}
	shared := kernel.Pool{N: 2, C: 3, H: 5, W: 7, P: 3, Q: 2, Rows: kernel.Window{In: 5, Out: 3}, Cols: kernel.Window{In: 7, Out: 2}}
	rowOf := momentRow{3, 1}
	matrix, cube, row := tensor.Shape{3, 4}, tensor.Shape{2, 3, 4}, tensor.Shape{3}
	larger := tensor.Shape{7, 9, 5}
	norm := normalise{Of: sizeOf(cube), Norm: kernel.ChannelNorm(2, 3, 4, kernel.NormBatch), Affine: true, Eps: 0.5}
	stats := tensor.Shape{2, 3}
	var none tensor.Shape
	return []subject{
		{spec: conv2D{Geometry: conv, Bias: true}, shapes: []tensor.Shape{x, w, {6}}},
		{spec: conv2D{Geometry: conv, ReLU: true}, shapes: []tensor.Shape{x, w}},
		{spec: conv2DBackwardData{conv}, shapes: []tensor.Shape{y, w}},
		{spec: biasedTransposed{Geometry: conv, ReLU: true}, shapes: []tensor.Shape{y, w, {4}}},
		{spec: conv2DBackwardFilter{conv}, shapes: []tensor.Shape{x, y}},
		{spec: sumChannels{sizeOf(y)}, shapes: []tensor.Shape{y}},
		{spec: spreadChannels{sizeOf(y)}, shapes: []tensor.Shape{{6}}},
		{spec: maxWinners{pool}, shapes: []tensor.Shape{from}},
		{spec: gather{Geometry: pool}, shapes: []tensor.Shape{from, to}, below: winners, bad: badWinners},
		{spec: scatter{pool}, shapes: []tensor.Shape{to, to}, below: winners, bad: badWinners},
		{spec: avgPool{pool, true}, shapes: []tensor.Shape{from}},
		{spec: avgPoolBackward{pool, false}, shapes: []tensor.Shape{to}},
		{spec: l2Pool{pool}, shapes: []tensor.Shape{from}},
		{spec: l2PoolBackward{pool}, shapes: []tensor.Shape{from, to, to}},
		{spec: lpPool{pool, 3}, shapes: []tensor.Shape{from}},
		{spec: lpPoolBackward{pool, 2.5}, shapes: []tensor.Shape{from, to, to}},
		{spec: power{3, 1.5, true}, shapes: []tensor.Shape{cube}, others: [][]tensor.Shape{{larger}}},
		{spec: sumWindows{pool}, shapes: []tensor.Shape{from}},
		{spec: spreadWindows{pool}, shapes: []tensor.Shape{to}},
		{spec: addChannels{sizeOf(y)}, shapes: []tensor.Shape{y, {6}}},
		{spec: mirrored, shapes: []tensor.Shape{mirrored.from()}},
		{spec: resampleBackward(mirrored), shapes: []tensor.Shape{mirrored.to()}},
		{spec: adaptiveWinners{shared}, shapes: []tensor.Shape{inSides(shared)}},
		{spec: moments{sizeOf(cube), norm.Norm}, shapes: []tensor.Shape{cube}},
		{spec: norm, shapes: []tensor.Shape{cube, row, row, stats}},
		{spec: normSums(norm), shapes: []tensor.Shape{cube, cube, stats}},
		{spec: normBackward(norm), shapes: []tensor.Shape{cube, cube, row, stats, stats}},
		{spec: normSecond(norm), shapes: []tensor.Shape{cube, cube, cube, row, stats, stats, stats}},
		{spec: normScaleSecond(norm), shapes: []tensor.Shape{cube, cube, stats, stats, stats}},
		{spec: rowOf, shapes: []tensor.Shape{stats}},
		{spec: fromRow{3, 1}, shapes: []tensor.Shape{row}},
		{spec: stack{3}, shapes: []tensor.Shape{row, row}},
		{spec: relu{3}, shapes: []tensor.Shape{cube}, others: [][]tensor.Shape{{larger}}},
		{spec: gate{3}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
		{spec: activation{Rank: 3, Of: kernel.Activation{Func: kernel.GELU}}, shapes: []tensor.Shape{cube}, others: [][]tensor.Shape{{larger}}},
		{spec: activationBackward{Rank: 3, Of: kernel.Activation{Func: kernel.ELU, A: 1.5}}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
		{spec: reshape{sizeOf(cube), sizeOf(tensor.Shape{2, 12})}, shapes: []tensor.Shape{cube}},
		{spec: linear{N: 3, I: 4, O: 5, Bias: true}, shapes: []tensor.Shape{{3, 4}, {5, 4}, {5}}},
		{spec: matMul{M: 3, N: 4, K: 5, TransA: true}, shapes: []tensor.Shape{{5, 3}, {5, 4}}},
		{spec: sumRows{3, 4}, shapes: []tensor.Shape{matrix}},
		{spec: spreadRows{3, 4}, shapes: []tensor.Shape{{4}}},
		{spec: squaredError{Rank: 3, Factor: 0.5}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
		{spec: squaredError{Rank: 0, Factor: 0.5}, shapes: []tensor.Shape{none, none}},
		{spec: advance{}, shapes: []tensor.Shape{{stateSize}}, fixed: map[int][]int{0: {5, 1, 1, 0}}},
		{spec: product{3}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
		{spec: difference{3}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
		{spec: quotient{3}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
		{spec: scale{3, -1.5}, shapes: []tensor.Shape{cube}, others: [][]tensor.Shape{{larger}}},
		{spec: scale{0, -1.5}, shapes: []tensor.Shape{none}},
		{spec: affineOf{3, -1.5, 0.25}, shapes: []tensor.Shape{cube}, others: [][]tensor.Shape{{larger}}},
		{spec: scaleBy{3, -1.5}, shapes: []tensor.Shape{cube, none}, others: [][]tensor.Shape{{larger, none}}},
		{spec: dot{3, -1.5}, shapes: []tensor.Shape{cube, cube}, others: [][]tensor.Shape{{larger, larger}}},
	}
}

func (s subject) String() string { return fmt.Sprintf("%T", s.spec) }

// tied reports whether a side of an operand must have the length that it has: the spec fixes it, or
// it is always that of some other operand.
func (s subject) tied(operand, axis int) bool {
	if s.others == nil {
		return true
	}
	all := append([][]tensor.Shape{s.shapes}, s.others...)
	for i, shape := range s.shapes {
		for k := range shape {
			always := i != operand
			for _, shapes := range all {
				always = always && shapes[i][k] == shapes[operand][axis]
			}
			if always {
				return true
			}
		}
	}
	return false
}

// values are random operands. Distinct calls give distinct memory.
func (s subject) values(of tensor.Dtype, shapes []tensor.Shape, r *rand.Rand) []G.Value {
	vs := make([]G.Value, len(shapes))
	for i, shape := range shapes {
		n := shape.TotalSize()
		kind := s.spec.args()[i].of
		if !s.spec.args()[i].integer() {
			kind = of
		}
		var data any
		if v, ok := s.given[i]; ok {
			vs[i] = valueOf(shape, reflect.AppendSlice(reflect.MakeSlice(reflect.TypeOf(v), 0, 0), reflect.ValueOf(v)).Interface())
			continue
		}
		switch kind {
		case tensor.Float32:
			data = fill(n, func() float32 { return float32(r.NormFloat64()) })
		case tensor.Float64:
			data = fill(n, r.NormFloat64)
		case tensor.Int32:
			data = fill(n, func() int32 { return int32(r.IntN(s.below[i])) })
		default:
			if data = append([]int(nil), s.fixed[i]...); s.fixed[i] == nil {
				data = fill(n, func() int { return r.IntN(s.below[i]) })
			}
		}
		vs[i] = valueOf(shape, data)
	}
	return vs
}

func fill[T any](n int, f func() T) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = f()
	}
	return v
}

// valueOf is data as a value of Gorgonia's.
func valueOf(shape tensor.Shape, data any) G.Value {
	if len(shape) > 0 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	switch d := data.(type) {
	case []float32:
		return G.NewF32(d[0])
	case []float64:
		return G.NewF64(d[0])
	}
	panic("no such scalar")
}

// bits are the elements of memory that a value stands on, as numbers that differ wherever a bit
// does.
func bits(v G.Value) []uint64 {
	switch d := v.Data().(type) {
	case float32:
		return []uint64{uint64(math.Float32bits(d))}
	case float64:
		return []uint64{math.Float64bits(d)}
	case []float32:
		return each64(d, func(x float32) uint64 { return uint64(math.Float32bits(x)) })
	case []float64:
		return each64(d, math.Float64bits)
	case []int32:
		return each64(d, func(x int32) uint64 { return uint64(uint32(x)) })
	case []int:
		return each64(d, func(x int) uint64 { return uint64(x) })
	}
	panic(fmt.Sprintf("%T has no bits", v.Data()))
}

func each64[T any](v []T, f func(T) uint64) []uint64 {
	b := make([]uint64, len(v))
	for i, x := range v {
		b[i] = f(x)
	}
	return b
}

func bitsOf(vs []G.Value) [][]uint64 {
	var all [][]uint64
	for _, v := range vs {
		all = append(all, bits(v))
	}
	return all
}

// memory is the range of addresses of a value's elements.
func memory(v G.Value) (lo, hi uintptr) {
	if _, ok := v.(*tensor.Dense); !ok { // a scalar is its own memory
		lo = uintptr(v.Uintptr())
		return lo, lo + v.MemSize()
	}
	d := reflect.ValueOf(v.Data())
	if d.Kind() != reflect.Slice {
		return uintptr(v.Uintptr()), uintptr(v.Uintptr()) + 1
	}
	return d.Pointer(), d.Pointer() + uintptr(d.Len())*d.Type().Elem().Size()
}

// spoil overwrites all of a value's elements: floats by NaN, integers by −7, which is neither a
// label nor a winner.
func spoil(v G.Value) {
	switch s := v.(type) {
	case *G.F32:
		*s = G.F32(math.NaN())
		return
	case *G.F64:
		*s = G.F64(math.NaN())
		return
	}
	switch d := v.Data().(type) {
	case []float32:
		for i := range d {
			d[i] = float32(math.NaN())
		}
	case []float64:
		for i := range d {
			d[i] = math.NaN()
		}
	case []int32:
		for i := range d {
			d[i] = -7
		}
	case []int:
		for i := range d {
			d[i] = -7
		}
	}
}

// quietly runs f and turns a panic into an error that begins with "panic".
func quietly(f func() (G.Value, error)) (v G.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

// breaches collects what a check finds.
type breaches []string

func (b *breaches) add(format string, args ...any) { *b = append(*b, fmt.Sprintf(format, args...)) }

// run is Do with any error as a breach.
func (b *breaches) run(o machineOp, vs []G.Value) G.Value {
	v, err := quietly(func() (G.Value, error) { return o.Do(vs...) })
	if err != nil {
		b.add("Do: %v", err)
		return nil
	}
	return v
}

var floats = []tensor.Dtype{tensor.Float32, tensor.Float64}

// The table has a row for every type of the package that implements spec.
func TestEveryOpIsASubject(t *testing.T) {
	have := map[string]bool{}
	for _, s := range subjects() {
		have[strings.TrimPrefix(s.String(), "ops.")] = true
	}
	found := 0
	for _, f := range functions(t) {
		if f.Name.Name != "exec" || f.Recv == nil {
			continue
		}
		found++
		if name := f.Recv.List[0].Type.(*ast.Ident).Name; !have[name] && name != "applied" {
			t.Errorf("no subject is a %s", name)
		}
	}
	if found < 25 {
		t.Errorf("found %d ops in the source: is the search right?", found)
	}
}

// Every op of the package keeps the contract.
func TestContract(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.String(), func(t *testing.T) {
			o := op{s.spec}
			for _, c := range checks {
				for _, breach := range c.check(o, s) {
					t.Errorf("%s: %s", c.name, breach)
				}
			}
			for _, breach := range checkFields(s.spec, func(changed any) G.Op { return op{changed.(spec)} }) {
				t.Errorf("hash: %s", breach)
			}
		})
	}
}

var checks = []struct {
	name  string
	check func(machineOp, subject) breaches
}{
	{"identity", checkIdentity},
	{"state", checkState},
	{"layout", checkLayouts},
	{"alias", checkAliases},
	{"destination", checkDestination},
	{"wrong values", checkWrongValues},
	{"wrong nodes", checkWrongNodes},
}

// Two ops of different types that would write the same fields have different hashes.
func TestHashesOfTypesDiffer(t *testing.T) {
	seen := map[uint32]string{}
	for _, s := range subjects() {
		code := op{s.spec}.Hashcode()
		if other, ok := seen[code]; ok {
			t.Errorf("%+v and %s have one hash", s.spec, other)
		}
		seen[code] = fmt.Sprintf("%T%+v", s.spec, s.spec)
	}
	g := sumChannels{sizeOf(tensor.Shape{1, 2, 3, 4})}
	if (op{g}).Hashcode() == (op{spreadChannels(g)}).Hashcode() {
		t.Error("an op and its adjoint with the same fields have one hash")
	}
}
