package vm_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/ops/vm"
)

// A machine computes an output and a gradient, and then again for another input.
func Example() {
	g := gorgonia.NewGraph()
	data := []float64{3, -1, 2, -5}
	x := gorgonia.NodeFromAny(g, tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(data)),
		gorgonia.WithName("x"))
	y, err := ops.ReLU(x)
	if err != nil {
		log.Fatal(err)
	}
	sum := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(y))))
	grads, err := gorgonia.Grad(sum, x)
	if err != nil {
		log.Fatal(err)
	}
	machine, err := vm.New(g, sum, grads[0])
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	for range 2 {
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		fmt.Println(sum.Value(), grads[0].Value().Data())
		copy(data, []float64{0, 1, -1, 4}) // the machine reads x anew
	}
	// Output:
	// 13 [6 0 4 0]
	// 17 [0 2 0 8]
}
