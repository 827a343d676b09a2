package ops

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/opset"
	"github.com/convgrad/convgrad/verify"
)

const draws = 6 // of each registered op

// drawn calls f with cases of every registered op.
func drawn(t *testing.T, f func(t *testing.T, c opset.Case, seed uint64)) {
	for _, e := range opset.All() {
		t.Run(e.Name, func(t *testing.T) {
			for seed := range uint64(draws) {
				c := e.Draw(rand.New(rand.NewPCG(seed, 0)))
				t.Run(fmt.Sprintf("seed %d: %s", seed, c.Params), func(t *testing.T) { f(t, c, seed) })
			}
		})
	}
}

// numbers draws the inputs' elements.
func numbers(c opset.Case, seed uint64) [][]float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	var all [][]float64
	for _, in := range c.Inputs {
		v := make([]float64, volume(in.Shape))
		in.Draw(r, v)
		for i := range v {
			v[i] = float64(float32(v[i])) // the same number in both types
		}
		all = append(all, v)
	}
	return all
}

// graphOf is the case's graph with values, in floats of a type.
func graphOf(c opset.Case, values [][]float64, of tensor.Dtype) (in []*G.Node, y *G.Node, err error) {
	g := G.NewGraph()
	for i, input := range c.Inputs {
		kind := of
		if input.Of.Type != nil {
			kind = input.Of
		}
		n := newLeaf(g, input.Name, kind, input.Shape)
		if err := G.Let(n, asValue(values[i], kind, input.Shape)); err != nil {
			return nil, nil, err
		}
		in = append(in, n)
	}
	y, err = c.Build(in)
	return in, y, err
}

// asValue is numbers as a value of a type.
func asValue(v []float64, of tensor.Dtype, shape tensor.Shape) G.Value {
	switch of {
	case tensor.Float32:
		return valueOf(shape, converted[float32](v))
	case tensor.Float64:
		return valueOf(shape, slices.Clone(v))
	case tensor.Int32:
		return valueOf(shape, converted[int32](v))
	case tensor.Int64:
		return valueOf(shape, converted[int64](v))
	}
	return valueOf(shape, converted[int](v))
}

func converted[T float32 | int | int32 | int64](v []float64) []T {
	w := make([]T, len(v))
	for i, x := range v {
		w[i] = T(x)
	}
	return w
}

