package train_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// bars are eight pictures 4×4, each with a bar, across or down.
func bars() (*data.Images, error) {
	pixels, labels := make([]uint8, 8*16), make([]int, 8)
	for i := range 4 {
		for k := range 4 {
			pixels[2*i*16+4*i+k] = 255     // across
			pixels[(2*i+1)*16+4*k+i] = 255 // down
		}
		labels[2*i+1] = 1
	}
	return data.NewImages(tensor.Shape{1, 4, 4}, []string{"across", "down"}, pixels, labels)
}

func network() (*model.Network, error) {
	return model.New(model.Sequential{
		model.Conv2D{Filters: 4, Size: ops.Both(3), Pad: ops.Around(1)}, model.ReLU{},
		model.Flatten{}, model.Linear{Outputs: 2},
	}, tensor.Shape{1, 4, 4}, model.Options{Seed: 1})
}

// A network, a set and a number of epochs make a trainer. All else has a default.
func Example() {
	set, err := bars()
	if err != nil {
		fmt.Println(err)
		return
	}
	net, err := network()
	if err != nil {
		fmt.Println(err)
		return
	}
	t := train.Trainer{
		Net: net, Train: set, Test: set, Epochs: 60, Batch: 4,
		Optimizer: &train.SGD{Momentum: 0.9}, Schedule: train.OneCycle(0.05),
	}
	res, err := t.Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d steps, %.0f %% right\n", res.Steps, 100*res.Accuracy())
	// Output: 120 steps, 100 % right
}

// A stream of one's own: points that are drawn anew for each epoch, and are never all in memory.
type points struct{}

func (points) Len() int            { return 400 }
func (points) Shape() tensor.Shape { return tensor.Shape{2} }
func (points) Classes() []string   { return []string{"left", "right"} }
func (points) Epoch(n int) iter.Seq2[data.Sample, error] {
	return func(yield func(data.Sample, error) bool) {
		r := rand.New(rand.NewPCG(7, uint64(n)))
		for range 400 {
			x := []float32{r.Float32() - 0.5, r.Float32()}
			if !yield(data.Sample{X: x, Target: data.Target{Class: int(x[0] + 1)}}, nil) {
				return
			}
		}
	}
}

func ExampleTrainer_stream() {
	net, err := model.New(model.Sequential{model.Linear{Outputs: 2}}, points{}.Shape(), model.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	t := train.Trainer{Net: net, Train: points{}, Test: points{}, Epochs: 5, Batch: 20, Schedule: train.Constant(0.5)}
	res, err := t.Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d steps, more than nine in ten right: %v\n", res.Steps, res.Accuracy() > 0.9)
	// Output: 100 steps, more than nine in ten right: true
}

// A loop of one's own makes the halves of each step. Here a batch of eight is two of four, and the
// gradients are clipped between the halves.
func ExampleStep() {
	set, err := bars()
	if err != nil {
		fmt.Println(err)
		return
	}
	net, err := network()
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := train.NewStep(net, model.CrossEntropy{}, &train.Adam{}, 4, train.StepOptions{Penalties: []model.Penalty{model.L2(1e-4)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	x, targets := make([]float32, 4*16), make([]data.Target, 4)
	var loss, first float64
	for step := range 60 {
		for half := range 2 {
			for i := range targets {
				if targets[i], err = set.Read(4*half+i, x[16*i:][:16]); err != nil {
					fmt.Println(err)
					return
				}
			}
			if loss, err = s.Gradients(x, targets); err != nil {
				fmt.Println(err)
				return
			}
		}
		if step == 0 {
			first = loss
		}
		if _, err := s.Clip(1); err != nil {
			fmt.Println(err)
			return
		}
		if err := s.Update(0.02); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("the loss fell tenfold:", loss < first/10)
	// Output: the loss fell tenfold: true
}
