// Command custom trains a network with a layer, a loss and a rule for its gradients of one's own,
// and saves it. It then starts itself again, and the second process serves it to eight clients at
// once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

// center subtracts the mean of each channel: of the batch in training, and otherwise the running
// mean of the batches that it was trained on, which is saved with the weights.
type center struct{ momentum float64 }

func (l center) Apply(b *model.Builder, x *G.Node) *G.Node {
	mean := b.Buffer("running_mean", model.Zeros, x.Shape()[1])
	if b.Training() {
		batch := b.Do(ops.Mean(x, 0, 2, 3))
		b.Update(mean, b.Do(ops.Lerp(mean, batch, l.momentum)))
		mean = batch
	}
	return b.Do(ops.Sub(x, b.Do(ops.Reshape(mean, 1, -1, 1, 1))))
}

// hinge is the loss: the mean of max(0, 1 − y·s)², where s is 1 for the sample's class and −1 for
// others.
var hinge = model.LossFunc(func(y, t *G.Node) (*G.Node, error) {
	var try ops.Try
	s := try.Do(ops.Affine(t, 2, -1))
	miss := try.Do(ops.ReLU(try.Do(ops.Affine(try.Do(ops.Mul(y, s)), -1, 1))))
	loss := try.Do(ops.Mean(try.Do(ops.Square(miss))))
	return loss, try.Err()
})

func network() (*model.Network, error) {
	conv := model.Conv2D{Filters: 8, Size: ops.Both(3), Pad: ops.Around(1), NoBias: true}
	return model.New(model.Sequential{
		conv, model.As("center", center{momentum: 0.1}), model.ReLU{}, model.MaxPool2D{Window: ops.Both(4)},
		model.Flatten{}, model.Linear{Outputs: 10},
	}, tensor.Shape{1, 28, 28}, model.Options{Name: "custom", Seed: 1})
}

func fit(net *model.Network) (dir string, err error) {
	training, test, err := data.Open("digits", data.Options{Train: 4000, Test: 500, Seed: 1})
	if err == nil {
		dir, err = train.NewDir("runs", "custom")
	}
	if err != nil {
		return "", err
	}
	t := train.Trainer{
		Net: net, Train: training, Test: test, Epochs: 3, Batch: 32, Seed: 1, Dir: dir,
		Optimizer: &train.SGD{Momentum: 0.9, Nesterov: true}, Schedule: train.OneCycle(0.1),
		Loss: hinge, Penalties: []model.Penalty{model.L2(1e-4)},
		Between: func(s *train.Step) error { _, err := s.Clip(1); return err },
	}
	res, err := t.Run(context.Background())
	if err == nil {
		fmt.Printf("trained: %.1f %% of %d test images are right\n", 100*res.Accuracy(), test.Len())
	}
	return dir, err
}

func serve(net *model.Network, dir string) error {
	c, err := train.OpenWith(dir, net)
	_, images, err2 := data.Digits(1, 500, 1)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	var clients sync.WaitGroup
	var right atomic.Int64
	failed := make([]error, 8)
	for k := range failed {
		clients.Go(func() {
			for i := k; i < images.Len() && failed[k] == nil; i += len(failed) {
				pixels, err := images.Pixels(i)
				class, _, err2 := c.Classify(pixels)
				if failed[k] = errors.Join(err, err2); failed[k] == nil && class[0] == i%10 {
					right.Add(1)
				}
			}
		})
	}
	clients.Wait()
	fmt.Printf("served: %.1f %% of %d test images are right\n", float64(right.Load())/5, images.Len())
	return errors.Join(failed...)
}

func main() {
	net, err := network()
	if err == nil && len(os.Args) == 2 {
		err = serve(net, os.Args[1])
	} else if err == nil {
		var dir string
		if dir, err = fit(net); err == nil {
			second := exec.Command(os.Args[0], dir)
			second.Stdout, second.Stderr = os.Stdout, os.Stderr
			err = second.Run()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "custom:", err)
		os.Exit(1)
	}
}
