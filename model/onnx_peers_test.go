package model_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
)

// peer runs testdata/onnx_peers.py with the python3 of PATH, which has to have onnx, onnxruntime,
// onnxscript, torch and torchvision. It is asked for with CONVGRAD_ONNXRUNTIME: see .ci/run.
func peer(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("python3", append([]string{"testdata/onnx_peers.py"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out[max(0, len(out)-2000):])
	}
}

// floatsOf reads a file of float32, and writeFloats writes one.
func floatsOf(t *testing.T, path string) []float32 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, len(raw)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return v
}

func writeFloats(t *testing.T, path string, v []float32) {
	t.Helper()
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// agree wants outputs that differ by less than 1e-5 of the largest, and that are not all alike.
func agree(t *testing.T, what string, got, want []float32) {
	t.Helper()
	worst, top := 0.0, 0.0
	for i, v := range want {
		top = max(top, math.Abs(float64(v)))
		d := math.Abs(float64(v) - float64(got[i]))
		if !(d <= worst) {
			worst = d
		}
	}
	if len(got) != len(want) || !(worst <= 1e-5*max(top, 1)) || slices.Max(want) == slices.Min(want) {
		t.Errorf("%s: outputs differ by %.2g of %.2g, want 1e-5", what, worst, top)
	}
	t.Logf("%s: outputs differ by %.2g of %.2g", what, worst, top)
}

// lively gives batch norms statistics and scales as after training, by chance.
func lively(n *model.Network, r *rand.Rand) {
	for _, b := range append(n.Buffers(), n.Params()...) {
		v, ok := b.Value.Data().([]float32)
		for i := range v {
			switch {
			case strings.HasSuffix(b.Name, "running_mean"):
				v[i] = 0.2*r.Float32() - 0.1
			case strings.HasSuffix(b.Name, "running_var"):
				v[i] = 0.5 + r.Float32()
			case ok && !b.Buffer && b.Value.Dims() == 1:
				v[i] += 0.5*r.Float32() - 0.25
			}
		}
	}
}

func samples(r *rand.Rand, batch int, shape tensor.Shape) *tensor.Dense {
	x := tensor.New(tensor.WithShape(append(tensor.Shape{batch}, shape...)...), tensor.Of(tensor.Float32))
	for i := range x.Data().([]float32) {
		x.Data().([]float32)[i] = float32(r.NormFloat64())
	}
	return x
}

func predicted(t *testing.T, n *model.Network, x *tensor.Dense) []float32 {
	t.Helper()
	y, err := n.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	return y.Data().([]float32)
}

// layerByLayer is a network of the layers, and ops, that the networks by name do not have.
var layerByLayer = model.Sequential{
	model.Conv2D{Filters: 8, Size: ops.Both(3), Stride: ops.Size{H: 2, W: 1}, Pad: ops.Padding{Top: 1, Left: 2}, Groups: 2, Flip: true},
	model.LpPool2D{Window: ops.Both(2), Stride: ops.Both(1)},
	model.AvgPool2D{Window: ops.Both(3), Stride: ops.Both(2), Pad: ops.Around(1), Ceil: true, ExcludePadding: true},
	model.AvgPool2D{Window: ops.Both(2), Stride: ops.Both(1), Pad: ops.Around(1), Divisor: 3},
	model.MaxPool2D{Window: ops.Both(2), Stride: ops.Both(2), Ceil: true},
	everyOp, model.Flatten{}, model.Dropout{P: 0.5}, model.Linear{Outputs: 7},
}

// Every network by name passes ONNX's full check and agrees with onnxruntime; so do the networks
// that torch.onnx makes of torchvision's, once they are read here.
func TestONNXPeers(t *testing.T) {
	names := []string{"resnet18", "mobilenet_v2", "squeezenet1_1"}
	switch os.Getenv("CONVGRAD_ONNXRUNTIME") {
	case "":
		t.Skip("set CONVGRAD_ONNXRUNTIME=1 to compare with onnxruntime, or all for every network of torchvision's")
	case "all": // twenty minutes, and half a gigabyte for each VGG
		names = append(names, "resnet34", "resnet50", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn")
	}
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	mine := map[string][]float32{}
	for _, name := range append(model.Names(), "layers") {
		shape := tensor.Shape{3, 32, 32}
		switch name {
		case "article", "lenet5", "convnet", "linear":
			shape = tensor.Shape{1, 28, 28}
		case "squeezenet1_1":
			shape = tensor.Shape{3, 40, 56}
		}
		var n *model.Network
		var err error
		if name == "layers" {
			shape = tensor.Shape{4, 17, 20}
			n, err = model.New(layerByLayer, shape, model.Options{})
		} else {
			n, err = model.ByName(name, shape, 10, model.Options{Seed: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		lively(n, r)
		path := filepath.Join(dir, name+".onnx")
		if err := n.SaveONNXFile(path, map[string]string{"made by": "a test"}); err != nil {
			t.Fatal(err)
		}
		x := samples(r, 3, shape)
		writeFloats(t, path+".x", x.Data().([]float32))
		mine[path] = predicted(t, n, x)
	}
	peer(t, "check", dir)
	for path, y := range mine {
		agree(t, filepath.Base(path), y, floatsOf(t, path+".y"))
	}
	for _, name := range names {
		dir := t.TempDir()
		peer(t, "export", dir, name)
		files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", name, err)
		}
		for _, path := range files {
			n, err := model.ReadONNXFile(path, model.ONNXOptions{})
			if err != nil {
				t.Error(err)
				continue
			}
			x := floatsOf(t, path+".x")
			y := predicted(t, n, tensor.New(tensor.WithShape(append(tensor.Shape{2}, n.Input()...)...), tensor.WithBacking(x)))
			agree(t, filepath.Base(path), y, floatsOf(t, path+".y"))
			os.Remove(path)
		}
	}
}