// valuesOf computes the nodes that n is made of, each into memory of its own.
func valuesOf(n *G.Node, known map[*G.Node]G.Value) (G.Value, error) {
	if v, ok := known[n]; ok {
		return v, nil
	}
	if n.Op() == nil || len(childrenOf(n)) == 0 {
		known[n] = n.Value()
		return n.Value(), nil
	}
	var vs []G.Value
	for _, c := range childrenOf(n) {
		v, err := valuesOf(c, known)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	v, err := n.Op().Do(vs...)
	known[n] = v
	return v, err
}

// Every registered op is its definition, in both types. The bound is a rounding of each operation
// on the way, Terms and eight more, of numbers as large as the largest operand or result.
func TestDefinitions(t *testing.T) {
	drawn(t, func(t *testing.T, c opset.Case, seed uint64) {
		if c.Want == nil {
			t.Skip("another test has the definition")
		}
		values := numbers(c, seed)
		want := c.Want(values)
		size := 0.0
		for _, v := range append(slices.Clone(values), want) {
			for _, x := range v {
				size = max(size, math.Abs(x))
			}
		}
		for of, unit := range map[tensor.Dtype]float64{tensor.Float32: 0x1p-24, tensor.Float64: 0x1p-53} {
			_, y, err := graphOf(c, values, of)
			if err != nil {
				t.Fatal(err)
			}
			v, err := valuesOf(y, map[*G.Node]G.Value{})
			if err != nil {
				t.Fatal(err)
			}
			o, err := plain(v)
			if err != nil {
				t.Fatal(err)
			}
			got := numbersOf(o)
			if len(got) != len(want) {
				t.Fatalf("%v: %d elements, want %d", of, len(got), len(want))
			}
			for i := range got {
				if bound := float64(c.Terms+8) * size * (unit + 0x1p-53); !(math.Abs(got[i]-want[i]) <= bound) {
					t.Fatalf("%v: element %d is %v, want %v within %v", of, i, got[i], want[i], bound)
				}
			}
		}
	})
}

func numbersOf(o operand) []float64 {
	switch d := o.data.(type) {
	case []float32:
		return float64s(d)
	case []float64:
		return d
	case []int32:
		return float64s(d)
	case []int64:
		return float64s(d)
	case []int:
		return float64s(d)
	}
	return nil
}

func float64s[T float32 | int | int32 | int64](v []T) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

// Every registered op passes the public checker: its derivatives are those of its values, under
// every machine and in both types.
func TestDerivatives(t *testing.T) {
	drawn(t, func(t *testing.T, c opset.Case, seed uint64) {
		if seed > 1 || os.Getenv("CONVGRAD_LONG") == "" && seed > 0 {
			t.Skip("the checker varies sizes and values by itself; other parameters are drawn with CONVGRAD_LONG")
		}
		v := verify.Case{Build: c.Build, Seed: seed + 1}
		for _, in := range c.Inputs {
			v.Inputs = append(v.Inputs, verify.Input{
				Name: in.Name, Shape: in.Shape, Draw: in.Draw, Type: in.Of, Fixed: in.Of.Type != nil,
			})
		}
		if c.Rough {
			v.Skip = append(v.Skip, verify.BySecond)
		}
		v.Test(t)
	})
}

// derived are the ops that the registered ones are made of, and those of their derivatives, first
// and second, each once, with operands as they come up there.
func derived(t *testing.T) []subject {
	var all []subject
	seen := map[string]bool{}
	for _, e := range opset.All() {
		for seed := range uint64(draws) {
			c := e.Draw(rand.New(rand.NewPCG(seed, 0)))
			_, y, err := graphOf(c, numbers(c, seed), tensor.Float64)
			if err != nil {
				t.Fatalf("%s: %v", e.Name, err)
			}
			var wrt []*G.Node
			for _, n := range y.Graph().AllNodes() {
				if of, err := dtypeOf(n); n.Op() == nil && err == nil && of == tensor.Float64 {
					wrt = append(wrt, n)
				}
			}
			roots := []*G.Node{y}
			for range 2 {
				var next []*G.Node
				for i, n := range roots {
					if of, _ := dtypeOf(n); of != tensor.Float64 || n.Op() == nil {
						continue
					}
					dy := newLeaf(y.Graph(), fmt.Sprintf("cotangent %d of %d", i, len(y.Graph().AllNodes())), tensor.Float64, n.Shape())
					v := make([]float64, volume(n.Shape()))
					for k := range v {
						v[k] = rand.New(rand.NewPCG(seed, uint64(k))).NormFloat64()
					}
					if err := G.Let(dy, asValue(v, tensor.Float64, n.Shape())); err != nil {
						t.Fatal(err)
					}
					grads, err := Grad(n, dy, wrt...)
					if err != nil {
						t.Fatalf("%s: %v", e.Name, err)
					}
					next = append(next, grads...)
				}
				roots = append(roots, next...)
			}
			known := map[*G.Node]G.Value{}
			for _, n := range roots {
				if _, err := valuesOf(n, known); err != nil {
					t.Fatalf("%s: %v", e.Name, err)
				}
			}
			for _, n := range y.Graph().AllNodes() {
				o, ours := n.Op().(op)
				if _, computed := known[n]; !ours || !computed || seen[fmt.Sprintf("%T %v", o.inner(), shapesOf(childrenOf(n)))] {
					continue
				}
				seen[fmt.Sprintf("%T %v", o.inner(), shapesOf(childrenOf(n)))] = true
				s := subject{spec: o.spec, shapes: shapesOf(childrenOf(n)), given: map[int]any{}}
				for i, child := range childrenOf(n) {
					if of, _ := dtypeOf(child); of != tensor.Float64 && of != tensor.Float32 {
						p, err := plain(known[child])
						if err != nil {
							t.Fatal(err)
						}
						s.given[i] = p.data
					}
				}
				all = append(all, s)
			}
		}
	}
	return all
}

func shapesOf(nodes []*G.Node) []tensor.Shape {
	var s []tensor.Shape
	for _, n := range nodes {
		s = append(s, n.Shape().Clone())
	}
	return s
}

// Every op that the registered ones are made of keeps the contract, as TestContract has it.
func TestContractOfRegistered(t *testing.T) {
	for _, s := range derived(t) {
		if _, ok := s.spec.(applied); !ok {
			continue // TestContract has it
		}
		t.Run(fmt.Sprintf("%s %T %v", op{s.spec}.name(), (op{s.spec}).inner(), s.shapes), func(t *testing.T) {
			for _, c := range checks {
				for _, breach := range c.check(op{s.spec}, s) {
					t.Errorf("%s: %s", c.name, breach)
				}
			}
			if a, ok := s.spec.(applied); ok {
				for _, breach := range checkFields(a.Op, func(changed any) G.Op { return op{applied{changed.(Op), a.signature}} }) {
					t.Errorf("hash: %s", breach)
				}
			}
			for _, of := range floats {
				o := op{s.spec}
				k := o.InPlace()
				if k < 0 {
					continue
				}
				vs := s.values(of, s.shapes, rand.New(rand.NewPCG(3, 4)))
				want, err := o.Do(vs...)
				if err != nil {
					t.Fatal(err)
				}
				if len(s.shapes[k]) == 0 || !slices.Equal(want.Shape(), s.shapes[k]) {
					continue
				}
				if got, err := o.UsePreallocDo(vs[k], vs...); err != nil || !reflect.DeepEqual(bits(got), bits(want)) {
					t.Errorf("%v: over operand %d: %v, %v, want %v", of, k, got, err, want)
				}
			}
		})
	}
}

// Every constructor of a node is registered, so that all that follows from a registration follows
// for it: its definition, its derivatives, the contract, planted mistakes.
func TestEveryConstructorIsRegistered(t *testing.T) {
	registered := map[string]bool{}
	for _, e := range opset.All() {
		registered[e.Name] = true
	}
	for _, other := range []string{
		"Apply",       // makes a user's op
		"JVP", "Grad", // make derivatives, and have tests of their own
		"MaxPool2DIndices", // MaxPool2D, and what it is made of
		"BatchNormStats",   // BatchNorm, likewise
	} {
		registered[other] = true
	}
	found := 0
	for _, f := range functions(t) {
		if f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
			continue
		}
		star, ok := f.Type.Results.List[0].Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		if to, ok := star.X.(*ast.SelectorExpr); !ok || to.Sel.Name != "Node" {
			continue
		}
		if found++; !registered[f.Name.Name] {
			t.Errorf("%s is not registered", f.Name.Name)
		}
	}
	if found < 60 {
		t.Errorf("found %d constructors in the source: is the search right?", found)
	}
}

// Every type with a Compute is reached by a registered op or its derivatives.
func TestEveryOpIsRegistered(t *testing.T) {
	have := map[string]bool{}
	for _, s := range derived(t) {
		have[strings.TrimPrefix(fmt.Sprintf("%T", (op{s.spec}).inner()), "ops.")] = true
	}
	found := 0
	for _, f := range functions(t) {
		if f.Name.Name != "Compute" || f.Recv == nil {
			continue
		}
		found++
		if name := f.Recv.List[0].Type.(*ast.Ident).Name; !have[name] && name != "filling" {
			t.Errorf("no registered op is made of a %s", name)
		}
	}
	if found < 10 {
		t.Errorf("found %d ops in the source: is the search right?", found)
	}
}

// functions is the declarations of the package's functions and methods, but for those of tests.
func functions(t *testing.T) []*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []*ast.FuncDecl
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				all = append(all, f)
			}
		}
	}
	return all
}
