package verify_test

import (
	"fmt"
	"hash"
	"hash/fnv"
	"strings"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// cube is x³, element by element, with a deliberate mistake: its derivative is 3x², not 2x².
type cube struct{}

func (cube) Arity() int                                        { return 1 }
func (cube) Type() hm.Type                                     { a := hm.TypeVariable('a'); return hm.NewFnType(a, a) }
func (cube) InferShape(in ...G.DimSizer) (tensor.Shape, error) { return in[0].(tensor.Shape), nil }
func (cube) ReturnsPtr() bool                                  { return false }
func (cube) CallsExtern() bool                                 { return false }
func (cube) OverwritesInput() int                              { return -1 }
func (cube) String() string                                    { return "cube" }
func (cube) WriteHash(h hash.Hash)                             { fmt.Fprint(h, "example: cube") }
func (c cube) Hashcode() uint32                                { h := fnv.New32a(); c.WriteHash(h); return h.Sum32() }

func (cube) Do(in ...G.Value) (G.Value, error) {
	x := in[0].(tensor.Tensor)
	square, err := tensor.Mul(x, x)
	if err != nil {
		return nil, err
	}
	return tensor.Mul(square, x)
}

func (cube) DiffWRT(int) []bool { return []bool{true} }

func (cube) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	square, err := G.Square(in[0])
	if err != nil {
		return nil, err
	}
	two := G.NewConstant(2.0)
	if in[0].Dtype() == tensor.Float32 {
		two = G.NewConstant(float32(2))
	}
	if square, err = G.Mul(square, two); err != nil {
		return nil, err
	}
	dx, err := G.HadamardProd(dy, square)
	return G.Nodes{dx}, err
}

// An op of one's own is checked in one call. In a test that call is verify.Op(t, build,
// verify.Normal("x", 2, 3)).
func Example() {
	report, err := verify.Case{
		Name:   "cube",
		Build:  func(in []*G.Node) (*G.Node, error) { return G.ApplyOp(cube{}, in[0]) },
		Inputs: []verify.Input{verify.Integers("x", 4, 2, 3)},
		Seed:   1,
		Skip:   []verify.Oracle{verify.ByLisp, verify.ByLispAccumul},
	}.Check()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("right:", !report.Failed())
	for _, row := range report.Rows {
		if row.Verdict == verify.Fails {
			fmt.Println(strings.ReplaceAll(row.String(), ": ", ":\n"))
			break
		}
	}
	// Output:
	// right: false
	// dx[1 0] is 9.178228885, and by central differences 13.76734333:
	// the error is 4.59, the bound 2.78e-10. Pattern:
	// a constant factor of 2/3
}
