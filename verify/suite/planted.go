package suite

import (
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
	"github.com/convgrad/convgrad/verify/internal/graphs"
)

// plant is the subject with the mistake in place of its op: it goes through the same machines and
// the same oracles.
func (s *subject) plant(m mistake) *subject {
	m = s.complete(m)
	o := graphs.Op{
		Name: "planted " + s.op, Shape: func([]tensor.Shape) (tensor.Shape, error) { return s.y, nil },
		MemoryY: true, Stores: m.overwrites,
		Y: func(c *graphs.Call) []float64 {
			y := m.forward(c.X)
			if m.dirty && c.Dst != nil {
				y = slices.Clone(y)
				for i := range y {
					y[i] += c.Dst[i]
				}
			}
			return y
		},
		D: func(c *graphs.Call) [][]float64 { return m.backward(c.X, c.Y, c.DY) },
	}
	bad := *s
	bad.planted = true
	bad.build, bad.outputs = func(in []*G.Node) (*G.Node, error) { return o.Apply(in...) }, nil
	if s.outputs != nil {
		bad.reference = s.alone
	}
	return &bad
}

// complete has the right functions for those that the mistake leaves out.
func (s *subject) complete(m mistake) mistake {
	right, wrong := s.rule, m.forward != nil
	if !wrong {
		m.forward = right.forward
	}
	if m.backward == nil {
		m.backward = func(in [][]float64, y, dy []float64) [][]float64 {
			if wrong { // the backward pass of a right op sees the output of a right one
				y = right.forward(in)
			}
			return right.backward(in, y, dy)
		}
	}
	return m
}

// general are the mistakes that any op can have, in its rule and in its kernel.
func (s *subject) general() []mistake {
	var all []mistake
	rule := func(name string, change func(dx []float64, shape []int) []float64) {
		all = append(all, mistake{name: "gradients: " + name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			grads := s.rule.backward(in, y, dy)
			for i := range grads {
				grads[i] = change(append([]float64(nil), grads[i]...), s.shapes[i])
			}
			return grads
		}})
	}
	cotangent := func(name string, change func(dy []float64)) {
		all = append(all, mistake{name: "gradients: " + name, backward: func(in [][]float64, y, dy []float64) [][]float64 {
			dy = append([]float64(nil), dy...)
			change(dy)
			return s.rule.backward(in, y, dy)
		}})
	}
	kernel := func(name string, change func(y []float64)) {
		all = append(all, mistake{name: "kernel: " + name, forward: func(in [][]float64) []float64 {
			y := append([]float64(nil), s.rule.forward(in)...)
			change(y)
			return y
		}})
	}
	scaled := func(by float64) func(dx []float64, _ []int) []float64 {
		return func(dx []float64, _ []int) []float64 {
			for i := range dx {
				dx[i] *= by
			}
			return dx
		}
	}
	rule("the factor ½", scaled(0.5))
	rule("the sign", scaled(-1))
	rule("turned by 180°", func(dx []float64, _ []int) []float64 {
		for i, j := 0, len(dx)-1; i < j; i, j = i+1, j-1 {
			dx[i], dx[j] = dx[j], dx[i]
		}
		return dx
	})
	rule("shifted by one element", func(dx []float64, _ []int) []float64 { return append(dx[1:], dx[0]) })
	rule("transposed", func(dx []float64, shape []int) []float64 {
		if len(shape) == 0 {
			return dx
		}
		rows := shape[0]
		if len(shape) > 1 {
			rows = shape[len(shape)-2]
		}
		cols := shape[len(shape)-1]
		t := append([]float64(nil), dx...)
		for at := 0; at+rows*cols <= len(dx); at += rows * cols {
			for k := range rows * cols {
				t[at+k%cols*rows+k/cols] = dx[at+k]
			}
		}
		return t
	})
	rule("the last element forgotten", func(dx []float64, _ []int) []float64 { dx[len(dx)-1] = 0; return dx })
	rule("one element doubled", func(dx []float64, _ []int) []float64 { dx[len(dx)/2] *= 2; return dx })
	rule("a constant added", func(dx []float64, _ []int) []float64 {
		for i := range dx {
			dx[i] += 1. / 1024
		}
		return dx
	})
	cotangent("dy taken as ones", func(dy []float64) {
		for i := range dy {
			dy[i] = 1
		}
	})
	if len(s.y) > 0 && !s.identity { // of an identity the gradient is dy
		cotangent("dy reversed", func(dy []float64) {
			for i, j := 0, len(dy)-1; i < j; i, j = i+1, j-1 {
				dy[i], dy[j] = dy[j], dy[i]
			}
		})
	}
	kernel("the last element not written", func(y []float64) { y[len(y)-1] = 0 })
	kernel("one element off by 2⁻¹⁵ of itself", func(y []float64) { y[len(y)/2] *= 1 + 0x1p-15 })
	if len(s.y) > 0 {
		kernel("neighbours swapped", func(y []float64) {
			if len(y) > 1 {
				y[0], y[1] = y[1], y[0]
			}
		})
		all = append(all, mistake{name: "kernel: adds to a destination that is dirty", dirty: true})
	}
	return append(all, mistake{name: "gradients: overwritten, not accumulated", overwrites: true})
}

