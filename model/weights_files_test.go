package model_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/ops"
)

// A checkpoint of a training in PyTorch loads as it is: internal/pickle/testdata/make.py.
func TestLoadPyTorch(t *testing.T) {
	n, err := model.New(model.Sequential{
		model.Conv2D{Filters: 2, Size: ops.Both(3)}, model.BatchNorm{}, model.Flatten{}, model.Linear{Outputs: 3},
	}, tensor.Shape{1, 4, 4}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const path = "../internal/pickle/testdata/training.pt"
	if err := n.LoadFile(path, model.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for i, name := range []string{"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"} {
			for k, v := range n.Param(name).Value.Data().([]float32) {
				if want := float32((k*7+i)%11) / 8; v != want {
					t.Errorf("%s: element %d is %v, want %v", name, k, v, want)
				}
			}
		}
		if v := n.Param("1.running_mean").Value.Data().([]float32); v[0] != 0.5 || v[1] != 0.5 {
			t.Errorf("the running mean is %v, want 0.5", v)
		}
	}
	check()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Init(1); err != nil {
		t.Fatal(err)
	}
	if err := n.Load(bytes.NewReader(file), model.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	check()
	for _, c := range []struct {
		want string
		o    model.LoadOptions
	}{
		{"missing [3.bias], unknown [3.bias]", model.LoadOptions{Rename: func(name string) string { return strings.Replace(name, "3.bias", "4.bias", 1) }}},
		{"both 3.bias and 0.bias", model.LoadOptions{Rename: func(name string) string { return strings.Replace(name, "3.bias", "0.bias", 1) }}},
	} {
		if err := n.LoadFile(path, c.o); err == nil || !strings.Contains(err.Error(), strings.Split(c.want, ",")[0]) && c.want[0] == 'm' {
			t.Errorf("got the error %v, want one with %q", err, c.want)
		}
		check()
	}
	if err := n.Load(bytes.NewReader(file[:len(file)/2]), model.LoadOptions{}); err == nil {
		t.Error("half a checkpoint is no error")
	}
	check()
}

// Half the bytes: each number is the nearest of the format, and one beyond it is named.
func TestSaveAs(t *testing.T) {
	n, err := model.New(model.Linear{Outputs: 2, NoBias: true}, tensor.Shape{3}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := n.Param("weight").Value.Data().([]float32)
	for _, c := range []struct {
		format     string
		give, want []float32
		beyond     string
	}{
		// 1/3 and ties to even, subnormal numbers, the largest number
		{"F16", []float32{1.0 / 3, 1 + 0x1p-11, 1 + 0x3p-11, -0x1p-24, 0x1.8p-24, 65519}, []float32{0x555p-12, 1, 1 + 0x1p-9, -0x1p-24, 0x1p-23, 65504}, ""},
		{"BF16", []float32{1.0 / 3, 1 + 0x1p-8, 1 + 0x3p-8, -0x1p-133, 0x1.8p-133, 65520}, []float32{0xabp-9, 1, 1 + 0x1p-6, -0x1p-133, 0x1p-132, 65536}, ""},
		{"F64", []float32{1.0 / 3, 2, 3, 4, 5, 6}, []float32{1.0 / 3, 2, 3, 4, 5, 6}, ""},
		{"F16", []float32{1, 2, 3, 4, 5, 65520}, nil, "weight: element 5 is 65520, beyond F16"},
		{"BF16", []float32{1, 2, math.MaxFloat32, 4, 5, 6}, nil, "weight: element 2 is 3.4028234663852886e+38, beyond BF16"},
		{"F8", []float32{1, 2, 3, 4, 5, 6}, nil, `the format is "F8", want F64, F32, F16 or BF16`},
	} {
		copy(w, c.give)
		var b bytes.Buffer
		err := n.SaveAs(&b, c.format, nil)
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(), c.beyond) || b.Len() > 0 {
				t.Errorf("%s: got the error %v and %d bytes, want %q", c.format, err, b.Len(), c.beyond)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		clear(w)
		if err := n.Load(bytes.NewReader(b.Bytes()), model.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(w, c.want) {
			t.Errorf("%s: got %x, want %x", c.format, w, c.want)
		}
	}
}

// A header of many names takes memory in proportion to its length, not several times it for each.
func TestManyNames(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 20 MB")
	}
	h := []byte("{")
	for i := 0; len(h) < 20<<20; i++ {
		h = fmt.Appendf(h, `"n%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`, i)
	}
	h[len(h)-1] = '}'
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)
	n, err := model.New(model.Linear{Outputs: 2}, tensor.Shape{3}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = n.Load(bytes.NewReader(file), model.LoadOptions{})
	runtime.ReadMemStats(&after)
	took := after.TotalAlloc - before.TotalAlloc
	if err == nil || took > 5*uint64(len(file)) {
		t.Errorf("%d bytes took %d of memory, and gave the error %v", len(file), took, err)
	}
	t.Logf("%d bytes took %d of memory", len(file), took)
}
