package model

import (
	"fmt"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Dot is a drawing of the network for Graphviz (dot -Tsvg): a box for each layer that is made of
// ops, with its name, what it was made with and the shape that it gives, inside frames for the
// layers around it; an oval for each op between layers; and an arrow wherever values flow. Weights
// are left out.
//
// It returns an error if a layer does not do what it did in New.
func (n *Network) Dot() (string, error) {
	if err := n.made(); err != nil {
		return "", err
	}
	b := n.builder(BuildOptions{Keep: true}, false)
	x := G.NewTensor(b.graph, n.dtype, len(n.input)+1, G.WithShape(n.batch(1)...), G.WithName(inputName))
	if _, err := n.expand(b, x); err != nil {
		return "", err
	}
	d := &drawing{calls: b.calls, nodes: b.graph.AllNodes(), x: x}
	d.owner = owners(d.nodes, d.calls)
	d.text.WriteString("digraph {\n\trankdir=TB\n\tnode [shape=box]\n")
	fmt.Fprintf(&d.text, "\tinput [label=%s, shape=plain]\n", quoted("input", sides(n.input)))
	d.boxes(0, "\t")
	d.arrows()
	d.text.WriteString("}\n")
	return d.text.String(), nil
}

// A drawing is a trace on its way to text.
type drawing struct {
	calls []call
	nodes G.Nodes
	owner []int // of the nodes, in calls
	x     *G.Node
	text  strings.Builder
}

// boxes draws what call i made, and returns the call after all that are inside of it.
func (d *drawing) boxes(i int, indent string) int {
	c := d.calls[i]
	framed := c.depth > 0
	if isLeaf(d.calls, i) {
		if c.from < c.to && d.draws(i) {
			detail := typeName(c.layer)
			if s, ok := c.layer.(fmt.Stringer); ok && s.String() != "" {
				detail += " " + s.String()
			}
			fmt.Fprintf(&d.text, "%sl%d [label=%s]\n", indent, i, quoted(c.path, detail, shapeText(c.y)))
		}
		return i + 1
	}
	inside := indent
	if framed {
		fmt.Fprintf(&d.text, "%ssubgraph cluster_%d {\n%s\tlabel=%s\n", indent, i, indent, quoted(c.path))
		inside += "\t"
	}
	for k := c.from; k < c.to; k++ {
		if d.owner[k] == i && d.isOp(k) {
			fmt.Fprintf(&d.text, "%sn%d [label=%s, shape=oval]\n", inside, k, quoted(fmt.Sprint(d.nodes[k].Op()), shapeText(d.nodes[k])))
		}
	}
	next := i + 1
	for next < len(d.calls) && d.calls[next].depth > c.depth {
		next = d.boxes(next, inside)
	}
	if framed {
		d.text.WriteString(indent + "}\n")
	}
	return next
}

// draws reports whether a call made an op: a Dropout that evaluates makes none.
func (d *drawing) draws(i int) bool {
	for k := d.calls[i].from; k < d.calls[i].to; k++ {
		if d.owner[k] == i && d.isOp(k) {
			return true
		}
	}
	return false
}

func (d *drawing) isOp(k int) bool { return d.nodes[k].Op() != nil && len(operandsOf(d.nodes[k])) > 0 }

// arrows draws each way from box to box once.
func (d *drawing) arrows() {
	box := map[*G.Node]string{d.x: "input"}
	for k, n := range d.nodes {
		switch {
		case !d.isOp(k):
		case isLeaf(d.calls, d.owner[k]):
			box[n] = fmt.Sprintf("l%d", d.owner[k])
		default:
			box[n] = fmt.Sprintf("n%d", k)
		}
	}
	drawn := map[[2]string]bool{}
	for _, n := range d.nodes {
		for _, c := range operandsOf(n) {
			way := [2]string{box[c], box[n]}
			if way[0] == "" || way[1] == "" || way[0] == way[1] || drawn[way] {
				continue
			}
			drawn[way] = true
			fmt.Fprintf(&d.text, "\t%s -> %s\n", way[0], way[1])
		}
	}
}

// shapeText is a sample's shape.
func shapeText(n *G.Node) string {
	s := n.Shape()
	if len(s) == 0 {
		return "1"
	}
	return sides([]int(tensor.Shape(s[1:])))
}

// quoted is a label of lines.
func quoted(lines ...string) string {
	var kept []string
	for _, l := range lines {
		if l != "" {
			kept = append(kept, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(l))
		}
	}
	return `"` + strings.Join(kept, `\n`) + `"`
}
