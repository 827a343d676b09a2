// Package builtin puts Gorgonia's own ops before the checker.
package builtin

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
	"github.com/convgrad/convgrad/verify/internal/reference"
	"github.com/convgrad/convgrad/verify/internal/values"
	"github.com/convgrad/convgrad/verify/suite"
)

// A Result is what the checker found out about one use of one of Gorgonia's own ops.
type Result struct {
	Name   string `json:"name"`   // the op
	Use    string `json:"use"`    // how it is used
	Known  string `json:"-"`      // the defect that the finding is expected to be
	Defect bool   `json:"defect"` // whether the checker found one
	// cases tried, in order of size, up to the first that failed
	Cases   int    `json:"cases"`
	Finding string `json:"finding"`          // the smallest reproduction, or how much passed
	Failed  string `json:"failed,omitempty"` // why the check itself could not be made
}

// Title is op and use.
func (b Result) Title() string { return b.Name + ", " + b.Use }

// Verdict is what the table says.
func (b Result) Verdict() string {
	switch {
	case b.Failed != "":
		return "not checked"
	case b.Defect:
		return "defect"
	}
	return "passes"
}

// builtIn is one use of one op, and cases of it in order of size.
type builtIn struct {
	name, use, known string
	// mortal says that a failing case can panic on a machine's own goroutine, which ends the
	// process, or write to the log: the cases then run in a child.
	mortal bool
	// search hands cases to try, which returns false once one failed. problem says what is wrong,
	// or nothing.
	search func(try try)
}

// A try runs one case: what it is, and what says what is wrong with it, or nothing.
type try func(what string, problem func() string) bool

// one is a search of one case.
func one(what string, problem func() string) func(try try) {
	return func(try try) { try(what, problem) }
}

// must and done end a case with an error, which is then what is wrong with it.
func must[T any](v T, err error) T {
	done(err)
	return v
}

func done(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// A failure is an error that ended a case.
type failure struct{ error }

// run runs a graph.
func run(g *G.ExprGraph, options ...G.VMOpt) {
	m := G.NewTapeMachine(g, options...)
	defer m.Close()
	done(m.RunAll())
}

const childVariable = "CONVGRAD_VERIFY_BUILT_IN"

// Child is for the main function of a command, and for a TestMain: it reports whether this process
// is a child that Check started, and if so has done its work.
func Child() bool {
	title := os.Getenv(childVariable)
	if title == "" {
		return false
	}
	for _, b := range builtIns() {
		if b.name+", "+b.use == title {
			r := b.here(os.Stdout)
			if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	return true
}

// Check puts Gorgonia's own ops before the checker. The process's main must call Child first: cases
// that can end a process run in children of it.
func Check() []Result {
	var all []Result
	for _, b := range builtIns() {
		if b.mortal {
			all = append(all, b.inChild())
		} else {
			all = append(all, b.here(io.Discard))
		}
	}
	return all
}

// here runs the search in this process. progress gets a line before each case, so that a parent
// knows which one was fatal.
func (b builtIn) here(progress io.Writer) Result {
	r := Result{Name: b.name, Use: b.use, Known: b.known}
	b.search(func(what string, problem func() string) bool {
		if r.Defect {
			return false
		}
		r.Cases++
		fmt.Fprintf(progress, "case %s\n", what)
		if p := guarded(problem); p != "" {
			r.Defect, r.Finding = true, what+": "+p
		}
		return !r.Defect
	})
	if !r.Defect {
		r.Finding = fmt.Sprintf("%d cases", r.Cases)
	}
	return r
}

func guarded(problem func() string) (p string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			p = r.Error()
		default:
			p = fmt.Sprintf("panics: %v", r)
		}
	}()
	return problem()
}

// inChild runs the search in a child of this process and reads what it says, and on what it died.
func (b builtIn) inChild() Result {
	r := Result{Name: b.name, Use: b.use, Known: b.known}
	self, err := os.Executable()
	if err != nil {
		r.Failed = err.Error()
		return r
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), childVariable+"="+r.Title())
	var errs strings.Builder
	c.Stderr = &errs
	out, died := c.Output()
	last := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if what, ok := strings.CutPrefix(line, "case "); ok {
			last = what
			r.Cases++
		} else if json.Unmarshal([]byte(line), &r) == nil && died == nil {
			return r
		}
	}
	if died == nil || last == "" {
		r.Failed = fmt.Sprintf("the child gave no result: %v: %.200s", died, errs.String())
		return r
	}
	reason := died.Error()
	for line := range strings.Lines(errs.String()) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			reason = strings.TrimSpace(line)
			break
		}
	}
	r.Defect, r.Finding = true, last+": the process dies: "+reason
	return r
}

// A use is a case of one of Gorgonia's ops: its inputs' shapes, its node, and what it should be.
type use struct {
	shapes    [][]int
	distinct  bool // inputs without ties and zeros
	build     verify.Build
	reference verify.Reference
}

// underTape is what concerns everything but LispMachine, underLisp that alone.
var (
	underTape = []verify.Oracle{verify.ByExact, verify.ByDual, verify.ByDifferences, verify.ByTape,
		verify.ByAccumulation, verify.ByMultiples, verify.ByTwin}
	underLisp = []verify.Oracle{verify.ByDoDiff, verify.ByLisp, verify.ByLispAccumul}
)

// blamed is the first complaint of the checker about a use, by some of its oracles.
func blamed(u use, by ...verify.Oracle) string {
	c := verify.Case{Build: u.build, Reference: u.reference}
	for i, shape := range u.shapes {
		name := []string{"x", "w", "b"}[i]
		if u.distinct {
			c.Inputs = append(c.Inputs, verify.Permutation(name, shape...))
		} else {
			c.Inputs = append(c.Inputs, verify.Integers(name, 4, shape...))
		}
	}
	return blamedFor(c, by...)
}

