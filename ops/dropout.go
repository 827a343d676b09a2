package ops

import (
	"fmt"
	"math/rand/v2"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/internal/opset"
)

// A Random is a graph's source of dropout masks. A mask is a pure function of the seed, the Dropout
// it is for, the step and the element, so that a run can be repeated, resumed and checked.
//
// A source counts the steps by itself: each run of the graph draws new masks. Once SetStep has been
// called, the caller counts, and runs of one step have the same masks.
//
// A machine of Gorgonia's that is made with EvalMode makes the source evaluate, and one that is
// made without it ends that.
type Random struct {
	leaf    *G.Node // holds state
	node    *G.Node // the run's step, and whether it is training; made by State
	state   []int   // the leaf's backing
	seed    uint64
	streams uint64
}

// The numbers of a Random's state.
const (
	nextStep   = iota
	isTraining // 1 in training
	isCounted  // 1 where the caller counts the steps
	isEvalMode // 1 where a machine evaluates
	stateSize
)

// NewRandom returns a source for the graph g, in training at step 0. One is enough for a graph; two
// of one graph must differ in their seeds.
func NewRandom(g *G.ExprGraph, seed uint64) (*Random, error) {
	if g == nil {
		return nil, errors.New("ops: NewRandom: the graph is nil")
	}
	name := fmt.Sprintf("dropout state, seed %d", seed)
	if len(g.ByName(name)) > 0 {
		return nil, errors.Errorf("ops: NewRandom: the graph has a source with the seed %d already: their masks would be the same", seed)
	}
	r := &Random{seed: seed, state: make([]int, stateSize)}
	r.state[isTraining] = 1
	v := tensor.New(tensor.WithShape(stateSize), tensor.WithBacking(r.state))
	r.leaf = G.NewTensor(g, tensor.Int, 1, G.WithShape(stateSize), G.WithName(name), G.WithValue(v))
	return r, nil
}

// SetStep says which step the next runs are. Masks of different steps are independent. A source
// that is nil, as in a graph without dropout, takes no notice.
func (r *Random) SetStep(step int) {
	if r != nil && r.leaf != nil {
		r.state[nextStep], r.state[isCounted] = step, 1
	}
}

// SetTraining switches between training, where Dropout drops, and evaluation, where it passes its
// input on.
func (r *Random) SetTraining(training bool) {
	if r == nil || r.leaf == nil {
		return
	}
	r.state[isTraining], r.state[isEvalMode] = 0, 0
	if training {
		r.state[isTraining] = 1
	}
}

// Training reports which of the two it is.
func (r *Random) Training() bool {
	return r != nil && r.leaf != nil && r.state[isTraining] == 1 && r.state[isEvalMode] == 0
}

// State returns the node of two integers, the run's step and 1 in training or 0 in evaluation, for
// an op that does one thing in training and another in evaluation.
//
// It returns an error if the source is nil or empty.
func (r *Random) State() (*G.Node, error) {
	if r == nil || r.leaf == nil {
		return nil, errors.New("ops: Random: the source of masks is empty, want one of NewRandom")
	}
	if r.node == nil {
		n, err := G.ApplyOp(switched{op{advance{}}, r}, r.leaf)
		if err != nil {
			return nil, errors.Wrap(err, "ops: Random")
		}
		r.node = n
	}
	return r.node, nil
}

// switched is the op of a source's state, which machines tell whether they train: it is a
// gorgonia.TrainModeOp.
type switched struct {
	op
	source *Random
}

// SetTraining is called when a machine of Gorgonia's is made: with false under EvalMode.
func (s switched) SetTraining(training bool) error {
	s.source.state[isEvalMode] = 1
	if training {
		s.source.state[isEvalMode] = 0
	}
	return nil
}

// advance gives the run's step and whether it is training, and counts the steps where the caller
// does not. It is the one op that writes to its operand: a leaf that belongs to the source alone.
type advance struct{}

func (o advance) name() string  { return "Step" }
func (o advance) args() []arg   { return []arg{{name: "state", rank: 1, of: tensor.Int}} }
func (o advance) result() arg   { return arg{name: "step", rank: 1, of: tensor.Int} }
func (o advance) rule() []*term { return []*term{nil} }
func (o advance) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2}, want("state", in[0], stateSize)
}

func (o advance) exec(c *Call) error {
	step, state := slice[int](c.dst), slice[int](c.in[0])
	step[0], step[1] = state[nextStep], 0
	if state[isTraining] == 1 && state[isEvalMode] == 0 {
		step[1] = 1
		if state[isCounted] == 0 {
			state[nextStep]++
		}
	}
	return nil
}

// Dropout returns the node y that is x with each element dropped with probability p in training,
// and x itself in evaluation:
//
//	y[i] = 0 with probability p, x[i]/(1 − p) otherwise
//
// for x of any rank. Each call draws its masks from a stream of its own, so two dropouts never
// share one. y is a copy, in evaluation too. A NaN or infinity that is dropped becomes 0. Without a
// source, r = nil, the graph only evaluates, and Dropout returns x.
//
// Derivative: dx[i] = 0 where x[i] was dropped and dy[i]/(1 − p) elsewhere; in evaluation dx = dy.
//
// Dropout returns an error if x is not a float node of the source's graph or p is not in [0, 1).
func Dropout(x *G.Node, p float64, r *Random) (*G.Node, error) {
	return drop("Dropout", -1, x, p, r)
}

