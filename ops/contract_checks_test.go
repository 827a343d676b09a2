package ops

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// checkIdentity: the hash is what WriteHash writes, and all that describes the op stays the same
// from call to call.
func checkIdentity(o machineOp, s subject) (b breaches) {
	h := fnv.New32a()
	o.WriteHash(h)
	if got := o.Hashcode(); got != h.Sum32() {
		b.add("Hashcode is %x, what WriteHash writes has %x", got, h.Sum32())
	}
	name, code := o.String(), o.Hashcode()
	if name == "" || name != o.String() || code != o.Hashcode() {
		b.add("String, at first %q, or Hashcode, at first %x, changes from call to call", name, code)
	}
	if o.Arity() != len(s.shapes) {
		b.add("Arity is %d, takes %d", o.Arity(), len(s.shapes))
	}
	if o.ReturnsPtr() || o.CallsExtern() || o.OverwritesInput() != -1 {
		b.add("flags %v %v %d would make TapeMachine hand it memory of an operand", o.ReturnsPtr(), o.CallsExtern(), o.OverwritesInput())
	}
	if first, second := o.Type(), o.Type(); fmt.Sprint(first) != fmt.Sprint(second) || first == second {
		b.add("Type gives %p %v, then %p %v: want equal types made anew", first, first, second, second)
	}
	return b
}

// checkFields changes each field of a spec in turn, elements of arrays and fields of fields too,
// and wants another hash and another name or hash each time.
func checkFields(of any, make func(changed any) G.Op) (b breaches) {
	v := reflect.New(reflect.TypeOf(of)).Elem()
	v.Set(reflect.ValueOf(of))
	seen := map[uint32]string{make(v.Interface()).Hashcode(): "the op itself"}
	var walk func(v, root reflect.Value, path string)
	walk = func(v, root reflect.Value, path string) {
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() // unexported fields too
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), root, path+"."+v.Type().Field(i).Name)
			}
			return
		case reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i), root, fmt.Sprintf("%s[%d]", path, i))
			}
			return
		}
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		var changes []func()
		switch v.Kind() {
		case reflect.Bool:
			changes = []func(){func() { v.SetBool(!old.Bool()) }}
		case reflect.Int:
			changes = []func(){func() { v.SetInt(old.Int() + 101) }, func() { v.SetInt(-old.Int() - 1) }}
		case reflect.Uint64:
			changes = []func(){func() { v.SetUint(old.Uint() + 101) }, func() { v.SetUint(old.Uint() ^ 1<<63) }}
		case reflect.Float64: // the next number too: a hash of few digits would merge them
			changes = []func(){func() { v.SetFloat(-old.Float() - 2) }, func() { v.SetFloat(math.Nextafter(old.Float(), 9)) }}
		default:
			b.add("%s is a %v: an op's fields are numbers and flags, anything else can hold state", path, v.Kind())
		}
		for i, change := range changes {
			change()
			what := fmt.Sprintf("%s, change %d", path, i)
			code := make(root.Interface()).Hashcode()
			if other, ok := seen[code]; ok {
				b.add("%s has the hash of %s", what, other)
			}
			seen[code] = what
			v.Set(old)
		}
	}
	walk(v, v, reflect.TypeOf(of).Name())
	return b
}