// convolutions visits geometries of one channel and one filter and then of several, in order of the
// input's and filter's size.
func convolutions(visit func(g kernel.Conv, sp kernel.Spatial) bool) {
	for size := 2; size <= 40; size++ {
		for _, n := range [][3]int{{1, 1, 1}, {2, 3, 2}} {
			for h := 1; h <= 6; h++ {
				for w := 1; w <= 6; w++ {
					for r := 1; r <= 3; r++ {
						for s := 1; s <= 3; s++ {
							if h*w+r*s != size {
								continue
							}
							for _, sp := range []kernel.Spatial{
								{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1},
								{StrideH: 2, StrideW: 1, DilationH: 1, DilationW: 2, PadTop: 1, PadBottom: 1, PadLeft: 2, PadRight: 2},
							} {
								g, err := kernel.NewConv(n[0], n[1], h, w, n[2], r, s, 1, sp, false)
								if err == nil && !visit(g, sp) {
									return
								}
							}
						}
					}
				}
			}
		}
	}
}

// pools visits poolings of one plane in order of the input's size.
func pools(spatial []kernel.Spatial, visit func(g kernel.Pool, sp kernel.Spatial) bool) {
	for size := 1; size <= 30; size++ {
		for h := 1; h <= 6; h++ {
			for w := 1; w <= 6; w++ {
				if h*w != size {
					continue
				}
				for r := 1; r <= 3; r++ {
					for s := 1; s <= 3; s++ {
						for _, sp := range spatial {
							g, err := kernel.NewPool(1, 1, h, w, r, s, sp)
							if err == nil && sp.PadTop < r && sp.PadLeft < s && !visit(g, sp) {
								return
							}
						}
					}
				}
			}
		}
	}
}

func padded(top, bottom, left, right, stride int) kernel.Spatial {
	return kernel.Spatial{StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, PadTop: top, PadBottom: bottom, PadLeft: left, PadRight: right}
}

func strides(sp kernel.Spatial) []int { return []int{sp.StrideH, sp.StrideW} }

func conv2d(in []*G.Node, g kernel.Conv, sp kernel.Spatial) (*G.Node, error) {
	return G.Conv2d(in[0], in[1], tensor.Shape{g.R, g.S}, []int{sp.PadTop, sp.PadLeft}, strides(sp), []int{sp.DilationH, sp.DilationW})
}

func convUse(g kernel.Conv, sp kernel.Spatial) use {
	return use{
		shapes:    [][]int{sidesX(g), {g.K, g.C, g.R, g.S}},
		build:     func(in []*G.Node) (*G.Node, error) { return conv2d(in, g, sp) },
		reference: reference.OfConv(g, false),
	}
}

func sidesX(g kernel.Conv) []int { return []int{g.N, g.C, g.H, g.W} }

func convWhat(g kernel.Conv, sp kernel.Spatial) string {
	return fmt.Sprintf("x %v, filter %v, stride %v, pad [%d %d], dilation [%d %d]", sidesX(g), []int{g.K, g.C, g.R, g.S}, strides(sp), sp.PadTop, sp.PadLeft, sp.DilationH, sp.DilationW)
}

// pad4 is Gorgonia's order: north, south, west, east.
func pad4(sp kernel.Spatial) []int { return []int{sp.PadTop, sp.PadBottom, sp.PadLeft, sp.PadRight} }

func maxUse(g kernel.Pool, build verify.Build) use {
	return use{[][]int{{g.N, g.C, g.H, g.W}}, true, build, reference.OfMaxPool(g)}
}

func avgUse(g kernel.Pool, build verify.Build) use {
	return use{[][]int{{g.N, g.C, g.H, g.W}}, false, build, reference.OfAvgPool(g, true)}
}

func poolWhat(g kernel.Pool, sp kernel.Spatial) string {
	return fmt.Sprintf("x [%d %d %d %d], window [%d %d], stride %v, pad %v", g.N, g.C, g.H, g.W, g.R, g.S, strides(sp), pad4(sp))
}

// at runs a node on given values and compares with what it should be, to the bit but for NaN, which
// equals NaN, and −0, which does not equal 0.
func at(build graphs.Build, in []graphs.Array, dy graphs.Array, y, dx []float64) string {
	got, gradients, err := graphs.Run(build, in, dy)
	if err != nil {
		return err.Error()
	}
	if p := differs("y", got.Data, y); p != "" || dx == nil {
		return p
	}
	return differs("dx", gradients[0].Data, dx)
}

func differs(what string, got, want []float64) string {
	for i := range want {
		if len(got) != len(want) || math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
			return fmt.Sprintf("%s is %v, want %v", what, got, want)
		}
	}
	return ""
}

func image2(rows, cols int, v ...float64) graphs.Array { return graphs.Of([]int{1, 1, rows, cols}, v) }

