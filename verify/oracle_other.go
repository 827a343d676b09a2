package verify

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
)

// ByOther is another graph of the same function, and its derivative.
const ByOther Oracle = "another graph"

var _ = register(oracle{name: ByOther, rank: 100, independent: true, judge: (*trial).other})

func (t *trial) other() {
	if t.c.Other == nil {
		return
	}
	fails := func(err error) { t.note("y", ByOther, Fails, errors.Wrap(err, "the other graph")) }
	w, err := t.c.worldOf(func(in []*G.Node) (G.Nodes, error) {
		y, err := t.c.Other(in)
		return G.Nodes{y}, err
	}, t.of, t.spent)
	if err != nil {
		fails(err)
		return
	}
	if len(t.fwd.shapes) != 1 || w.y[0].Shape().TotalSize() != t.fwd.n {
		fails(errors.Errorf("its y has shape %v, that of the case %v", w.shapes[0], t.fwd.shapes))
		return
	}
	y, err := w.forward(t.x)
	if err != nil {
		fails(err)
		return
	}
	t.outputs(ByOther, t.base.y, y, scale(2, t.boundsOfY(t.rounding(t.base.y))), nil)
	if t.base.dx == nil {
		return
	}
	var o outcome
	d, err := w.derive()
	if err == nil {
		o, err = d.at(d.leaves(t.x), t.dy, false)
	}
	if err != nil {
		fails(err)
		return
	}
	_, own := t.own()
	for _, i := range t.fwd.wrt() {
		r := compare(t.d(i), ByOther, t.c.Inputs[i].Shape, t.base.dx[i], o.dx[i], raised(t.rounding(o.dx[i]), own[i]+t.floor()))
		t.explain(&r, i)
		t.add(r)
	}
}
