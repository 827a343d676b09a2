package ops_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A convolution and the gradient of its filter.
func Example() {
	g := gorgonia.NewGraph()
	image := tensor.New(tensor.WithShape(1, 1, 3, 3), tensor.WithBacking([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9}))
	filter := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{1, 0, 0, -1}))
	x := gorgonia.NodeFromAny(g, image, gorgonia.WithName("x"))
	w := gorgonia.NodeFromAny(g, filter, gorgonia.WithName("w"))
	y, err := ops.Conv2D(x, w, nil, ops.ConvParams{})
	if err != nil {
		log.Fatal(err)
	}
	// Gorgonia's own ops mix with ours
	cost := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(y))))
	grads, err := gorgonia.Grad(cost, w)
	if err != nil {
		log.Fatal(err)
	}
	// Under gorgonia.NewTapeMachine(g), read y by gorgonia.Read: the TapeMachine overwrites values.
	machine, err := vm.New(g, y, grads[0])
	if err != nil {
		log.Fatal(err)
	}
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(y.Value().Data(), grads[0].Value().Data())
	// Output: [-4 -4 -4 -4] [-96 -128 -192 -224]
}
