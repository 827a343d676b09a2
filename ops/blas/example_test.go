package blas_test

import (
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/ops/blas"
)

// After Use, the products of Gorgonia's tensors run on this module's kernels.
func ExampleUse() {
	blas.Use()
	a := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))
	b := tensor.New(tensor.WithShape(2, 1), tensor.WithBacking([]float32{5, 6}))
	c, err := a.MatMul(b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Data())
	// Output: [17 39]
}