// checkState runs an op on other values and shapes, and from several goroutines, and wants each
// call to give what it gave the first time, in memory of its own.
func checkState(o machineOp, s subject) (b breaches) {
	type job struct {
		in   []G.Value
		want []uint64
		out  G.Value
	}
	var jobs []job
	for _, of := range floats {
		for i, shapes := range append([][]tensor.Shape{s.shapes, s.shapes}, s.others...) {
			j := job{in: s.values(of, shapes, rand.New(rand.NewPCG(uint64(i), 3)))}
			if j.out = b.run(o, j.in); j.out == nil {
				return b
			}
			j.want = bits(j.out)
			jobs = append(jobs, j)
		}
	}
	for i, j := range jobs {
		if !reflect.DeepEqual(bits(j.out), j.want) {
			b.add("the result of call %d has changed since", i)
		}
		if again := b.run(o, j.in); again != nil && !reflect.DeepEqual(bits(again), j.want) {
			b.add("call %d has another result when it is repeated", i)
		}
	}
	if len(b) > 0 { // goroutines would only add a data race
		return b
	}
	var wait sync.WaitGroup
	var mutex sync.Mutex
	for range 4 {
		wait.Go(func() {
			for i, j := range jobs {
				v, err := quietly(func() (G.Value, error) { return o.Do(j.in...) })
				if err != nil || !reflect.DeepEqual(bits(v), j.want) {
					mutex.Lock()
					b.add("call %d has another result among other goroutines' (error %v)", i, err)
					mutex.Unlock()
				}
			}
		})
	}
	wait.Wait()
	return b
}

// checkLayouts: whatever the strides of an operand, the result is that of a plain copy, bit for
// bit.
func checkLayouts(o machineOp, s subject) (b breaches) {
	for _, of := range floats {
		plain := s.values(of, s.shapes, rand.New(rand.NewPCG(5, 5)))
		result := b.run(o, plain)
		if result == nil {
			return b
		}
		want := bits(result)
		every := map[string][]G.Value{} // all operands in one layout
		for i, v := range plain {
			d, ok := v.(*tensor.Dense)
			if !ok {
				continue
			}
			for _, l := range layouts(d) {
				if every[l.name] == nil {
					every[l.name] = append([]G.Value(nil), plain...)
				}
				every[l.name][i] = l.value
				vs := append([]G.Value(nil), plain...)
				vs[i] = l.value
				if got := b.run(o, vs); got != nil && !reflect.DeepEqual(bits(got), want) {
					b.add("%v, operand %d as %s: another result than of a plain copy", of, i, l.name)
				}
			}
		}
		for name, vs := range every {
			if got := b.run(o, vs); got != nil && !reflect.DeepEqual(bits(got), want) {
				b.add("%v, all operands as %s: another result than of plain copies", of, name)
			}
		}
	}
	return b
}

// checkAliases: no operand is changed, and the result is memory of its own: it neither is an
// operand's nor follows when the operand changes, in whatever layout the operand is.
func checkAliases(o machineOp, s subject) (b breaches) {
	try := func(name string, vs, whole []G.Value) {
		before, shapes := bitsOf(whole), make([]tensor.Shape, len(vs))
		for i, v := range vs {
			shapes[i] = v.Shape().Clone()
		}
		result := b.run(o, vs)
		if result == nil {
			return
		}
		if !reflect.DeepEqual(bitsOf(whole), before) {
			b.add("%s: an operand has changed", name)
		}
		lo, hi := memory(result)
		for i, v := range whole {
			if l, h := memory(v); l < hi && lo < h {
				b.add("%s: the result shares memory with operand %d", name, i)
			}
			if rs, vs := result.Shape(), v.Shape(); len(rs) > 0 && len(vs) > 0 && unsafe.SliceData(rs) == unsafe.SliceData(vs) {
				b.add("%s: the result's shape is operand %d's slice", name, i)
			}
		}
		for i, v := range vs {
			if !v.Shape().Eq(shapes[i]) {
				b.add("%s: operand %d now has shape %v", name, i, v.Shape())
			}
		}
		want := bits(result)
		for _, v := range whole {
			spoil(v)
		}
		if !reflect.DeepEqual(bits(result), want) {
			b.add("%s: the result changes with an operand", name)
		}
		// The result is the caller's: what the caller does to it reaches no later result.
		again := s.values(tensor.Float64, s.shapes, rand.New(rand.NewPCG(6, 7)))
		second := b.run(o, again)
		if second == nil {
			return
		}
		want = bits(second)
		spoil(result)
		after := bits(second)
		if third := b.run(o, again); third != nil && !reflect.DeepEqual([][]uint64{after, bits(third)}, [][]uint64{want, want}) {
			b.add("%s: a result follows what is done to an older one", name)
		}
	}
	for _, of := range floats {
		plain := s.values(of, s.shapes, rand.New(rand.NewPCG(6, 6)))
		for i, v := range plain {
			if d, ok := v.(*tensor.Dense); ok {
				for _, l := range layouts(d) {
					vs := s.values(of, s.shapes, rand.New(rand.NewPCG(6, 6)))
					vs[i] = l.value
					whole := append(append([]G.Value(nil), vs...), l.whole...)
					// the slice itself is part of its whole
					whole = append(whole[:i], whole[i+1:]...)
					try(fmt.Sprintf("%v, operand %d as %s", of, i, l.name), vs, whole)
				}
			}
		}
		try(of.String(), plain, plain)
	}
	return b
}

