package data_test

import (
	"fmt"
	"iter"
	"math/rand/v2"

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

// noise is a stream of one's own: points, and on which side of the middle they are.
type noise struct{}

func (noise) Len() int            { return 1000 }
func (noise) Shape() tensor.Shape { return tensor.Shape{2} }
func (noise) Classes() []string   { return []string{"left", "right"} }
func (noise) Epoch(n int) iter.Seq2[data.Sample, error] {
	return func(yield func(data.Sample, error) bool) {
		r := rand.New(rand.NewPCG(7, uint64(n)))
		for range 1000 {
			x := []float32{r.Float32() - 0.5, r.Float32()}
			if !yield(data.Sample{X: x, Target: data.Target{Class: int(x[0] + 1)}}, nil) {
				return
			}
		}
	}
}

// A stream's samples are never all in memory. A buffer of 64 of them mixes the order.
func ExampleShuffleStream() {
	mixed, err := data.ShuffleStream(noise{}, 64, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	var left, all int
	for sample, err := range mixed.Epoch(1) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if all++; mixed.Classes()[sample.Class] == "left" {
			left++
		}
	}
	fmt.Println(all, "samples, about half of them left:", left > 400 && left < 600)
	// Output: 1000 samples, about half of them left: true
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