func ones(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// A view is a tensor that is not plain: its elements are those of the plain one.
type view struct {
	name string
	axis int // must have two elements or more, for a slice of one loses its axis
	make func(shape []int) (tensor.Tensor, error)
}

func views() []view {
	sliced := func(axis int) func(shape []int) (tensor.Tensor, error) {
		return func(shape []int) (tensor.Tensor, error) {
			wide := slices.Clone(shape)
			wide[axis]++
			index := make([]tensor.Slice, len(wide))
			index[axis] = G.S(0, shape[axis])
			return tensor.New(tensor.WithShape(wide...), tensor.Of(tensor.Float64)).Slice(index...)
		}
	}
	return []view{
		{"a slice of the batch", 0, sliced(0)},
		{"a slice of the channels", 1, sliced(1)},
		{"a slice of the width", 3, sliced(3)},
		{"a lazy transpose", 0, func(s []int) (tensor.Tensor, error) {
			d := tensor.New(tensor.WithShape(s[0], s[1], s[3], s[2]), tensor.Of(tensor.Float64))
			return d, d.T(0, 1, 3, 2)
		}},
		{"column-major", 0, func(s []int) (tensor.Tensor, error) {
			return tensor.New(tensor.WithShape(s...), tensor.Of(tensor.Float64), tensor.AsFortran(nil)), nil
		}},
	}
}

// viewed runs a node on a view and compares with what it makes of the plain tensor's elements.
func viewed(v view, shape []int, build func(x *G.Node) (*G.Node, error), want func(x []float64) []float64) string {
	a := graphs.Zeros(shape...)
	for i := range a.Data {
		a.Data[i] = float64(i*i%7 + i)
	}
	made, err := v.make(shape)
	if err != nil {
		return "the view cannot be made: " + err.Error()
	}
	d := made.(*tensor.Dense)
	done(values.Set(d, a.Data))
	g := G.NewGraph()
	x := G.NewTensor(g, tensor.Float64, len(shape), G.WithShape(shape...), G.WithName("x"))
	y := must(build(x))
	var read G.Value
	G.Read(y, &read)
	done(G.Let(x, d))
	run(g)
	got := must(values.Floats(read))
	return differs("y", got, want(a.Data))
}

// builtIns are the uses that are checked. What is expected is written beside each, and decides
// nothing.
func builtIns() []builtIn {
	symmetric := []kernel.Spatial{padded(0, 0, 0, 0, 1), padded(0, 0, 0, 0, 2), padded(1, 1, 1, 1, 2), padded(1, 1, 0, 0, 1)}
	uneven := []kernel.Spatial{padded(0, 1, 0, 1, 1), padded(1, 0, 1, 0, 1), padded(0, 1, 0, 1, 2), padded(1, 0, 1, 0, 2)}
	overConv := func(by []verify.Oracle) func(try try) {
		return func(try try) {
			n := 0
			convolutions(func(g kernel.Conv, sp kernel.Spatial) bool {
				n++
				return n <= 150 && try(convWhat(g, sp), func() string { return blamed(convUse(g, sp), by...) })
			})
		}
	}
	maxBuild := func(g kernel.Pool, sp kernel.Spatial) verify.Build {
		pad := []int{sp.PadTop, sp.PadLeft}
		if sp.PadTop != sp.PadBottom || sp.PadLeft != sp.PadRight {
			pad = pad4(sp)
		}
		return func(in []*G.Node) (*G.Node, error) {
			return G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad, strides(sp))
		}
	}
	overMax := func(spatial []kernel.Spatial, by []verify.Oracle) func(try try) {
		return func(try try) {
			n := 0
			pools(spatial, func(g kernel.Pool, sp kernel.Spatial) bool {
				n++
				return n <= 150 && try(poolWhat(g, sp), func() string { return blamed(maxUse(g, maxBuild(g, sp)), by...) })
			})
		}
	}
	all := []builtIn{
		{name: "Conv2d", use: "under TapeMachine", search: overConv(underTape)},
		{name: "Conv2d", use: "under LispMachine, x and w with second consumers", known: "C2", search: overConv(underLisp)},
		{name: "Conv2d", use: "two of one input that differ in their dilation", known: "C1", search: func(try try) {
			convolutions(func(g kernel.Conv, sp kernel.Spatial) bool {
				for dilation := 2; dilation <= 3; dilation++ {
					for stride := 1; stride <= 3; stride++ {
						a, b := sp, sp
						a.StrideH, a.StrideW, b.StrideH, b.StrideW = stride, stride, stride, stride
						a.DilationH, a.DilationW, b.DilationH, b.DilationW = 1, 1, dilation, dilation
						ga, err := kernel.NewConv(g.N, g.C, g.H, g.W, g.K, g.R, g.S, 1, a, false)
						gb, other := kernel.NewConv(g.N, g.C, g.H, g.W, g.K, g.R, g.S, 1, b, false)
						if err != nil || other != nil || ga.P != gb.P || ga.Q != gb.Q {
							continue
						}
						s := convUse(ga, a)
						s.build = func(in []*G.Node) (*G.Node, error) {
							y, err := conv2d(in, ga, a)
							if err != nil {
								return nil, err
							}
							z, err := conv2d(in, gb, b)
							if err != nil {
								return nil, err
							}
							return G.Add(y, z)
						}
						s.reference = reference.Sum(reference.OfConv(ga, false), reference.OfConv(gb, false))
						if !try(fmt.Sprintf("%s, and dilation %d", convWhat(ga, a), dilation), func() string { return blamed(s, underTape...) }) {
							return false
						}
					}
				}
				return true
			})
		}},
		{name: "Conv2d", use: "with a kernel shape that is not the filter's", known: "C9", search: func(try try) {
			for _, k := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 3}} {
				for _, f := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {1, 4}, {4, 1}, {1, 9}} {
					if k == f {
						continue
					}
					try(fmt.Sprintf("kernelShape %v, filter [1 1 %d %d]", k, f[0], f[1]), func() string {
						_, in := graphs.Leaves(graphs.Zeros(1, 1, 9, 9), graphs.Zeros(1, 1, f[0], f[1]))
						y, err := G.Conv2d(in[0], in[1], tensor.Shape(k[:]), []int{0, 0}, []int{1, 1}, []int{1, 1})
						if err == nil {
							return fmt.Sprintf("no error, and a node of shape %v", y.Shape())
						}
						return ""
					})
				}
			}
		}},
		{name: "Conv2d", use: "a gradient's gradient: ∂/∂w ⟨∂E/∂x, v⟩", known: "C11", mortal: true, search: func(try try) {
			convolutions(func(g kernel.Conv, sp kernel.Spatial) bool {
				return try(convWhat(g, sp), func() string { return secondConv(g, sp) }) && g.H*g.W < 6
			})
		}},
		{name: "MaxPool2D", use: "symmetric padding, under TapeMachine", search: overMax(symmetric, underTape)},
		{name: "MaxPool2D", use: "under LispMachine, x with a second consumer", known: "C2", search: overMax(symmetric, underLisp)},
		{name: "MaxPool2D", use: "four paddings that differ", known: "C3", mortal: true, search: overMax(uneven, underTape)},
		{name: "MaxPool2D", use: "two of one input that differ in their last paddings", known: "C4", search: func(try try) {
			pools([]kernel.Spatial{padded(0, 0, 0, 0, 2), padded(1, 1, 1, 1, 2)}, func(g kernel.Pool, sp kernel.Spatial) bool {
				more := sp
				more.PadBottom++
				other, err := kernel.NewPool(g.N, g.C, g.H, g.W, g.R, g.S, more)
				if err != nil || other.P != g.P || other.Q != g.Q {
					return true
				}
				return try(fmt.Sprintf("%s, and pad %v", poolWhat(g, sp), pad4(more)), func() string {
					_, in := graphs.Leaves(graphs.Zeros(1, 1, g.H, g.W))
					a, err := G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad4(sp), strides(sp))
					if err != nil {
						return ""
					}
					b, err := G.MaxPool2D(in[0], tensor.Shape{g.R, g.S}, pad4(more), strides(sp))
					if err != nil {
						return ""
					}
					if a == b {
						return "the two are one node"
					}
					return ""
				})
			})
		}},
		{name: "MaxPool2D", use: "a window of −Inf", known: "C5", mortal: true, search: func(try try) {
			inf := math.Inf(-1)
			try("x [−Inf], window [1 1]", func() string { return maxAt(1, image2(1, 1, inf), []float64{inf}, []float64{1}) })
			try("x [−Inf −Inf], window [1 2]", func() string { return maxAt(2, image2(1, 2, inf, inf), []float64{inf}, []float64{1, 0}) })
		}},
		{name: "MaxPool2D", use: "a NaN in a window", known: "C5", mortal: true, search: func(try try) {
			nan := math.NaN()
			try("x [1 NaN], window [1 2]", func() string { return maxAt(2, image2(1, 2, 1, nan), []float64{nan}, []float64{0, 1}) })
			try("x [NaN 1], window [1 2]", func() string { return maxAt(2, image2(1, 2, nan, 1), []float64{nan}, []float64{1, 0}) })
		}},
		{name: "MaxPool2D", use: "a window of NaN alone", known: "C5", mortal: true, search: func(try try) {
			nan := math.NaN()
			try("x [NaN], window [1 1]", func() string { return maxAt(1, image2(1, 1, nan), []float64{nan}, []float64{1}) })
		}},
		{name: "MaxPool2D", use: "a window of the least number, −MaxFloat64", known: "C5", mortal: true, search: one("x [−MaxFloat64], window [1 1]", func() string {
			return maxAt(1, image2(1, 1, -math.MaxFloat64), []float64{-math.MaxFloat64}, []float64{1})
		})},
		{name: "MaxPool2D", use: "a window that lies wholly in the padding", known: "C5", mortal: true, search: one("x [1], window [1 1], pad [1 1]", func() string {
			y, _, err := graphs.Run(func(in []*G.Node) (*G.Node, error) {
				return G.MaxPool2D(in[0], tensor.Shape{1, 1}, []int{1, 1}, []int{1, 1})
			}, []graphs.Array{image2(1, 1, 1)}, graphs.Of([]int{1, 1, 3, 3}, ones(9)))
			if err != nil {
				return "" // an error is an answer
			}
			return fmt.Sprintf("y is %v, where no element was: want an error", y.Data)
		})},
		{name: "MaxPool2D", use: "one op at two nodes", known: "C6", search: func(try try) {
			pools(symmetric, func(g kernel.Pool, sp kernel.Spatial) bool {
				one := maxUse(g, nil)
				s := use{shapes: [][]int{one.shapes[0], one.shapes[0]}, distinct: true}
				s.build = func(in []*G.Node) (*G.Node, error) {
					a, err := maxBuild(g, sp)(in[:1])
					if err != nil {
						return nil, err
					}
					b, err := G.ApplyOp(a.Op(), in[1])
					if err != nil {
						return nil, err
					}
					return G.Add(a, b)
				}
				s.reference = reference.Sum(reference.Of(reference.OfMaxPool(g), 0), reference.Of(reference.OfMaxPool(g), 1))
				return try(poolWhat(g, sp), func() string { return blamed(s, underTape...) })
			})
		}},
		{name: "MaxPool2D", use: "another run between forward and backward, as in a clone", known: "C6", search: func(try try) {
			pools(symmetric[:2], func(g kernel.Pool, sp kernel.Spatial) bool {
				return try(poolWhat(g, sp), func() string {
					return blamedFor(verify.Case{Build: verify.Build(maxBuild(g, sp)), Inputs: []verify.Input{verify.Permutation("x", g.N, g.C, g.H, g.W)}}, verify.ByInterleaving)
				})
			})
		}},
		{name: "MaxPool2D", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(func(x *G.Node) (*G.Node, error) {
			return G.MaxPool2D(x, tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1})
		})},
		{name: "MaxPool2D", use: "a gradient's gradient", known: "C11", mortal: true, search: one("x [1 1 1 1], window [1 1]", func() string { return secondMax() })},
		{name: "AveragePool2D", use: "under TapeMachine", known: "C7", mortal: true, search: func(try try) {
			pools(symmetric[:2], func(g kernel.Pool, sp kernel.Spatial) bool {
				return try(poolWhat(g, sp), func() string {
					return blamed(avgUse(g, func(in []*G.Node) (*G.Node, error) {
						return G.AveragePool2D(in[0], tensor.Shape{g.R, g.S}, []int{0, 0}, strides(sp))
					}), underTape...)
				})
			})
		}},
		{name: "AveragePool2D", use: "its gradient", known: "C7", mortal: true, search: func(try try) {
			pools(symmetric[:2], func(g kernel.Pool, sp kernel.Spatial) bool {
				return try(poolWhat(g, sp), func() string {
					return blamed(avgUse(g, func(in []*G.Node) (*G.Node, error) {
						return G.AveragePool2D(in[0], tensor.Shape{g.R, g.S}, []int{0, 0}, strides(sp))
					}), verify.ByDifferences)
				})
			})
		}},
		{name: "AveragePool1D", use: "the forward pass", known: "C7", mortal: true, search: one("x [0 1], window 2", func() string {
			return at(func(in []*G.Node) (*G.Node, error) { return G.AveragePool1D(in[0], 2, 0, 2) }, []graphs.Array{image2(1, 2, 0, 1)}, image2(1, 1, 1), []float64{0.5}, nil)
		})},
		{name: "GlobalAveragePool2D", use: "its gradient", known: "C8", search: one("x [1]", func() string {
			return at(func(in []*G.Node) (*G.Node, error) { return G.GlobalAveragePool2D(in[0]) }, []graphs.Array{image2(1, 1, 1)}, image2(1, 1, 1), []float64{1}, []float64{1})
		})},
		{name: "Rectify", use: "away from 0", search: func(try try) {
			for n := 2; n <= 12; n++ {
				try(fmt.Sprintf("x [%d]", n), func() string {
					return blamed(use{[][]int{{n}}, true, func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) }, reference.OfReLU()}, slices.Concat(underTape, underLisp)...)
				})
			}
		}},
		{name: "Rectify", use: "the gradient at 0", known: "O1", search: rectifyAt(0, 0, 0)},
		{name: "Rectify", use: "of −Inf", known: "O1", search: rectifyAt(math.Inf(-1), 0, 0)},
		{name: "Rectify", use: "of −1, the sign of the 0", known: "O1", search: rectifyAt(-1, 0, 0)},
		{name: "SoftMax", use: "rows whose numbers are near", search: func(try try) {
			for n := 1; n <= 3; n++ {
				for m := 2; m <= 5; m++ {
					try(fmt.Sprintf("x [%d %d]", n, m), func() string { return blamed(softmaxUse(n, m), underTape...) })
				}
			}
		}},
		{name: "SoftMax", use: "of one column", known: "O5", search: func(try try) {
			for n := 1; n <= 3; n++ {
				try(fmt.Sprintf("x [%d 1]", n), func() string { return blamed(softmaxUse(n, 1), underTape...) })
			}
		}},
		{name: "SoftMax", use: "rows that are far apart", known: "O2", search: func(try try) {
			for apart := 1.0; apart <= 1024; apart *= 2 {
				try(fmt.Sprintf("x [%v %v; 0 0]", apart, apart), func() string {
					return at(func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) },
						[]graphs.Array{graphs.Of([]int{2, 2}, []float64{apart, apart, 0, 0})}, graphs.Of([]int{2, 2}, ones(4)), []float64{0.5, 0.5, 0.5, 0.5}, nil)
				})
			}
		}},
		{name: "LogSoftMax", use: "rows that are far apart", known: "O2", search: func(try try) {
			for apart := 1.0; apart <= 1024; apart *= 2 {
				try(fmt.Sprintf("x [%v %v; 0 0]", apart, apart), func() string {
					got, _, err := graphs.Run(func(in []*G.Node) (*G.Node, error) { return G.LogSoftMax(in[0]) }, []graphs.Array{graphs.Of([]int{2, 2}, []float64{apart, apart, 0, 0})}, graphs.Of([]int{2, 2}, ones(4)))
					if err != nil {
						return err.Error()
					}
					for _, y := range got.Data {
						// an exponential, a sum and a logarithm, and whatever is subtracted first
						if !(math.Abs(y+math.Ln2) <= 8*0x1p-53*(1+apart)) {
							return fmt.Sprintf("y is %v, want −ln 2 everywhere", got.Data)
						}
					}
					return ""
				})
			}
		}},
		{name: "SoftMax", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(func(x *G.Node) (*G.Node, error) { return G.SoftMax(x) })},
		{name: "SoftMax", use: "beside LogSoftMax of the same x", known: "O3", search: one("x [0 0]", func() string {
			_, in := graphs.Leaves(graphs.Zeros(1, 2))
			p := must(G.SoftMax(in[0]))
			l := must(G.LogSoftMax(in[0]))
			if p == l {
				return "the two are one node"
			}
			return ""
		})},
		{name: "SoftMax", use: "read beside its Log", known: "O4", search: one("x [0 0]", func() string {
			g, in := graphs.Leaves(graphs.Zeros(1, 2))
			p := must(G.SoftMax(in[0]))
			var read G.Value
			G.Read(p, &read)
			must(G.Log(p))
			run(g)
			got := must(values.Floats(read))
			return differs("softmax", got, []float64{0.5, 0.5})
		})},
		{name: "SoftMax", use: "−mean(log(softmax(x)·t)), the loss of examples/convnet", known: "O6", search: one("x [0 0], targets [1 0] and [0 1]", func() string {
			var grads [2][]float64
			for k := range grads {
				t := []float64{1. / 1024, 1. / 1024}
				t[k] = 1
				_, dx, err := graphs.Run(func(in []*G.Node) (*G.Node, error) {
					p, err := G.SoftMax(in[0])
					if err != nil {
						return nil, err
					}
					if p, err = G.HadamardProd(p, in[1]); err != nil {
						return nil, err
					}
					if p, err = G.Log(p); err != nil {
						return nil, err
					}
					if p, err = G.Mean(p); err != nil {
						return nil, err
					}
					return G.Neg(p)
				}, []graphs.Array{graphs.Of([]int{1, 2}, []float64{0, 0}), graphs.Of([]int{1, 2}, t)}, graphs.Of(nil, []float64{1}))
				if err != nil {
					return err.Error()
				}
				grads[k] = dx[0].Data
			}
			if fmt.Sprint(grads[0]) == fmt.Sprint(grads[1]) {
				return fmt.Sprintf("dx is %v for both targets: it does not depend on the labels", grads[0])
			}
			return ""
		})},
		{name: "Dropout", use: "its gradient", known: "O7", search: func(try try) {
			for _, p := range []float64{0.5, 0.25, 0.75} {
				try(fmt.Sprintf("p %v", p), func() string {
					n := 64
					y, dx, err := graphs.Run(func(in []*G.Node) (*G.Node, error) { return G.Dropout(in[0], p) }, []graphs.Array{graphs.Of([]int{n}, ones(n))}, graphs.Of([]int{n}, ones(n)))
					if err != nil {
						return err.Error()
					}
					for i, y := range y.Data { // linear and diagonal: y/x = dx/dy
						if !(math.Abs(dx[0].Data[i]-y) <= 4*0x1p-53*math.Abs(y)) {
							return fmt.Sprintf("x[i] = dy[i] = 1 gives y[i] = %v and dx[i] = %v, want the same", y, dx[0].Data[i])
						}
					}
					return ""
				})
			}
		}},
		{name: "Dropout", use: "differentiated, and then something else in the same graph", known: "M2", search: gradTwice(func(x *G.Node) (*G.Node, error) { return G.Dropout(x, 0.5) })},
		{name: "Dropout", use: "two of one input with other probabilities", known: "O7", search: one("p 0.25 and 0.75", func() string {
			_, in := graphs.Leaves(graphs.Zeros(2))
			a := must(G.Dropout(in[0], 0.25))
			b := must(G.Dropout(in[0], 0.75))
			if a == b {
				return "the two are one node"
			}
			return ""
		})},
		{name: "Dropout", use: "into memory at hand, by UsePreallocDo", known: "O7", mortal: true, search: one("x [1], p 0.5", func() string {
			_, in := graphs.Leaves(graphs.Of([]int{1}, ones(1)))
			y := must(G.Dropout(in[0], 0.5))
			op, ok := y.Op().(G.UsePreallocDoer)
			if !ok {
				return ""
			}
			v := must(op.UsePreallocDo(graphs.Zeros(1).Value(tensor.Float64), in[0].Value()))
			if got, err := values.Floats(v); err != nil || got[0] != 0 && got[0] != 2 {
				return fmt.Sprintf("y is %v (%v), want 0 or 2", got, err)
			}
			return ""
		})},
		{name: "Dropout", use: "in evaluation, then + 1: is x left alone", known: "O7", search: leftAlone(func(x *G.Node) (*G.Node, error) { return G.Dropout(x, 0.5) }, G.EvalMode())},
		{name: "Reshape", use: "then + 1: is x left alone", known: "O9", search: leftAlone(func(x *G.Node) (*G.Node, error) { return G.Reshape(x, tensor.Shape{2}) })},
		{name: "Reshape", use: "under LispMachine, x with a second consumer", known: "C2", search: func(try try) {
			for n := 1; n <= 4; n++ {
				try(fmt.Sprintf("x [%d 1]", n), func() string {
					s := use{[][]int{{n, 1}}, true, func(in []*G.Node) (*G.Node, error) { return G.Reshape(in[0], tensor.Shape{n}) }, reference.OfCopy()}
					return blamed(s, underLisp...)
				})
			}
		}},
		{name: "Mean", use: "over one axis of four", known: "O8", mortal: true, search: func(try try) {
			for _, shape := range shapesOf(4, 3) {
				for axis := range 4 {
					try(fmt.Sprintf("x %v, axis %d", shape, axis), func() string { return blamed(meanUse(shape, axis), underTape...) })
				}
			}
		}},
		{name: "Mean", use: "over the rows and columns of images", known: "O8", mortal: true, search: func(try try) {
			for _, shape := range shapesOf(4, 3) {
				if shape[0] > 1 && shape[1] > 1 && shape[2] > 1 && shape[3] > 1 {
					try(fmt.Sprintf("x %v, axes 2 and 3", shape), func() string { return blamed(meanUse(shape, 2, 3), underTape...) })
				}
			}
		}},
		{name: "Grad", use: "of a Grad", known: "M1", search: one("Σ x³, x [1]", func() string {
			g, in := graphs.Leaves(graphs.Of([]int{1}, ones(1)))
			cube := G.Must(G.HadamardProd(G.Must(G.Square(in[0])), in[0]))
			first := must(G.Grad(G.Must(G.Sum(cube)), in[0]))
			second := must(G.Grad(G.Must(G.Sum(first[0])), in[0]))
			run(g)
			got := must(values.Floats(second[0].Value()))
			return differs("d²/dx²", got, []float64{6})
		})},
		{name: "Grad", use: "of a loss, and then of the loss with a penalty on the same weights", known: "M1", search: one("Σ w², and then Σ w² + Σ w⁴, w [1]", func() string {
			g, in := graphs.Leaves(graphs.Ones(1))
			square := G.Must(G.Square(in[0]))
			loss := G.Must(G.Sum(square))
			must(G.Grad(loss, in[0]))
			penalty := G.Must(G.Sum(G.Must(G.Square(square))))
			dw := must(G.Grad(G.Must(G.Add(loss, penalty)), in[0]))
			run(g)
			got := must(values.Floats(dw[0].Value()))
			return differs("dw", got, []float64{6})
		})},
		{name: "BroadcastAdd", use: "its gradient by what is broadcast over axis 2 of four", known: "O8", search: func(try try) {
			for _, shape := range shapesOf(4, 3) {
				// there is nothing to broadcast, or what is broadcast is one element
				if shape[2] < 2 || len(graphs.Zeros(shape...).Data) == shape[2] {
					continue
				}
				try(fmt.Sprintf("x %v, b [%d %d 1 %d]", shape, shape[0], shape[1], shape[3]), func() string {
					return blamedFor(verify.Case{
						Build:  func(in []*G.Node) (*G.Node, error) { return G.BroadcastAdd(in[0], in[1], nil, []byte{2}) },
						Inputs: []verify.Input{verify.Integers("x", 4, shape...), verify.Integers("b", 4, shape[0], shape[1], 1, shape[3])},
					}, verify.ByDifferences)
				})
			}
		}},
		{name: "Mul", use: "of slices of matrices", known: "found here", mortal: true, search: mulOf(verify.BySlices)},
		{name: "Mul", use: "of column-major matrices", known: "found here", mortal: true, search: mulOf(verify.ByColumnMajor)},
		{name: "Mul", use: "of lazy transposes of matrices", mortal: true, search: mulOf(verify.ByTransposes)},
		{name: "Conv2d, Reshape, BroadcastAdd", use: "a convolution with a bias", search: overFamily("Conv2D")},
		{name: "Mul, Transpose, BroadcastAdd", use: "a fully connected layer", search: overFamily("Linear")},
		{name: "Sub, Square, Mean", use: "a squared error", search: overFamily("MSE")},
		{name: "Log, SoftMax, HadamardProd, Sum", use: "a cross-entropy with labels", search: overFamily("CrossEntropy")},
	}
	for _, v := range views() {
		all = append(all,
			builtIn{name: "Conv2d", use: v.name, known: knownView("Conv2d", v.name), mortal: true, search: func(try try) {
				for _, shape := range smallImages(v.axis) {
					try(fmt.Sprintf("x %v, filter [1 %d 1 1] of ones", shape, shape[1]), func() string {
						return viewed(v, shape, func(x *G.Node) (*G.Node, error) {
							w := graphs.Of([]int{1, shape[1], 1, 1}, ones(shape[1]))
							return G.Conv2d(x, G.NewTensor(x.Graph(), tensor.Float64, 4, G.WithShape(w.Shape...), G.WithName("w"), G.WithValue(w.Value(tensor.Float64))),
								tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}, []int{1, 1})
						}, func(x []float64) []float64 {
							g, err := kernel.NewConv(shape[0], shape[1], shape[2], shape[3], 1, 1, 1, 1, padded(0, 0, 0, 0, 1), false)
							if err != nil {
								panic(err)
							}
							y := make([]float64, g.YLen())
							kernel.RefForward(g, y, x, ones(shape[1]))
							return y
						})
					})
				}
			}},
			builtIn{name: "MaxPool2D", use: v.name, known: knownView("MaxPool2D", v.name), mortal: true, search: func(try try) {
				for _, shape := range smallImages(v.axis) {
					try(fmt.Sprintf("x %v, window [1 1]", shape), func() string {
						return viewed(v, shape, func(x *G.Node) (*G.Node, error) {
							return G.MaxPool2D(x, tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1})
						}, func(x []float64) []float64 { return x })
					})
				}
			}})
	}
	return all
}

