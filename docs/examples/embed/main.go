// Command embed reads digits in pictures. Its network's weights are in the program: the binary
// needs no other file.
//
//	go run ./docs/examples/embed picture.png...
//
// The weights are the best.safetensors of a run of go run ./cmd/train -epochs 2 -out run. PyTorch
// reads that file too.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"log"
	"os"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train/data"
)

//go:embed digits.safetensors
var weights []byte

// What the run normalised its pictures by, from its config.json.
const mean, deviation = 0.2045428, 0.2394919

func main() {
	log.SetFlags(0)
	net, err := model.ByName("article", tensor.Shape{1, 28, 28}, 10, model.Options{})
	check(err)
	check(net.Load(bytes.NewReader(weights), model.LoadOptions{}))
	if len(os.Args) < 2 {
		log.Fatal("usage: embed picture.png...")
	}
	for _, name := range os.Args[1:] {
		file, err := os.Open(name)
		check(err)
		pixels, err := data.ReadPicture(file, net.Input(), "pad", 0)
		check(err)
		check(file.Close())
		x := make([]float32, len(pixels))
		for i, p := range pixels {
			x[i] = (float32(p)/255 - mean) / deviation
		}
		y, err := net.Predict(tensor.New(tensor.WithShape(1, 1, 28, 28), tensor.WithBacking(x)))
		check(err)
		top, err := model.TopK(y, 2)
		check(err)
		best, next := top[0][0], top[0][1]
		fmt.Printf("%s: %d (%.1f %%), or else %d (%.1f %%)\n",
			name, best.Class, 100*best.Probability, next.Class, 100*next.Probability)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
