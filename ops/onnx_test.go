package ops_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/onnx"
	"github.com/convgrad/convgrad/internal/onnx/operators"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// An onnxCase is one of ONNX's own tests of one operator: see testdata/onnx_cases.py.
type onnxCase struct {
	Name       string
	Op         string
	Version    int64
	Attributes []struct {
		Name  string
		Type  onnx.AttrType
		Value any
	}
	Inputs, Outputs []*onnxValue
	RTol, ATol      float64

	ops.Try
	graph  *G.ExprGraph
	leaves []*G.Node
	// adjust changes an output before it is compared.
	adjust map[int]func([]float64)
}

type onnxValue struct {
	Type  string
	Shape []int
	Data  []onnxNumber
}

// An onnxNumber is a number, or a string where JSON has none.
type onnxNumber float64

func (n *onnxNumber) UnmarshalJSON(raw []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	*n = onnxNumber(v)
	return err
}

// listed is the reason why a case is not run.
type listed string

func (l listed) Error() string { return string(l) }

// value is an attribute's, or nil.
func (c *onnxCase) value(name string) any {
	for _, a := range c.Attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}

func (c *onnxCase) attr(name string, otherwise float64) float64 {
	if v, ok := c.value(name).(float64); ok {
		return v
	}
	return otherwise
}

func (c *onnxCase) text(name, otherwise string) string {
	if v, ok := c.value(name).(string); ok {
		return v
	}
	return otherwise
}

func (c *onnxCase) list(name string) (v []int) {
	all, _ := c.value(name).([]any)
	for _, x := range all {
		v = append(v, int(x.(float64)))
	}
	return v
}

func (c *onnxCase) has(i int) bool { return i < len(c.Inputs) && c.Inputs[i] != nil }

// numbers are the elements of an input that is a parameter here, or nil without it.
func (c *onnxCase) numbers(i int) []float64 {
	if !c.has(i) {
		return nil
	}
	v := make([]float64, len(c.Inputs[i].Data))
	for k, x := range c.Inputs[i].Data {
		v[k] = float64(x)
	}
	return v
}

func (c *onnxCase) whole(i int) (v []int) {
	for _, x := range c.numbers(i) {
		v = append(v, int(min(max(x, math.MinInt32), math.MaxInt32)))
	}
	return v
}

// number is the one element of an input, or of none another.
func (c *onnxCase) number(i int, otherwise float64) float64 {
	if v := c.numbers(i); len(v) == 1 {
		return v[0]
	}
	return otherwise
}

// in is an input as a node of floats, or nil without it.
func (c *onnxCase) in(i int) *G.Node {
	if !c.has(i) {
		return nil
	}
	v := c.numbers(i)
	switch c.Inputs[i].Type {
	case "float32":
		return c.leaf(i, tensor.Float32, converted[float32](v))
	case "float64":
		return c.leaf(i, tensor.Float64, v)
	}
	if c.Op == "Pad" && strings.HasPrefix(c.Inputs[i].Type, "int") {
		return c.leaf(i, tensor.Float64, v) // it copies: integers come through as they are
	}
	kind := "integers"
	if t := c.Inputs[i].Type; !strings.Contains(t, "int") {
		kind = "elements of type " + t
	}
	c.Check(listed(kind + ": ops compute in float32 and float64"))
	return c.Do(nil, nil)
}

