package ops_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// Second derivatives: Grad is called on its own result. Here y = Σ x³, whose Hessian is 6·x on the
// diagonal, times the vector v.
func ExampleGrad() {
	g := gorgonia.NewGraph()
	vector := func(name string, v ...float64) *gorgonia.Node {
		return gorgonia.NodeFromAny(g, tensor.New(tensor.WithBacking(v)), gorgonia.WithName(name))
	}
	x, v := vector("x", 1, 2, 3), vector("v", 1, 0, -1)
	var t ops.Try
	y := t.Do(ops.Sum(t.Do(ops.Mul(t.Do(ops.Mul(x, x)), x))))
	dx, err := ops.Grad(y, nil, x)
	t.Check(err)
	if t.Err() != nil {
		log.Fatal(t.Err())
	}
	hv, err := ops.Grad(dx[0], v, x)
	if err != nil {
		log.Fatal(err)
	}
	machine, err := vm.New(g, dx[0], hv[0])
	if err != nil {
		log.Fatal(err)
	}
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(dx[0].Value().Data(), hv[0].Value().Data())
	// Output: [3 12 27] [6 0 -18]
}

// Under TapeMachine a value is read with gorgonia.Read: Gorgonia's ops overwrite the values of
// their operands, here Square those of y.
func Example_tapeMachine() {
	g := gorgonia.NewGraph()
	image := tensor.New(tensor.WithShape(1, 1, 3, 3), tensor.WithBacking([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9}))
	filter := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{1, 0, 0, -1}))
	x := gorgonia.NodeFromAny(g, image, gorgonia.WithName("x"))
	w := gorgonia.NodeFromAny(g, filter, gorgonia.WithName("w"))
	y, err := ops.Conv2D(x, w, nil, ops.ConvParams{})
	if err != nil {
		log.Fatal(err)
	}
	var value gorgonia.Value
	gorgonia.Read(y, &value)
	cost := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(y))))
	if _, err := gorgonia.Grad(cost, w); err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(value.Data())
	// Output: [-4 -4 -4 -4]
}
