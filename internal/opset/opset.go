// Package opset is the list of the project's ops, in which tests, the suite and the benchmarks find
// them. An op's file registers it, so that a new op touches no other file.
package opset

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An Entry is an op: a constructor of package ops.
type Entry struct {
	// Name is the constructor's.
	Name string
	// Draw returns a call of it, with small shapes and parameters by chance. Many draws should meet
	// every branch of the op. It is called with sources of many seeds.
	Draw func(r *rand.Rand) Case
}

// A Case is one call of a constructor.
type Case struct {
	// Params describes the parameters, for reports.
	Params string
	Inputs []Input
	// Build makes the call. It may be called often, on nodes of the inputs' shapes and types.
	Build func(in []*G.Node) (*G.Node, error)
	// Want is the definition: the result's elements, row-major, from the inputs' elements, by plain
	// loops that share nothing with the op. It may be nil for ops that other tests have a reference
	// for. Terms is how many numbers an element of the result sums, 0 for none: by it, and by the
	// size of Magnitude, the rounding error is bounded.
	Want  func(in [][]float64) []float64
	Terms int
	// Rough says that the op's second derivative does not exist, or is not to be checked.
	Rough bool
	// PyTorch is the same call in Python on tensors named like the inputs, such as
	// "F.relu(x)". It may be empty.
	PyTorch string
}

// An Input is an operand of a case.
type Input struct {
	Name  string
	Shape tensor.Shape
	// Draw fills the elements. The constructors Normal, Distinct, Away and Labels set it.
	Draw func(r *rand.Rand, v []float64)
	// Of is the type of integer operands; its zero value stands for floats.
	Of tensor.Dtype
}

// Normal is standard normal numbers.
func Normal(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = r.NormFloat64()
		}
	}}
}

// Distinct is numbers of which every two are at least 1/8 apart and none is nearer to 0 than 1/16,
// for ops with kinks and ties.
func Distinct(name string, shape ...int) Input {
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i, p := range r.Perm(len(v)) {
			v[i] = (float64(p-len(v)/2) + 0.5) / 8
		}
	}}
}

// Between is numbers of [lo, hi).
func Between(name string, lo, hi float64, shape ...int) Input {
	return Input{Name: name, Shape: shape, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = lo + (hi-lo)*r.Float64()
		}
	}}
}

// Labels is integers of [0, classes), of type Int.
func Labels(name string, classes int, shape ...int) Input {
	return Input{Name: name, Shape: shape, Of: tensor.Int, Draw: func(r *rand.Rand, v []float64) {
		for i := range v {
			v[i] = float64(r.IntN(classes))
		}
	}}
}

var (
	entries []Entry
	timed   = map[string]func() []Case{}
)

// Register adds an op. It is called when the program starts, by the op's file.
func Register(e Entry) { entries = append(entries, e) }

// Timed gives the benchmark calls of the named op, of the sizes that networks have.
func Timed(name string, calls func() []Case) { timed[name] = calls }

// TimedNames are the ops that Timed was called for, in order. An op may be registered twice, with
// cases of two kinds, but its calls are timed once.
func TimedNames() []string { return slices.Sorted(maps.Keys(timed)) }

// Calls is what Timed was given for the named op.
func Calls(name string) []Case {
	if timed[name] == nil {
		return nil
	}
	return timed[name]()
}

// Call is a case for the benchmark alone: a call with the same in Python.
func Call(params, pytorch string, build func(in []*G.Node) (*G.Node, error), in ...Input) Case {
	return Case{Params: params, PyTorch: pytorch, Build: build, Inputs: in}
}

// All is the registered ops by name.
func All() []Entry {
	all := slices.Clone(entries)
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all
}