// dirty is memory for a result, full of what must not show.
func dirty(shape tensor.Shape, of tensor.Dtype) G.Value {
	switch {
	case len(shape) == 0 && of == tensor.Float32:
		return G.NewF32(float32(math.NaN()))
	case len(shape) == 0:
		return G.NewF64(math.NaN())
	}
	d := tensor.New(tensor.WithShape(shape...), tensor.Of(of))
	spoil(d)
	return d
}

// checkDestination: UsePreallocDo returns the memory it is handed, with the bits that Do gives,
// whatever was in it; it refuses memory that does not fit.
func checkDestination(o machineOp, s subject) (b breaches) {
	for _, of := range floats {
		in := s.values(of, s.shapes, rand.New(rand.NewPCG(8, 8)))
		result := b.run(o, in)
		if result == nil {
			return b
		}
		shape, kind := result.Shape().Clone(), result.Dtype()
		into := func(dst G.Value) (G.Value, error) {
			return quietly(func() (G.Value, error) { return o.UsePreallocDo(dst, in...) })
		}
		before := bitsOf(in)
		dst := dirty(shape, kind)
		got, err := into(dst)
		switch {
		case err != nil:
			b.add("%v: UsePreallocDo: %v", of, err)
		case got != dst:
			b.add("%v: UsePreallocDo returns %T, want its destination", of, got)
		case !reflect.DeepEqual(bits(got), bits(result)):
			b.add("%v: UsePreallocDo into dirty memory gives %v, Do gives %v", of, got, result)
		}
		if !reflect.DeepEqual(bitsOf(in), before) {
			b.add("%v: UsePreallocDo has changed an operand", of)
		}
		other := map[tensor.Dtype]tensor.Dtype{tensor.Float32: tensor.Float64, tensor.Float64: tensor.Float32, tensor.Int32: tensor.Int, tensor.Int: tensor.Int32, tensor.Int64: tensor.Int}[kind]
		wrong := map[string]G.Value{
			"nil":                    nil,
			"a nil tensor":           (*tensor.Dense)(nil),
			"a nil scalar":           (*G.F64)(nil),
			"a nil float32 scalar":   (*G.F32)(nil),
			"of another type":        dirty(shape, other),
			"integers":               tensor.New(tensor.WithShape(append(tensor.Shape{2}, shape...)...), tensor.Of(tensor.Int64)),
			"of a rank more":         dirty(append(tensor.Shape{2}, shape...), kind),
			"of a rank more, as big": dirty(append(tensor.Shape{1}, shape...), kind),
		}
		if len(shape) == 0 {
			wrong["a tensor of rank 0"] = tensor.New(tensor.FromScalar(1.0))
		} else {
			wrong["a scalar"] = G.NewF64(0)
			for i := range shape {
				more := shape.Clone()
				more[i]++
				wrong[fmt.Sprintf("larger by 1 on axis %d", i)] = dirty(more, kind)
			}
			for _, l := range layouts(dirty(shape, kind).(*tensor.Dense)) {
				if !isPlain(l.value.Shape(), l.value.Strides()) {
					wrong[l.name] = l.value
				}
			}
		}
		for name, dst := range wrong {
			if _, err := into(dst); err == nil || !named(err, s) {
				b.add("%v: a destination that is %s: error %v, want one that names the op", of, name, err)
			}
		}
	}
	return b
}

