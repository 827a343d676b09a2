package model

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

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
	} else if len(n.input) == 1 {
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
			for a, side := range [2][2]int{{w.Size.H, w.Stride.H}, {w.Size.W, w.Stride.W}} {
				field[a] += (side[0] - 1) * jump[a]
				jump[a] *= side[1]
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

// String is the summary as a table: text to the left, numbers to the right.
func (s Summary) String() string {
	rows := [][]string{{"layer", "", "output", "parameters", "multiply-adds", "receptive field"}}
	for _, l := range s.Layers {
		rows = append(rows, []string{l.Name, l.Detail, sides(l.Output), strconv.Itoa(l.Parameters), strconv.FormatInt(l.MACs, 10), sides(l.ReceptiveField[:])})
	}
	rows = append(rows, []string{"total", "", "", strconv.Itoa(s.Parameters), strconv.FormatInt(s.MACs, 10), ""})
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, input %s\n", s.Name, sides(s.Input))
	for _, r := range rows {
		line := ""
		for i, cell := range r {
			if i < 3 {
				line += fmt.Sprintf("%-*s  ", widths[i], cell)
			} else {
				line += fmt.Sprintf("%*s  ", widths[i], cell)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// sides is a shape as people write it: 6×28×28.
func sides(s []int) string {
	parts := make([]string, len(s))
	for i, v := range s {
		parts[i] = strconv.Itoa(v)
	}
	return strings.Join(parts, "×")
}
