package data_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/train/data"
)

// A set of one's own is a type with four methods.
type xor struct{}

func (xor) Len() int            { return 4 }
func (xor) Shape() tensor.Shape { return tensor.Shape{2} }
func (xor) Classes() []string   { return []string{"equal", "different"} }
func (xor) Read(i int, x []float32) (data.Target, error) {
	x[0], x[1] = float32(i&1), float32(i>>1)
	return data.Target{Class: i&1 ^ i>>1}, nil
}

func Example() {
	x := make([]float32, 2)
	for _, i := range data.Shuffle(4, 1, 1) {
		target, err := xor{}.Read(i, x)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(x, xor{}.Classes()[target.Class])
	}
	// Unordered output:
	// [0 0] equal
	// [1 0] different
	// [0 1] different
	// [1 1] equal
}

// Command train finds a set by the name under which its file registers it.
func ExampleOpen() {
	training, test, err := data.Open("digits", data.Options{Train: 100, Test: 20, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(training.Len(), test.Len(), training.Shape(), len(training.Classes()))
	// Output: 100 20 (1, 28, 28) 10
}