func (c *onnxCase) leaf(i int, of tensor.Dtype, data any) *G.Node {
	shape, name := c.Inputs[i].Shape, fmt.Sprint("input ", i)
	var n *G.Node
	if len(shape) == 0 {
		var v any
		switch d := data.(type) {
		case []float32:
			v = d[0]
		case []float64:
			v = d[0]
		}
		n = G.NewScalar(c.graph, of, G.WithName(name), G.WithValue(v))
	} else {
		n = G.NewTensor(c.graph, of, len(shape), G.WithShape(shape...), G.WithName(name),
			G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
	}
	c.leaves = append(c.leaves, n)
	return n
}

// labels are an input of integers.
func (c *onnxCase) labels(i int) *G.Node { return c.leaf(i, tensor.Int, converted[int](c.numbers(i))) }

// rank is the number of axes of the first input; spatial is those of an image or a sequence.
func (c *onnxCase) rank() int { return len(c.Inputs[0].Shape) }

func (c *onnxCase) spatial() int {
	n := c.rank() - 2
	if n != 1 && n != 2 {
		c.Check(listed(fmt.Sprintf("%d axes: convolutions and pools here have one or two", n)))
	}
	return n
}

// pair is an attribute of one or two lengths as a Size.
func (c *onnxCase) pair(name string) ops.Size {
	switch v := c.list(name); len(v) {
	case 1:
		return ops.Size{W: v[0]}
	case 2:
		return ops.Size{H: v[0], W: v[1]}
	}
	return ops.Size{}
}

// stride is the strides, whose default is 1.
func (c *onnxCase) stride() ops.Size {
	s := c.pair("strides")
	if s == (ops.Size{}) {
		s = ops.Both(1)
		if c.rank() == 3 {
			s.H = 0
		}
	}
	return s
}

func (c *onnxCase) pads() ops.Padding {
	switch c.text("auto_pad", "NOTSET") {
	case "SAME_UPPER":
		return ops.SameUpper()
	case "SAME_LOWER":
		return ops.SameLower()
	}
	switch v := c.list("pads"); len(v) {
	case 2:
		return ops.Padding{Left: v[0], Right: v[1]}
	case 4:
		return ops.BeginEnd(ops.Size{H: v[0], W: v[1]}, ops.Size{H: v[2], W: v[3]})
	}
	return ops.Padding{}
}

func (c *onnxCase) conv() ops.ConvParams {
	c.spatial()
	return ops.ConvParams{Stride: c.stride(), Dilation: c.pair("dilations"), Pad: c.pads(), Groups: int(c.attr("group", 1))}
}

func (c *onnxCase) pool() ops.PoolParams {
	c.spatial()
	return ops.PoolParams{Window: c.pair("kernel_shape"), Stride: c.stride(), Dilation: c.pair("dilations"), Pad: c.pads(), Ceil: c.attr("ceil_mode", 0) == 1}
}

// onAxes calls the op for sequences or for images.
func onAxes[P any](c *onnxCase, x *G.Node, p P, one, two func(*G.Node, P) (*G.Node, error)) *G.Node {
	if c.rank() == 3 {
		return c.Do(one(x, p))
	}
	return c.Do(two(x, p))
}

func (c *onnxCase) reduction() ops.Reduction {
	return map[string]ops.Reduction{"mean": ops.ReductionMean, "sum": ops.ReductionSum, "none": ops.ReductionNone}[c.text("reduction", "mean")]
}

// reduce applies a reduction over the axes of the second input.
func (c *onnxCase) reduce(op func(*G.Node, ...int) (*G.Node, error), x *G.Node) *G.Node {
	axes := c.whole(1)
	if len(axes) == 0 && c.attr("noop_with_empty_axes", 0) == 1 {
		return x
	}
	y := c.Do(op(x, axes...))
	if c.attr("keepdims", 1) == 1 && c.Err() == nil {
		return c.Do(ops.Reshape(y, c.Outputs[0].Shape...))
	}
	return y
}

// TestONNXNodes runs ONNX's own tests of its operators, where CONVGRAD_ONNX is a file that
// testdata/onnx_cases.py wrote, under every machine. Each passes, or is listed with the reason in
// docs/onnx-conformance.md, which this test writes if CONVGRAD_ONNX_TABLE is set and compares
// otherwise.
func TestONNXNodes(t *testing.T) {
	name := os.Getenv("CONVGRAD_ONNX")
	if name == "" {
		t.Skip("CONVGRAD_ONNX names no file of cases")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows onnxTable
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			break
		}
		c := &onnxCase{}
		if err := json.Unmarshal(line, c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) {
			var reason listed
			err := c.run(t)
			if errors.As(err, &reason) {
				err = nil
			}
			if err != nil {
				t.Error(err)
				reason = "fails"
			}
			rows.add(c, string(reason))
		})
	}
	rows.compare(t)
}

