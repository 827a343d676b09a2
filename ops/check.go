package ops

import (
	"slices"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// wanted is an argument of a constructor and what it has to be.
type wanted struct {
	arg
	node *G.Node
}

// maxRank is the highest rank that ops of any rank take.
const maxRank = 8

// check returns an error that names op, argument, got and wanted unless every argument is a node of
// one graph with a known shape of the wanted rank (any, if negative) and the wanted elements, all
// floats of one type.
func check(name string, args ...wanted) error {
	var first *wanted
	for i := range args {
		a := &args[i]
		n := a.node
		if err := known(name, a.name, n, args[0].node, args[0].name); err != nil {
			return err
		}
		if a.rank >= 0 && n.Dims() != a.rank {
			return errors.Errorf("ops: %s: %s has shape %v, of rank %d, want rank %d", name, a.name, n.Shape(), n.Dims(), a.rank)
		}
		of, err := dtypeOf(n)
		if err != nil {
			return errors.Wrapf(err, "ops: %s: %s", name, a.name)
		}
		switch {
		case a.integer():
			if of != a.of {
				return errors.Errorf("ops: %s: %s has elements of type %v, want %v", name, a.name, of, a.of)
			}
		case of != tensor.Float32 && of != tensor.Float64:
			return errors.Errorf("ops: %s: %s has elements of type %v, want float32 or float64", name, a.name, of)
		case first == nil:
			first = a
		default:
			if f, _ := dtypeOf(first.node); f != of {
				return errors.Errorf("ops: %s: %s has elements of type %v, want %v like %s", name, a.name, of, f, first.name)
			}
		}
	}
	return nil
}

// known returns an error unless n is a node of first's graph with a shape that is known and not too
// large.
func known(name, operand string, n, first *G.Node, firstName string) error {
	switch {
	case n == nil:
		return errors.Errorf("ops: %s: %s is nil, want a node", name, operand)
	case n.Graph() == nil:
		return errors.Errorf("ops: %s: %s is in no graph", name, operand)
	case n.Graph() != first.Graph():
		return errors.Errorf("ops: %s: %s is in another graph than %s", name, operand, firstName)
	case n.Type() == nil:
		return errors.Errorf("ops: %s: %s has no type", name, operand)
	case n.Dims() > maxRank:
		return errors.Errorf("ops: %s: %s has rank %d, want at most %d", name, operand, n.Dims(), maxRank)
	case len(n.Shape()) != n.Dims():
		return errors.Errorf("ops: %s: %s has the shape %v but rank %d: want a node whose shape is known",
			name, operand, n.Shape(), n.Dims())
	}
	if err := countable(n.Shape()); err != nil {
		return errors.Errorf("ops: %s: %s %v", name, operand, err)
	}
	return nil
}

// dtypeOf is the type of a node's elements. Node.Dtype panics where a type is not known; this does
// not.
func dtypeOf(n *G.Node) (of tensor.Dtype, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Errorf("has type %v, want elements of a known type", n.Type())
		}
	}()
	return n.Dtype(), nil
}

// float and integers describe a constructor's arguments.
func float(name string, rank int, n *G.Node) wanted { return wanted{arg{name: name, rank: rank}, n} }
func integers(name string, rank int, of tensor.Dtype, n *G.Node) wanted {
	return wanted{arg{name: name, rank: rank, of: of}, n}
}

// want returns an error if a shape is not the wanted one.
func want(name string, got tensor.Shape, sides ...int) error {
	if len(got) == len(sides) {
		same := true
		for i := range got {
			same = same && got[i] == sides[i]
		}
		if same {
			return nil
		}
	}
	// a clone, so that sides themselves need no memory
	return errors.Errorf("%s has shape %v, want %v", name, got, slices.Clone(tensor.Shape(sides)))
}

// A size is a tensor's shape as a comparable value.
type size struct {
	rank  int
	sides [maxRank]int
}

func sizeOf(s tensor.Shape) size {
	z := size{rank: len(s)}
	copy(z.sides[:], s)
	return z
}

func (z size) shape() tensor.Shape { return append(tensor.Shape{}, z.sides[:z.rank]...) }
