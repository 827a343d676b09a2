package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
)

// A Summary describes a network layer by layer, as New traced it.
type Summary struct {
	Name   string
	Input  tensor.Shape
	Layers []LayerSummary
	// Totals over the layers.
	Parameters int
	MACs       int64
}

// A LayerSummary describes a layer that is made of ops, or one made of layers that adds weights or
// costs of its own.
type LayerSummary struct {
	Name       string       // the path
	Kind       string       // the Go type
	Detail     string       // what the layer was made with
	Output     tensor.Shape // without the batch
	Parameters int          // that are trained; those of a layer that is used again count once
	Buffers    int          // that are not
	MACs       int64        // multiply-adds for one sample, those with padding included
	// ReceptiveField is the part of the input, rows and columns, that one output sees; padding
	// counts. From the first layer on that sees all of its own input it is the whole.
	ReceptiveField ops.Size
	// Kernel is the algorithm that computes a convolution on this machine, and Passed those that
	// come before it in the list, each with the reason why it does not. Other layers have none.
	Kernel string
	Passed []string
}

// Summary returns what each layer has, gives and costs.
func (n *Network) Summary() Summary {
	if n == nil {
		return Summary{}
	}
	s := n.summary
	s.Layers = slices.Clone(s.Layers)
	return s
}

// summarise reads a summary off the trace.
func summarise(n *Network, b *Builder, x *G.Node) Summary {
	s := Summary{Name: n.options.Name, Input: n.input.Clone()}
	nodes := b.graph.AllNodes()
	owner := owners(nodes, b.calls)
	macs := make([]int64, len(b.calls))
	kernels, passed := make([]string, len(b.calls)), make([][]string, len(b.calls))
	for k, node := range nodes {
		if op, ok := node.Op().(interface {
			MACs(in []tensor.Shape) int64
		}); ok {
			var in []tensor.Shape
			for _, c := range operandsOf(node) {
				in = append(in, c.Shape())
			}
			macs[owner[k]] += op.MACs(in)
		}
		if op, ok := node.Op().(interface {
			Kernel(of tensor.Dtype) (name string, passed []string)
		}); ok {
			if name, why := op.Kernel(n.Dtype()); name != "" {
				kernels[owner[k]], passed[owner[k]] = name, why
			}
		}
	}
	fields := fieldsOf(nodes, x, b.calls)
	for i, c := range b.calls {
		if !isLeaf(b.calls, i) && macs[i] == 0 && len(c.params) == 0 {
			continue
		}
		r := LayerSummary{Name: c.path, Kind: typeName(c.layer), Output: c.y.Shape()[1:].Clone(), MACs: macs[i],
			Kernel: kernels[i], Passed: passed[i]}
		if d, ok := c.layer.(fmt.Stringer); ok {
			r.Detail = d.String()
		}
		for _, p := range c.params {
			if p.Buffer {
				r.Buffers += p.Value.Shape().TotalSize()
			} else {
				r.Parameters += p.Value.Shape().TotalSize()
			}
		}
		r.ReceptiveField = fields[c.y].size
		if f, ok := fields[c.y]; !ok || f.whole {
			r.ReceptiveField = image(n.batch(1))
		}
		s.Parameters += r.Parameters
		s.MACs += r.MACs
		s.Layers = append(s.Layers, r)
	}
	return s
}

// owners says for each node which call made it: the innermost.
func owners(nodes G.Nodes, calls []call) []int {
	owner := make([]int, len(nodes))
	for i, c := range calls { // outer calls come first
		for k := c.from; k < c.to; k++ {
			owner[k] = i
		}
	}
	return owner
}

// isLeaf reports whether a call applied no other layer.
func isLeaf(calls []call, i int) bool { return i+1 == len(calls) || calls[i+1].depth <= calls[i].depth }

// typeName is a layer's Go type without its package, and of a node of a file its operator.
func typeName(l Layer) string {
	if o, ok := l.(onnxOperator); ok {
		return o.node.Op
	}
	name := fmt.Sprintf("%T", l)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// operandsOf are a node's operands, in order.
func operandsOf(n *G.Node) []*G.Node {
	var in []*G.Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		if c, ok := it.Node().(*G.Node); ok {
			in = append(in, c)
		}
	}
	return in
}

