package ops

import (
	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Try keeps the first error of many constructors, so that a graph reads as an expression:
//
//	var t ops.Try
//	y := t.Do(ops.ReLU(t.Do(ops.Add(a, b))))
//	return y, t.Err()
//
// After an error, Do returns a stand-in: a node of a graph of its own, of rank 8 with sides of 1.
// It can be asked for its shape and handed to constructors like any node, so that nothing panics
// before Err is read; it must not be used afterwards. The zero value is ready.
type Try struct {
	err     error
	standIn *G.Node
}

// Do returns n, or a stand-in if there is an error now or was one before.
func (t *Try) Do(n *G.Node, err error) *G.Node {
	if t == nil {
		t = new(Try)
		t.Check(errors.New("ops: Try: it is nil"))
	}
	if t.err == nil {
		switch {
		case err != nil:
			t.err = err
		case n == nil:
			t.err = errors.New("ops: Try: got neither a node nor an error")
		default:
			return n
		}
	}
	if t.standIn == nil {
		shape := make(tensor.Shape, maxRank)
		for i := range shape {
			shape[i] = 1
		}
		t.standIn = newLeaf(G.NewGraph(), "in the place of a node that could not be made", tensor.Float64, shape)
	}
	return t.standIn
}

// Check keeps err if it is the first.
func (t *Try) Check(err error) {
	if t != nil && t.err == nil {
		t.err = err
	}
}

// Err is the first error, or nil.
func (t *Try) Err() error {
	if t == nil {
		return errors.New("ops: Try: it is nil")
	}
	return t.err
}