// knownView is what is expected of a view: slices of the batch are right in both ops, and of the
// channels in Conv2d.
func knownView(op, name string) string {
	if name == "a slice of the batch" || op == "Conv2d" && name == "a slice of the channels" {
		return ""
	}
	return "C10"
}

// smallImages are shapes in order of size, with two elements or more along an axis.
func smallImages(axis int) [][]int {
	var all [][]int
	for _, s := range shapesOf(4, 2) {
		if s[axis] > 1 {
			all = append(all, s)
		}
	}
	return all
}

// shapesOf are all shapes of a rank with sides up to most, in order of size.
func shapesOf(rank, most int) [][]int {
	all := [][]int{nil}
	for range rank {
		var longer [][]int
		for _, s := range all {
			for side := 1; side <= most; side++ {
				longer = append(longer, append(append([]int(nil), s...), side))
			}
		}
		all = longer
	}
	sort.SliceStable(all, func(i, j int) bool { return len(graphs.Zeros(all[i]...).Data) < len(graphs.Zeros(all[j]...).Data) })
	return all
}

func maxAt(window int, x graphs.Array, y, dx []float64) string {
	return at(func(in []*G.Node) (*G.Node, error) {
		return G.MaxPool2D(in[0], tensor.Shape{1, window}, []int{0, 0}, []int{1, window})
	}, []graphs.Array{x}, image2(1, 1, 1), y, dx)
}

