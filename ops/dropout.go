package ops

import (
	"fmt"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A Random is a graph's source of dropout masks. A mask is a pure function of the seed, the Dropout
// it is for, the step and the element, so that a run can be repeated, resumed and checked.
//
// A source counts the steps by itself: each run of the graph draws new masks. Once SetStep has been
// called, the caller counts, and runs of one step have the same masks.
type Random struct {
	leaf    *G.Node // holds state
	node    *G.Node // the run's step, and whether it is training; made by the first Dropout
	state   []int   // next step; 1 for training; 1 where the caller counts. The leaf's backing
	seed    uint64
	streams uint64
}

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
	r := &Random{seed: seed, state: []int{0, 1, 0}}
	v := tensor.New(tensor.WithShape(3), tensor.WithBacking(r.state))
	r.leaf = G.NewTensor(g, tensor.Int, 1, G.WithShape(3), G.WithName(name), G.WithValue(v))
	return r, nil
}

// SetStep says which step the next runs are. Masks of different steps are independent. A source
// that is nil, as in a graph without dropout, takes no notice.
func (r *Random) SetStep(step int) {
	if r != nil && r.leaf != nil {
		r.state[0], r.state[2] = step, 1
	}
}

// SetTraining switches between training, where Dropout drops, and evaluation, where it passes its
// input on.
func (r *Random) SetTraining(training bool) {
	if r == nil || r.leaf == nil {
		return
	}
	r.state[1] = 0
	if training {
		r.state[1] = 1
	}
}

// Training reports which of the two it is.
func (r *Random) Training() bool { return r != nil && r.leaf != nil && r.state[1] == 1 }

// advance gives the run's step and whether it is training, and counts the steps where the caller
// does not. It is the one op that writes to its operand: a leaf that belongs to the source alone.
type advance struct{}

func (o advance) name() string  { return "Step" }
func (o advance) args() []arg   { return []arg{{name: "state", rank: 1, of: tensor.Int}} }
func (o advance) result() arg   { return arg{name: "step", rank: 1, of: tensor.Int} }
func (o advance) rule() []*term { return []*term{nil} }
func (o advance) infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{2}, want("state", in[0], 3)
}

func (o advance) exec(c *Call) error {
	step, state := slice[int](c.dst), slice[int](c.in[0])
	copy(step, state)
	if state[1] == 1 && state[2] == 0 {
		state[0]++
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
	if err := check("Dropout", float("x", -1, x)); err != nil {
		return nil, err
	}
	if !(p >= 0 && p < 1) {
		return nil, errors.Errorf("ops: Dropout: p is %v, want a probability in [0, 1)", p)
	}
	if r == nil {
		return x, nil
	}
	if r.leaf == nil {
		return nil, errors.New("ops: Dropout: the source of masks is empty, want one of NewRandom, or nil")
	}
	if err := check("Dropout", float("x", -1, x), integers("the source's state", 1, tensor.Int, r.leaf)); err != nil {
		return nil, err
	}
	if r.node == nil {
		var err error
		if r.node, err = node(advance{}, r.leaf); err != nil {
			return nil, err
		}
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