// run builds the case's graph once for each machine and compares its outputs.
func (c *onnxCase) run(t *testing.T) error {
	for _, machine := range machines {
		c.Try, c.graph, c.leaves, c.adjust = ops.Try{}, G.NewGraph(), nil, map[int]func([]float64){}
		outputs, err := c.outputs()
		if err != nil {
			return err
		}
		values, err := forward(machine, c.graph, outputs)
		if err != nil {
			return fmt.Errorf("%s: %w", machine, err)
		}
		for i, want := range c.Outputs {
			if want == nil || i >= len(outputs) || outputs[i] == nil {
				continue
			}
			if got := outputs[i].Shape(); !slices.Equal(got, want.Shape) && !(len(got) == 0 && len(want.Shape) == 0) {
				return fmt.Errorf("%s: output %d has shape %v, want %v", machine, i, got, want.Shape)
			}
			got := values[i]
			if f := c.adjust[i]; f != nil {
				f(got)
			}
			if len(got) != len(want.Data) {
				return fmt.Errorf("%s: output %d has %d elements, want %d", machine, i, len(got), len(want.Data))
			}
			for k, w := range want.Data {
				w := float64(w)
				same := got[k] == w || math.IsNaN(got[k]) && math.IsNaN(w)
				if !same && !(math.Abs(got[k]-w) <= c.ATol+c.RTol*math.Abs(w)) {
					return fmt.Errorf("%s: output %d, element %d is %v, want %v", machine, i, k, got[k], w)
				}
			}
		}
	}
	return nil
}

// outputs makes the case's nodes by the table that files are read by, or, where that has no such
// operator, output or attribute, by onnxOps.
func (c *onnxCase) outputs() ([]*G.Node, error) {
	if err := c.apart(); err != nil {
		return nil, err
	}
	outputs, err := c.byTable()
	build := onnxOps[c.Op]
	var reason listed
	if err == nil || build == nil || errors.As(err, &reason) {
		return outputs, err
	}
	c.Try, c.graph, c.leaves = ops.Try{}, G.NewGraph(), nil
	if outputs = build(c); c.Err() != nil || len(outputs) == 0 {
		return nil, errors.Join(c.Err(), err)
	}
	return outputs, nil
}

