package model_test

import (
	"bytes"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
)

// A network of the article's layers, described, and one step of gradients.
func Example() {
	net, err := model.New(model.Sequential{
		model.As("conv1", model.Conv2D{Filters: 4, Size: ops.Both(3), Pad: ops.Around(1)}), model.ReLU{},
		model.MaxPool2D{Window: ops.Both(2)},
		model.As("conv2", model.Conv2D{Filters: 8, Size: ops.Both(3)}), model.ReLU{},
		model.MaxPool2D{Window: ops.Both(2)},
		model.Flatten{}, model.As("fc", model.Linear{Outputs: 10}),
	}, tensor.Shape{1, 12, 12}, model.Options{Name: "small", Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(net.Summary())

	graph, err := net.Build(2, model.BuildOptions{Loss: model.CrossEntropy{}, Training: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	x := graph.InputData().([]float32)
	for i := range x {
		x[i] = float32(i%7) / 7
	}
	if err := graph.SetLabels([]int{3, 1}); err != nil {
		fmt.Println(err)
		return
	}
	if err := graph.Run(); err != nil {
		fmt.Println(err)
		return
	}
	grads, err := graph.Grads()
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, p := range graph.Params() {
		fmt.Println(p.Name, grads[i].Shape())
	}
	// Output:
	// small, input 1×12×12
	// layer                             output   parameters  multiply-adds  receptive field
	// conv1  Conv2D 4 × 3×3, padding 1  4×12×12          40           5184              3×3
	// 1      ReLU                       4×12×12           0              0              3×3
	// 2      MaxPool2D 2×2              4×6×6             0              0              4×4
	// conv2  Conv2D 8 × 3×3             8×4×4           296           4608              8×8
	// 4      ReLU                       8×4×4             0              0              8×8
	// 5      MaxPool2D 2×2              8×2×2             0              0            10×10
	// 6      Flatten                    32                0              0            10×10
	// fc     Linear 10 outputs          10              330            320            12×12
	// total                                             666          10112
	// conv1.weight (4, 1, 3, 3)
	// conv1.bias (4)
	// conv2.weight (8, 4, 3, 3)
	// conv2.bias (8)
	// fc.weight (10, 32)
	// fc.bias (10)
}

// A network of other classes starts from weights that were trained, here or in PyTorch: its last
// layer is left out of the file, and keeps its first weights. For torchvision's resnet18 the file
// is what this writes there:
//
//	safetensors.torch.save_file(torchvision.models.resnet18(weights="DEFAULT").state_dict(), path)
//
// and the layer is "fc"; it is "classifier.1" for mobilenet_v2 and squeezenet1_1, "classifier.6"
// for the VGG networks, and "linear" for resnet20 and resnet56. Freeze then holds all that is not
// trained further.
func ExampleNetwork_Load_otherClasses() {
	trained, err := model.ByName("resnet20", tensor.Shape{3, 32, 32}, 10, model.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if err := trained.Save(&file, nil); err != nil {
		fmt.Println(err)
		return
	}

	net, err := model.ByName("resnet20", tensor.Shape{3, 32, 32}, 2, model.Options{Seed: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := net.Load(&file, model.LoadOptions{Skip: []string{"linear"}}); err != nil {
		fmt.Println(err)
		return
	}
	if err := net.Freeze("conv1", "bn1", "layer1", "layer2"); err != nil {
		fmt.Println(err)
		return
	}
	frozen := 0
	for _, p := range net.Params() {
		if p.Frozen {
			frozen++
		}
	}
	fmt.Println("classes:", net.Output(), "frozen:", frozen, "of", len(net.Params()))
	same := net.Param("layer3.0.conv1.weight").Value.Eq(trained.Param("layer3.0.conv1.weight").Value)
	fmt.Println("loaded:", same)
	// Output:
	// classes: (2) frozen: 39 of 59
	// loaded: true
}