func rectifyAt(x, y, dx float64) func(try try) {
	return func(try try) {
		try(fmt.Sprintf("x [%v], dy [1]", x), func() string {
			return at(func(in []*G.Node) (*G.Node, error) { return G.Rectify(in[0]) }, []graphs.Array{graphs.Of([]int{1}, []float64{x})}, graphs.Of([]int{1}, []float64{1}), []float64{y}, []float64{dx})
		})
	}
}

func softmaxUse(n, m int) use {
	return use{[][]int{{n, m}}, false, func(in []*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) }, reference.OfSoftmax(n)}
}

// meanUse is G.Mean along some axes, in ascending order.
func meanUse(shape []int, axes ...int) use {
	return use{[][]int{shape}, false, func(in []*G.Node) (*G.Node, error) { return G.Mean(in[0], axes...) }, reference.OfMean(shape, axes)}
}

// leftAlone runs f(x) + 1 twice: x must be what it was.
func leftAlone(f func(x *G.Node) (*G.Node, error), options ...G.VMOpt) func(try try) {
	return func(try try) {
		try("x [0 0]", func() string {
			g, in := graphs.Leaves(graphs.Zeros(2))
			y := must(f(in[0]))
			must(G.Add(y, G.NewConstant(1.0)))
			run(g, options...)
			got := must(values.Floats(in[0].Value()))
			return differs("x after the run", got, []float64{0, 0})
		})
	}
}