// A Kill is a mistake and how it was found out.
type Kill struct {
	Op      string `json:"op"`
	Mistake string `json:"mistake"`
	Caught  bool   `json:"caught"`
	// Registered: the op has no rule here, and mistakes are planted in its own graph.
	Registered bool `json:"registered,omitempty"`
	// all that caught it in the first case in which any did
	Oracles []string `json:"oracles,omitempty"`
	Cases   int      `json:"cases"` // cases until it was caught
	Says    string   `json:"says,omitempty"`
}

// SelfTest plants every mistake of every op whose name contains only, and reports which oracle of
// the checker caught it. It also puts each rule without a mistake before the checker and returns an
// error if one is blamed, or if no op has such a name. Ops that are registered count only if they
// are asked for.
func SelfTest(seed uint64, only string, registered bool) ([]Kill, error) {
	chosen, err := chosen(only)
	if err != nil {
		return nil, err
	}
	var all []Kill
	for _, f := range chosen {
		if f.registered && !registered {
			continue
		}
		if f.registered {
			kills, err := selfTestRegistered(f, seed)
			if err != nil {
				return nil, err
			}
			all = append(all, kills...)
			continue
		}
		for n := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, n))
			sound := f.subject(r)
			if _, bad := sound.plant(mistake{}).judged(seed+n, n%2 == 0); bad != nil {
				return nil, errors.Errorf("suite: %s without a mistake is blamed: %s: %v", f.op, sound.params, bad)
			}
		}
		// The same mistakes exist in every subject of an op, in the same order; some of them change
		// nothing in some geometries.
		names := f.subject(rand.New(rand.NewPCG(seed, 0))).allMistakes()
		for m := range names {
			all = append(all, kill(f, m, names[m].name, seed))
		}
	}
	return all, nil
}

func (s *subject) allMistakes() []mistake { return append(s.rule.mistakes, s.general()...) }

func kill(f family, m int, name string, seed uint64) Kill {
	const most = 60
	k := Kill{Op: f.op, Mistake: name}
	r := rand.New(rand.NewPCG(seed, uint64(m)+100))
	for k.Cases < most {
		k.Cases++
		s := f.subject(r)
		if k.judge(s.plant(s.allMistakes()[m]), seed+uint64(k.Cases), k.Cases%2 == 1) {
			break
		}
	}
	return k
}

// judge puts a subject with a mistake before the checker and notes who caught it.
func (k *Kill) judge(s *subject, seed uint64, whole bool) bool {
	rows, bad := s.judged(seed, whole)
	if bad == nil {
		return false
	}
	k.Caught, k.Says = true, bad.Error()
	for _, row := range rows {
		if row.Verdict == verify.Fails && !slices.Contains(k.Oracles, string(row.Oracle)) {
			k.Oracles = append(k.Oracles, string(row.Oracle))
		}
	}
	return true
}