// DropoutChannels is Dropout of whole planes (Tompson et al., 2015): the elements of a channel of
// an image share one draw.
//
//	y[n,c,…] = 0 with probability p, x[n,c,…]/(1 − p) otherwise
//
// x is N×C×…, of rank 2 or more. The rest is as in Dropout.
func DropoutChannels(x *G.Node, p float64, r *Random) (*G.Node, error) {
	if err := check("DropoutChannels", float("x", -1, x)); err != nil {
		return nil, err
	}
	s := x.Shape()
	if len(s) < 2 {
		return nil, errors.Errorf("ops: DropoutChannels: x has shape %v, of rank %d, want rank 2 or more", s, len(s))
	}
	return drop("DropoutChannels", s[0]*s[1], x, p, r)
}

// drop is Dropout in equal parts, of which each is kept or dropped as a whole; −1 is one for each
// element.
func drop(name string, parts int, x *G.Node, p float64, r *Random) (*G.Node, error) {
	if err := check(name, float("x", -1, x)); err != nil {
		return nil, err
	}
	if !(p >= 0 && p < 1) {
		return nil, errors.Errorf("ops: %s: p is %v, want a probability in [0, 1)", name, p)
	}
	if r == nil {
		return x, nil
	}
	if r.leaf == nil {
		return nil, errors.Errorf("ops: %s: the source of masks is empty, want one of NewRandom, or nil", name)
	}
	if err := check(name, float("x", -1, x), integers("the source's state", 1, tensor.Int, r.leaf)); err != nil {
		return nil, err
	}
	state, err := r.State()
	if err != nil {
		return nil, err
	}
	r.streams++
	return Apply(dropout{Parts: parts, P: p, Seed: r.seed, Stream: r.streams}, x, state)
}

type dropout struct {
	Parts        int
	P            float64
	Seed, Stream uint64
}

func (o dropout) InPlace() int { return 0 }

func (o dropout) Name(int) (string, []string) {
	if o.Parts >= 0 {
		return "DropoutChannels", []string{"x", "state"}
	}
	return "Dropout", []string{"x", "state"}
}

func (o dropout) Types(in []tensor.Dtype) (tensor.Dtype, error) {
	return floatAndIntegers([]string{"x", "state"}, in, 1)
}

func (o dropout) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("state", in[1], 2)
}

// Rule: the map is linear and diagonal, so the same mask, scaled the same way, takes dy back.
func (o dropout) Rule(in []*G.Node, _, dy *G.Node) ([]*G.Node, error) {
	dx, err := Apply(o, dy, in[1])
	return []*G.Node{dx, nil}, err
}

func (o dropout) Compute(c *Call) error {
	return ByType(o, c, dropoutForward[float32], dropoutForward[float64])
}

func dropoutForward[T kernel.Float](o dropout, c *Call) error {
	y, x, state := Out[T](c), In[T](c, 0), c.Ints(1)
	switch {
	case state[1] == 0 || o.P == 0:
		copy(y, x)
	case o.Parts < 0:
		kernel.Dropout(y, x, o.P, o.Seed, o.Stream, uint64(state[0]))
	case len(x) > 0:
		keep := make([]T, o.Parts)
		for i := range keep {
			keep[i] = 1
		}
		kernel.Dropout(keep, keep, o.P, o.Seed, o.Stream, uint64(state[0]))
		plane := len(x) / o.Parts
		for i, k := range keep {
			part := y[i*plane : (i+1)*plane]
			if k == 0 { // a NaN that is dropped is 0
				clear(part)
				continue
			}
			for j, v := range x[i*plane : (i+1)*plane] {
				part[j] = v * k
			}
		}
	}
	return nil
}

func init() {
	for _, e := range []struct {
		name  string
		build func(x *G.Node, p float64, r *Random) (*G.Node, error)
		parts int // of 2×3×4
	}{{"Dropout", Dropout, 24}, {"DropoutChannels", DropoutChannels, 6}} {
		opset.Register(opset.Entry{Name: e.name, Draw: func(r *rand.Rand) opset.Case {
			p, seed, step := float64(r.IntN(3))/4, r.Uint64(), r.IntN(5)
			training := r.IntN(4) > 0
			return opset.Case{
				Params: fmt.Sprintf("p %v, training %v", p, training), Inputs: []opset.Input{opset.Normal("x", 2, 3, 4)},
				Build: func(in []*G.Node) (*G.Node, error) {
					source, err := NewRandom(in[0].Graph(), seed)
					if err != nil {
						return nil, err
					}
					source.SetStep(step)
					source.SetTraining(training)
					return e.build(in[0], p, source)
				},
				// the mask is the kernel's; where it is 1, and how it is scaled, is the definition
				Want: func(in [][]float64) []float64 {
					mask := make([]float64, e.parts)
					for i := range mask {
						mask[i] = 1
					}
					if training {
						kernel.Dropout(mask, mask, p, seed, 1, uint64(step))
					}
					y := make([]float64, len(in[0]))
					for i, x := range in[0] {
						if mask[i*e.parts/len(y)] != 0 {
							y[i] = x
							if training {
								y[i] = x / (1 - p)
							}
						}
					}
					return y
				},
				Terms: 1,
			}
		}})
	}
}