// blamedFor is what the checker has against a case, by some oracles. It is strict: Gorgonia's own
// ops are not excused.
func blamedFor(c verify.Case, by ...verify.Oracle) string {
	c.Fixed, c.Strict, c.NoShrink, c.Only, c.Seed = true, true, true, by, 1
	report := must(c.Check())
	for _, row := range report.Rows {
		if row.Verdict == verify.Fails {
			return row.String()
		}
	}
	return ""
}

// mulOf checks products of matrices in order of size, by one oracle.
func mulOf(oracle verify.Oracle) func(try try) {
	return func(try try) {
		for _, s := range shapesOf(3, 3) {
			try(fmt.Sprintf("[%d %d] × [%d %d]", s[0], s[1], s[1], s[2]), func() string {
				return blamedFor(verify.Case{
					Build:  func(in []*G.Node) (*G.Node, error) { return G.Mul(in[0], in[1]) },
					Inputs: []verify.Input{verify.Integers("x", 4, s[0], s[1]), verify.Integers("w", 4, s[1], s[2])},
				}, oracle)
			})
		}
	}
}

// gradTwice differentiates f(x), and then something in the same graph that has nothing to do with
// it.
func gradTwice(f func(x *G.Node) (*G.Node, error)) func(try try) {
	return func(try try) {
		try("Grad of Σ f(x) by x, and then of Σ w² by w", func() string {
			_, in := graphs.Leaves(graphs.Zeros(1, 1, 1, 2), graphs.Zeros(2))
			y := must(f(in[0]))
			must(G.Grad(G.Must(G.Sum(y)), in[0]))
			must(G.Grad(G.Must(G.Sum(G.Must(G.Square(in[1])))), in[1]))
			return ""
		})
	}
}

