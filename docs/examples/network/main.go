// Command network builds a small residual network, trains it and shows how well it reads digits.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
	"github.com/convgrad/convgrad/train"
	"github.com/convgrad/convgrad/train/data"
)

func main() {
	digits, unseen, err := data.Open("digits", data.Options{Train: 8000, Test: 1000, Seed: 1})
	check(err)
	conv := model.Conv2D{Filters: 16, Size: ops.Both(3), Pad: ops.Around(1)}
	pool := model.MaxPool2D{Window: ops.Both(2)}
	net, err := model.New(model.Sequential{
		conv, model.ReLU{}, pool,
		model.Residual{Body: model.Sequential{conv, model.ReLU{}, conv}}, model.ReLU{}, pool,
		model.Flatten{}, model.Dropout{P: 0.2}, model.Linear{Outputs: len(digits.Classes())},
	}, digits.Shape(), model.Options{Seed: 1})
	check(err)
	fmt.Print(net.Summary())

	trainer := train.Trainer{
		Net: net, Train: digits, Test: unseen, Epochs: 3, Batch: 32,
		Optimizer: &train.Adam{}, Schedule: train.OneCycle(0.005),
	}
	result, err := trainer.Run(context.Background())
	check(err)
	fmt.Printf("%.1f %% of %d digits read right\n", 100*result.Accuracy(), unseen.Len())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