// A field is what one element of a node sees of the input: its size in pixels, and how far apart
// the fields of neighbouring elements are.
type field struct {
	size, jump ops.Size
	whole      bool // all of it
}

// fieldsOf works out the receptive fields of the nodes that depend on x. An op says by Window how
// an output sees its input; any other is taken to be elementwise if it keeps height and width, or
// merely rearranges, and to see everything if not.
func fieldsOf(nodes G.Nodes, x *G.Node, calls []call) map[*G.Node]field {
	slides := map[*G.Node]call{} // by what they give
	for _, c := range calls {
		if _, ok := c.layer.(slider); ok {
			slides[c.y] = c
		}
	}
	fields := map[*G.Node]field{x: {size: ops.Both(1), jump: ops.Both(1), whole: x.Dims() < 4 && x.Dims() != 2}}
	for _, n := range nodes { // operands come before the nodes that use them
		var f field
		depends := false
		for i, c := range operandsOf(n) {
			g, ok := fields[c]
			if !ok {
				continue
			}
			depends = true
			g = g.through(n, c, i == 0)
			f.size = larger(f.size, g.size)
			f.jump = larger(f.jump, g.jump)
			f.whole = f.whole || g.whole
		}
		if c, ok := slides[n]; ok {
			f = fields[c.x].slide(c.layer.(slider).window())
		}
		if depends {
			fields[n] = f
		}
	}
	return fields
}

func larger(a, b ops.Size) ops.Size { return ops.Size{H: max(a.H, b.H), W: max(a.W, b.W)} }

// through is the field of n, if all that it sees is its operand c.
func (f field) through(n, c *G.Node, first bool) field {
	windowed, ok := n.Op().(interface {
		Window() (size, stride ops.Size, ok bool)
	})
	if ok && first {
		if size, stride, ok := windowed.Window(); ok {
			return f.slide(size, stride)
		}
	}
	from, to := c.Shape(), n.Shape()
	same := from.Eq(to) || len(from) == 4 && len(to) == 4 && image(from) == image(to)
	rearranges := from.TotalSize() == to.TotalSize() && n.Op().Arity() == 1
	f.whole = f.whole || !same && !rearranges
	return f
}

// A slider is a layer that slides windows, though its ops do not say so.
type slider interface {
	window() (size, stride ops.Size)
}

// slide is what a window of that size sees, moved by that stride.
func (f field) slide(size, stride ops.Size) field {
	f.size.H += (size.H - 1) * f.jump.H
	f.size.W += (size.W - 1) * f.jump.W
	f.jump.H *= stride.H
	f.jump.W *= stride.W
	return f
}

// image is the height and width of a batch; a vector is one row.
func image(s tensor.Shape) ops.Size {
	switch len(s) {
	case 4:
		return ops.Size{H: s[2], W: s[3]}
	case 2:
		return ops.Size{H: 1, W: s[1]}
	}
	return ops.Both(1)
}

// String is the summary as a table: text to the left, numbers to the right.
func (s Summary) String() string {
	rows := [][]string{{"layer", "", "output", "parameters", "multiply-adds", "receptive field"}}
	for _, l := range s.Layers {
		rows = append(rows, []string{l.Name, strings.TrimSpace(l.Kind + " " + l.Detail), sides(l.Output), strconv.Itoa(l.Parameters),
			strconv.FormatInt(l.MACs, 10), sides([]int{l.ReceptiveField.H, l.ReceptiveField.W})})
	}
	rows = append(rows, []string{"total", "", "", strconv.Itoa(s.Parameters), strconv.FormatInt(s.MACs, 10), ""})
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	if s.Name != "" {
		fmt.Fprintf(&b, "%s, ", s.Name)
	}
	fmt.Fprintf(&b, "input %s\n", sides(s.Input))
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

// Kernels says for each convolution which kernel it takes on this machine, and why not those that
// come before it in the list: a line a layer. It is no part of String, which is the same
// everywhere.
func (s Summary) Kernels() string {
	var b strings.Builder
	for _, l := range s.Layers {
		if l.Kernel == "" {
			continue
		}
		fmt.Fprintf(&b, "%s takes %s", l.Name, l.Kernel)
		if len(l.Passed) > 0 {
			fmt.Fprintf(&b, " (not %s)", strings.Join(l.Passed, "; "))
		}
		b.WriteByte('\n')
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