// byTable applies internal/onnx/operators. What is not a tensor of floats is a constant there, and
// so are the parameters that were attributes once.
func (c *onnxCase) byTable() ([]*G.Node, error) {
	env := &operators.Env{Graph: c.graph, Of: tensor.Float32, Opset: c.Version}
	n := &onnx.Node{Op: c.Op}
	for _, a := range c.Attributes {
		to := onnx.Attribute{Name: a.Name, Type: a.Type}
		switch v := a.Value.(type) {
		case float64:
			to.Float, to.Int = float32(v), int64(v)
		case string:
			to.String = v
		case []any:
			for _, x := range v {
				if f, ok := x.(float64); ok {
					to.Floats, to.Ints = append(to.Floats, float32(f)), append(to.Ints, int64(f))
				}
			}
		}
		n.Attrs = append(n.Attrs, to)
	}
	for i := range c.Outputs {
		n.Outputs = append(n.Outputs, fmt.Sprint("output ", i))
	}
	parameters := slices.Contains([]string{"Clip", "Pad", "Resize", "Upsample", "Dropout"}, c.Op)
	var in []operators.Value
	for i, x := range c.Inputs {
		switch {
		case x == nil:
			in = append(in, operators.Value{})
		case strings.HasPrefix(x.Type, "float") && !(parameters && i > 0):
			if x.Type == "float64" {
				env.Of = tensor.Float64
			}
			in = append(in, operators.Value{Node: c.in(i)})
		case i == 0:
			c.in(0) // says why it is listed
		default:
			constant := &operators.Constant{Dims: x.Shape}
			for _, v := range x.Data {
				if strings.HasPrefix(x.Type, "float") {
					constant.Floats = append(constant.Floats, float64(v))
				} else {
					constant.Ints = append(constant.Ints, int64(v))
				}
			}
			in = append(in, operators.Value{Const: constant})
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	out, err := env.Apply(n, in)
	if err != nil {
		return nil, err
	}
	var outputs []*G.Node
	for i, v := range out {
		if i >= len(c.Outputs) {
			break
		}
		node, err := env.Value(v)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, node)
	}
	return outputs, nil
}

// forward computes nodes on a machine. A nil has no value.
func forward(machine string, g *G.ExprGraph, outputs []*G.Node) ([][]float64, error) {
	values := make([][]float64, len(outputs))
	reads := make([]G.Value, len(outputs))
	var kept []*G.Node
	for i, n := range outputs {
		if n == nil {
			continue
		}
		if machine != ours && n.Op() != nil {
			G.Read(n, &reads[i])
		}
		kept = append(kept, n)
	}
	var m G.VM
	var err error
	switch machine {
	case tape:
		m = G.NewTapeMachine(g)
	case lisp:
		m = G.NewLispMachine(g, G.ExecuteFwdOnly())
	default:
		if m, err = vm.New(g, kept...); err != nil {
			return nil, err
		}
	}
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return nil, err
	}
	for i, n := range outputs {
		if n == nil {
			continue
		}
		v := reads[i]
		if v == nil {
			v = n.Value()
		}
		if values[i], err = float64Elements(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// float64Elements are a value's elements in float64.
func float64Elements(v G.Value) ([]float64, error) {
	if d, ok := v.(*tensor.Dense); ok && d.Shape().TotalSize() == 0 && len(d.Shape()) > 0 {
		return nil, nil
	}
	switch v.Dtype() {
	case tensor.Float64:
		return elements[float64](v)
	case tensor.Float32:
		e, err := elements[float32](v)
		return widened(e), err
	case tensor.Int32:
		return widened(v.Data().([]int32)), nil
	}
	return nil, fmt.Errorf("a value of %v", v.Dtype())
}

func widened[T float32 | int32](v []T) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

// An onnxTable counts what passed, and what is listed for which reason.
type onnxTable struct {
	operators []string
	passed    map[string]int
	reasons   map[string][]string // of an operator: "reason: test"
}

func (r *onnxTable) add(c *onnxCase, reason string) {
	if r.passed == nil {
		r.passed, r.reasons = map[string]int{}, map[string][]string{}
	}
	if !slices.Contains(r.operators, c.Op) {
		r.operators = append(r.operators, c.Op)
	}
	if reason == "" {
		r.passed[c.Op]++
		return
	}
	r.reasons[c.Op] = append(r.reasons[c.Op], reason+"|"+strings.TrimPrefix(c.Name, "test_"))
}

func (r *onnxTable) String() string {
	var b strings.Builder
	slices.Sort(r.operators)
	passed, listed := 0, 0
	rows := ""
	for _, op := range r.operators {
		passed, listed = passed+r.passed[op], listed+len(r.reasons[op])
		by := map[string][]string{}
		var order []string
		for _, entry := range r.reasons[op] {
			reason, test, _ := strings.Cut(entry, "|")
			if by[reason] == nil {
				order = append(order, reason)
			}
			by[reason] = append(by[reason], "`"+test+"`")
		}
		var why []string
		for _, reason := range order {
			why = append(why, reason+" ("+strings.Join(by[reason], ", ")+")")
		}
		rows += fmt.Sprintf("| %s | %d | %d | %s |\n", op, r.passed[op], len(r.reasons[op]), strings.Join(why, "; "))
	}
	fmt.Fprintf(&b, "%d of ONNX's %d tests of these %d operators pass, under every machine; %d are listed.\n\n", passed, passed+listed, len(r.operators), listed)
	b.WriteString("| operator | pass | listed | reason (tests) |\n| --- | --- | --- | --- |\n" + rows)
	return b.String()
}

// compare writes the table into its page, or compares it with what stands there.
func (r *onnxTable) compare(t *testing.T) {
	table := r.String()
	t.Log(strings.SplitN(table, "\n", 2)[0])
	writeTable(t, "../docs/onnx-conformance.md", "CONVGRAD_ONNX_TABLE", table)
}

// writeTable puts a table between the markers of a page if a variable of the environment is set,
// and wants it to be there otherwise.
func writeTable(t *testing.T, name, variable, table string) {
	t.Helper()
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, okEnd := strings.Cut(rest, end)
	if !ok || !okEnd {
		t.Fatalf("%s has no place for the table", name)
	}
	if os.Getenv(variable) != "" {
		if err := os.WriteFile(name, []byte(before+begin+table+end+after), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Errorf("%s has another table: write it anew with %s=1", name, variable)
	}
}
