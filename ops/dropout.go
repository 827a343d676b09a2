package ops

import (
	"fmt"
	"math"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A Random is a graph's source of dropout masks. It owns an input node that says which step of training the graph is in, or that it is being evaluated; a mask is a pure function of
// the seed, the Dropout it is for, the step and the element, so a run can be repeated, resumed and checked.
type Random struct {
	node    *G.Node
	state   []int // step, and 1 for training or 0 for evaluation; the backing of the node's value
	seed    uint64
	streams uint64
}

// NewRandom returns a source for the graph g, in training at step 0. One is enough for a graph; two of one graph must differ in their seeds.
func NewRandom(g *G.ExprGraph, seed uint64) (*Random, error) {
	if g == nil {
		return nil, errors.New("ops: NewRandom: the graph is nil")
	}
	name := fmt.Sprintf("dropout state, seed %d", seed)
	if len(g.ByName(name)) > 0 {
		return nil, errors.Errorf("ops: NewRandom: the graph has a source with the seed %d already: their masks would be the same", seed)
	}
	r := &Random{seed: seed, state: []int{0, 1}}
	v := tensor.New(tensor.WithShape(2), tensor.WithBacking(r.state))
	r.node = G.NewTensor(g, tensor.Int, 1, G.WithShape(2), G.WithName(name), G.WithValue(v))
	return r, nil
}

// SetStep says which step the next run is. Masks of different steps are independent; the caller counts the steps. A source that is nil, as in a graph without dropout, takes no notice.
func (r *Random) SetStep(step int) {
	if r != nil && r.node != nil {
		r.state[0] = step
	}
}

// SetTraining switches between training, where Dropout drops, and evaluation, where it passes its input on.
func (r *Random) SetTraining(training bool) {
	if r == nil || r.node == nil {
		return
	}
	r.state[1] = 0
	if training {
		r.state[1] = 1
	}
}

// Training reports which of the two it is.
func (r *Random) Training() bool { return r != nil && r.node != nil && r.state[1] == 1 }

// Dropout returns the node y that is x with each element dropped with probability p in training, and x itself in evaluation:
//
//	y[i] = 0 with probability p, x[i]/(1 − p) otherwise
//
// for x of any rank. Each call draws its masks from a stream of its own, so two dropouts never share one. y is a copy, in evaluation too. A NaN or infinity that is dropped becomes 0.
//
// Derivative: dx[i] = 0 where x[i] was dropped and dy[i]/(1 − p) elsewhere; in evaluation dx = dy.
//
// Dropout returns an error if x is not a float node of the source's graph or p is not in [0, 1).
func Dropout(x *G.Node, p float64, r *Random) (*G.Node, error) {
	if r == nil || r.node == nil {
		return nil, errors.New("ops: Dropout: the source of masks is nil, want one of NewRandom")
	}
	if err := check("Dropout", float("x", -1, x), integers("the source's state", 1, tensor.Int, r.node)); err != nil {
		return nil, err
	}
	if !(p >= 0 && p < 1) || math.IsNaN(p) {
		return nil, errors.Errorf("ops: Dropout: p is %v, want a probability in [0, 1)", p)
	}
	r.streams++
	return node(dropout{Rank: x.Dims(), P: p, Seed: r.seed, Stream: r.streams}, x, r.node)
}

type dropout struct {
	Rank         int
	P            float64
	Seed, Stream uint64
}

func (o dropout) InPlace() int { return 0 }
func (o dropout) name() string { return "Dropout" }
func (o dropout) args() []arg {
	return []arg{{name: "x", rank: o.Rank}, {name: "state", rank: 1, of: tensor.Int}}
}
func (o dropout) result() arg { return arg{name: "y", rank: o.Rank} }
func (o dropout) infer(in []tensor.Shape) (tensor.Shape, error) {
	return in[0], want("state", in[1], 2)
}

// The map is linear and diagonal: the same mask, scaled the same way, takes dy back.
func (o dropout) rule() []*term { return []*term{apply(o, cotangent(), in(1)), nil} }

func (o dropout) exec(c *Call) error {
	if c.double() {
		dropoutForward[float64](o, c)
	} else {
		dropoutForward[float32](o, c)
	}
	return nil
}

func dropoutForward[T kernel.Float](o dropout, c *Call) {
	y, x, state := slice[T](c.dst), slice[T](c.in[0]), slice[int](c.in[1])
	if state[1] == 0 || o.P == 0 {
		copy(y, x)
		return
	}
	kernel.Dropout(y, x, o.P, o.Seed, o.Stream, uint64(state[0]))
}