// overFamily takes the graph of Gorgonia's ops that an op of ours is compared with.
func overFamily(op string) func(try try) {
	return func(try try) {
		r := rand.New(rand.NewPCG(1, 7))
		for range 20 {
			if params, c := suite.Theirs(op, r); c.Build != nil {
				try(params, func() string { return blamedFor(c, underTape...) })
			}
		}
	}
}

// secondConv is the gradient by w of ⟨∂E/∂x, v⟩, which is the filter gradient of v under dy.
func secondConv(g kernel.Conv, sp kernel.Spatial) string {
	r := rand.New(rand.NewPCG(1, 3))
	whole := func(shape ...int) graphs.Array {
		a := graphs.Zeros(shape...)
		for i := range a.Data {
			a.Data[i] = float64(r.IntN(9) - 4)
		}
		return a
	}
	x, w, dy, v := whole(sidesX(g)...), whole(g.K, g.C, g.R, g.S), whole(g.N, g.K, g.P, g.Q), whole(sidesX(g)...)
	graph, nodes := graphs.Leaves(x, w, v)
	y, err := conv2d(nodes, g, sp)
	if err != nil {
		return ""
	}
	c := must(graphs.Cost(y, dy))
	dx := must(G.Grad(c, nodes[0]))
	p := must(G.HadamardProd(dx[0], nodes[2]))
	p = must(G.Sum(p))
	dw := must(G.Grad(p, nodes[1]))
	run(graph)
	got := must(values.Floats(dw[0].Value()))
	want := make([]float64, g.WLen())
	kernel.RefBackwardFilter(g, want, dy.Data, v.Data)
	return differs("∂/∂w ⟨∂E/∂x, v⟩", got, want)
}

// secondMax is the gradient by dy of ⟨∂E/∂x, v⟩, which is v at the winner.
func secondMax() string {
	graph, in := graphs.Leaves(image2(1, 1, 2), image2(1, 1, 3), image2(1, 1, 5))
	y := must(G.MaxPool2D(in[0], tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}))
	c := G.Must(G.Sum(G.Must(G.HadamardProd(y, in[1]))))
	dx := must(G.Grad(c, in[0]))
	d := must(G.Grad(G.Must(G.Sum(G.Must(G.HadamardProd(dx[0], in[2])))), in[1]))
	run(graph)
	got := must(values.Floats(d[0].Value()))
	return differs("∂/∂dy ⟨∂E/∂x, v⟩", got, []float64{5})
}