// named reports whether an error begins with package and op, and is no panic, caught by us or by
// the test.
func named(err error, s subject) bool {
	return strings.HasPrefix(err.Error(), "ops: "+s.spec.name()) && !strings.Contains(err.Error(), "internal error")
}

// checkWrongValues hands Do and UsePreallocDo what they cannot take and wants errors that name the
// op.
func checkWrongValues(o machineOp, s subject) (b breaches) {
	fresh := func() []G.Value { return s.values(tensor.Float64, s.shapes, rand.New(rand.NewPCG(9, 9))) }
	result := b.run(o, fresh())
	if result == nil {
		return b
	}
	calls := map[string]func(vs []G.Value) (G.Value, error){
		"Do": func(vs []G.Value) (G.Value, error) { return o.Do(vs...) },
		"UsePreallocDo": func(vs []G.Value) (G.Value, error) {
			return o.UsePreallocDo(dirty(result.Shape(), result.Dtype()), vs...)
		},
	}
	refuse := func(what string, vs ...G.Value) {
		for name, call := range calls {
			if _, err := quietly(func() (G.Value, error) { return call(vs) }); err == nil || !named(err, s) {
				b.add("%s with %s: error %v, want one that names the op", name, what, err)
			}
		}
	}
	refuse("nothing")
	refuse("one operand too few", fresh()[1:]...)
	refuse("one operand too many", append(fresh(), fresh()[0])...)
	n := len(s.shapes)
	if _, err := quietly(func() (G.Value, error) { return o.Do(fresh()[1:]...) }); err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("got %d values, want %d", n-1, n)) {
		b.add("Do with one operand too few: error %v, want it to say how many are wanted", err)
	}
	for i, shape := range s.shapes {
		with := func(v G.Value) []G.Value { vs := fresh(); vs[i] = v; return vs }
		name := s.spec.args()[i].name
		integer := s.spec.args()[i].integer()
		for what, v := range map[string]G.Value{
			"nil": nil, "a nil tensor": (*tensor.Dense)(nil), "a nil float64": (*G.F64)(nil), "a nil float32": (*G.F32)(nil),
			"an integer scalar": G.NewI(1), "a flag": G.NewB(true),
			"flags":   tensor.New(tensor.WithShape(sideOrTwo(shape)...), tensor.Of(tensor.Bool)),
			"complex": tensor.New(tensor.WithShape(sideOrTwo(shape)...), tensor.Of(tensor.Complex64)),
			"strings": tensor.New(tensor.WithShape(sideOrTwo(shape)...), tensor.Of(tensor.String)),
			"int64s":  tensor.New(tensor.WithShape(sideOrTwo(shape)...), tensor.Of(tensor.Int64)),
			"uint8s":  tensor.New(tensor.WithShape(sideOrTwo(shape)...), tensor.Of(tensor.Uint8)),
		} {
			refuse(name+" "+what, with(v)...)
		}
		if len(shape) > 0 {
			refuse(name+" a scalar", with(G.NewF64(1))...)
			for _, scalar := range []any{1.0, float32(1), 1, int32(1), int64(1), uint8(1), "1"} {
				refuse(fmt.Sprintf("%s a tensor of rank 0, %T", name, scalar), with(tensor.New(tensor.FromScalar(scalar)))...)
			}
		}
		if integer {
			refuse(name+" floats", with(tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float64)))...)
		} else {
			refuse(name+" integers", with(tensor.New(tensor.WithShape(sideOrTwo(shape)...), tensor.Of(tensor.Int)))...)
			floats := 0
			for _, a := range s.spec.args() {
				if !a.integer() {
					floats++
				}
			}
			if floats > 1 {
				refuse(name+" of the other float type", with(dirty(shape, tensor.Float32))...)
			}
		}
		for _, bad := range s.bad[i] {
			for _, at := range []int{0, shape.TotalSize() - 1} {
				vs := fresh()
				reflect.ValueOf(vs[i].Data()).Index(at).Set(reflect.ValueOf(bad))
				refuse(fmt.Sprintf("%s with an element %v", name, bad), vs...)
				want := fmt.Sprintf("%s: element %d is %v, want 0 to %d", name, at, bad, s.below[i]-1)
				if _, err := quietly(func() (G.Value, error) { return o.Do(vs...) }); err == nil || !strings.Contains(err.Error(), want) {
					b.add("%s with an element %v: error %v, want one with %q", name, bad, err, want)
				}
			}
		}
		kind := tensor.Float64
		if integer {
			kind = s.spec.args()[i].of
		}
		resized := func(what string, wrong tensor.Shape, tied bool) {
			v, err := quietly(func() (G.Value, error) { return tensor.New(tensor.WithShape(wrong...), tensor.Of(kind)), nil })
			if err != nil {
				return // tensor has no such thing
			}
			shapes := append([]tensor.Shape(nil), s.shapes...)
			shapes[i] = v.Shape()
			sizers := make([]G.DimSizer, len(shapes))
			for i, s := range shapes {
				sizers[i] = s
			}
			inferred, err := o.InferShape(sizers...)
			if err != nil || tied {
				if err == nil || !named(err, s) {
					b.add("InferShape with %s %s, %v: error %v, want one that names the op", name, what, wrong, err)
				} else if says := fmt.Sprintf("%s has shape %v, want %v", name, wrong, shape); s.others == nil && strings.HasSuffix(what, "er") && !strings.Contains(err.Error(), says) {
					b.add("InferShape with %s %s, %v: error %v, want %q in it", name, what, wrong, err, says)
				}
				refuse(fmt.Sprintf("%s %s, %v", name, what, wrong), with(v)...)
				return
			}
			got, err := quietly(func() (G.Value, error) { return o.Do(with(v)...) })
			if err != nil || !got.Shape().Eq(inferred) {
				b.add("Do with %s %s: %v, %v, but InferShape says %v", name, what, got, err, inferred)
			}
		}
		resized("of a rank more", append(tensor.Shape{2}, shape...), true)
		resized("of a rank more, as big", append(tensor.Shape{1}, shape...), true)
		for k := range shape {
			more, zero := shape.Clone(), shape.Clone()
			more[k]++
			zero[k] = 0
			resized("larger", more, s.tied(i, k))
			resized("empty", zero, s.tied(i, k))
			if shape[k] > 1 {
				less := shape.Clone()
				less[k]--
				resized("smaller", less, s.tied(i, k))
			}
		}
		if len(shape) > 1 {
			resized("of a rank less", shape[1:].Clone(), true)
		}
	}
	return b
}

