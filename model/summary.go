package model

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"gorgonia.org/tensor"
)

// A Summary describes a network layer by layer.
type Summary struct {
	Name   string
	Input  tensor.Shape
	Layers []LayerSummary
	// Totals over the layers.
	Parameters int
	MACs       int64
}

// A LayerSummary describes a layer.
type LayerSummary struct {
	Name       string       // kind and number
	Detail     string       // what the layer was made with
	Output     tensor.Shape // without the batch
	Parameters int
	MACs       int64 // multiply-adds for one sample, those with padding included
	// ReceptiveField is the part of the input, rows and columns, that one output sees; the whole input from the first layer on that sees all of its own. Padding counts.
	ReceptiveField [2]int
}

// Summary works out what each layer has, gives and costs.
func (n *Network) Summary() Summary {
	s := Summary{Name: n.name, Input: n.Input()}
	field, jump := [2]int{1, 1}, [2]int{1, 1}
	whole := [2]int{1, 1}
	if len(n.input) == 3 {
		whole = [2]int{n.input[1], n.input[2]}
	} else {
		whole[1] = n.input[0]
	}
	all := false
	at := n.input
	for i, l := range n.layers {
		r := LayerSummary{Name: n.names[i], Output: n.shapes[i].Clone(), MACs: l.Cost(at)}
		if d, ok := l.(fmt.Stringer); ok {
			r.Detail = d.String()
		}
		for _, w := range l.Weights(at) {
			r.Parameters += w.Shape.TotalSize()
		}
		if w, ok := l.Window(); ok {
			for a := range 2 {
				field[a] += (w.Size[a] - 1) * jump[a]
				jump[a] *= w.Stride[a]
			}
		} else if r.Parameters > 0 || len(at) == 1 {
			all = true
		}
		r.ReceptiveField = field
		if all {
			r.ReceptiveField = whole
		}
		s.Parameters += r.Parameters
		s.MACs += r.MACs
		s.Layers = append(s.Layers, r)
		at = n.shapes[i]
	}
	return s
}

// String is the summary as a table.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, input %v\n", s.Name, s.Input)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\t\toutput\tparameters\tmultiply-adds\treceptive field")
	for _, l := range s.Layers {
		fmt.Fprintf(w, "%s\t%s\t%v\t%d\t%d\t%d×%d\n", l.Name, l.Detail, l.Output, l.Parameters, l.MACs, l.ReceptiveField[0], l.ReceptiveField[1])
	}
	fmt.Fprintf(w, "total\t\t\t%d\t%d\t\n", s.Parameters, s.MACs)
	w.Flush() // to memory: it cannot fail
	return b.String()
}