// sideOrTwo is a shape that a tensor can have in the place of a scalar's.
func sideOrTwo(s tensor.Shape) tensor.Shape {
	if len(s) == 0 {
		return tensor.Shape{2}
	}
	return s
}

// checkWrongNodes hands the symbolic methods what they cannot take and wants errors.
func checkWrongNodes(o machineOp, s subject) (b breaches) {
	refuse := func(what string, f func() (any, error)) {
		if _, err := quietly(func() (G.Value, error) { _, err := f(); return nil, err }); err == nil || !named(err, s) {
			b.add("%s: error %v, want one that names the op", what, err)
		}
	}
	for n := -1; n <= len(s.shapes)+2; n++ {
		diff, err := quietly(func() (G.Value, error) {
			if got := len(o.DiffWRT(n)); got != max(n, 0) {
				return nil, fmt.Errorf("%d answers", got)
			}
			return nil, nil
		})
		if err != nil {
			b.add("DiffWRT(%d): %v %v", n, diff, err)
		}
	}
	var sizers []G.DimSizer
	for _, shape := range s.shapes {
		sizers = append(sizers, shape)
	}
	infer := func(what string, ds ...G.DimSizer) {
		refuse("InferShape of "+what, func() (any, error) { return o.InferShape(ds...) })
	}
	infer("nothing")
	infer("too few", sizers[1:]...)
	infer("too many", append(append([]G.DimSizer(nil), sizers...), sizers[0])...)
	for i, shape := range s.shapes {
		with := func(d G.DimSizer) []G.DimSizer {
			ds := append([]G.DimSizer(nil), sizers...)
			ds[i] = d
			return ds
		}
		infer("nil", with(nil)...)
		infer("another rank", with(append(tensor.Shape{1}, shape...))...)
		for k := range shape {
			for _, side := range []int{0, -1, math.MinInt} {
				if side == 0 && !s.tied(i, k) {
					continue // a batch may be empty
				}
				wrong := shape.Clone()
				wrong[k] = side
				infer(fmt.Sprintf("a side of %d", side), with(wrong)...)
			}
		}
	}

	g := G.NewGraph()
	other := G.NewGraph()
	made := func(g *G.ExprGraph, of tensor.Dtype, shape tensor.Shape, name string) *G.Node {
		if len(shape) == 0 {
			return G.NewScalar(g, of, G.WithName(name))
		}
		return G.NewTensor(g, of, len(shape), G.WithShape(shape...), G.WithName(name))
	}
	var inputs G.Nodes
	for i, shape := range s.shapes {
		of := tensor.Float64
		if a := s.spec.args()[i]; a.integer() {
			of = a.of
		}
		inputs = append(inputs, made(g, of, shape, fmt.Sprint("input ", i)))
	}
	y, err := G.ApplyOp(o, inputs...)
	if err != nil {
		b.add("ApplyOp: %v", err)
		return b
	}
	again, err := G.ApplyOp(o, inputs...)
	if err != nil || !again.Shape().Eq(y.Shape()) {
		b.add("ApplyOp a second time: %v, %v", again, err)
	}
	dy := made(g, tensor.Float64, y.Shape(), "dy")
	if a := s.spec.result(); a.integer() {
		dy = made(g, a.of, y.Shape(), "dy")
	}
	if grads, err := o.SymDiff(inputs, y, dy); err != nil || len(grads) != len(inputs) {
		b.add("SymDiff: %v, %v", grads, err)
	}
	sym := func(what string, inputs G.Nodes, y, dy *G.Node) {
		refuse("SymDiff with "+what, func() (any, error) { return o.SymDiff(inputs, y, dy) })
	}
	sym("no inputs", nil, y, dy)
	sym("an input too few", inputs[1:], y, dy)
	sym("an input too many", append(append(G.Nodes(nil), inputs...), inputs[0]), y, dy)
	sym("no output", inputs, nil, dy)
	sym("no cotangent", inputs, y, nil)
	differentiable := false
	for _, d := range o.DiffWRT(len(inputs)) {
		differentiable = differentiable || d
	}
	if differentiable {
		sym("a cotangent of another graph", inputs, y, made(other, tensor.Float64, y.Shape(), "dy"))
		sym("a cotangent of another rank", inputs, y, made(g, tensor.Float64, append(tensor.Shape{2}, y.Shape()...), "dy, a rank more"))
		sym("a cotangent of another type", inputs, y, made(g, tensor.Int, y.Shape(), "dy of integers"))
		for k := range y.Shape() {
			wrong := y.Shape().Clone()
			wrong[k]++
			sym("a larger cotangent", inputs, y, made(g, tensor.Float64, wrong, fmt.Sprint("dy, larger on axis ", k)))
		}
	}
	diff := func(what string, inputs G.Nodes, y *G.Node) {
		refuse("DoDiff with "+what, func() (any, error) { return nil, o.DoDiff(G.ExecutionContext{}, inputs, y) })
	}
	diff("no inputs", nil, y)
	diff("an input too few", inputs[1:], y)
	diff("no output", inputs, nil)
	diff("nodes without values", inputs, y)
	for i := range inputs {
		wrong := append(G.Nodes(nil), inputs...)
		wrong[i] = nil
		sym("an input that is nil", wrong, y, dy)
		diff("an input that is nil", wrong, y)
	}
	return b
}
