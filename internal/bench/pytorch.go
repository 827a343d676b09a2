package bench

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/kernel"
)

//go:embed pytorch.py
var pytorchScript string

//go:embed openblas.py
var openblasScript string

// python runs a script with one JSON argument and reads its JSON into res. The C library's allocator is told to keep what is freed: with its defaults PyTorch spends up to two thirds of its
// time on page faults, and would be beaten too cheaply. OpenBLAS, for itself and under PyTorch, is told to use its AVX-512 core where ours does: it would choose AVX2 on recent processors.
func python(script string, arg map[string]any, res any) error {
	name := "python3"
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		name = "/usr/bin/python3" // the system's, where its packages are
	}
	text, err := json.Marshal(arg)
	if err != nil {
		return errors.Wrap(err, "bench")
	}
	cmd := exec.Command(name, "-c", script, string(text))
	cmd.Env = append(os.Environ(), "MALLOC_MMAP_THRESHOLD_=4294967296", "MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_TOP_PAD_=268435456")
	if kernel.CurrentTier() == kernel.AVX512 {
		cmd.Env = append(cmd.Env, "OPENBLAS_CORETYPE=SkylakeX")
	}
	// Where Debian keeps a libblas.so.3 that is OpenBLAS, so that PyTorch's products are made by it.
	if dirs, _ := filepath.Glob("/usr/lib/*/openblas-pthread"); len(dirs) > 0 {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+dirs[0])
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return errors.Wrapf(err, "bench: python3: %s", bytes.TrimSpace(stderr.Bytes()))
	}
	return errors.Wrapf(json.Unmarshal(out, res), "bench: the script's figures: %q", out)
}

// openblas measures the same products with OpenBLAS, and fills in the ratios.
func openblas(r *Report, b Budget) error {
	var sizes [][]int
	for _, p := range r.Products {
		sizes = append(sizes, []int{p.M, p.N, p.K})
	}
	var res struct {
		Core     string
		One, All []float64
	}
	if err := python(openblasScript, map[string]any{"sizes": sizes, "threads": r.Threads, "seconds": b.Time.Seconds()}, &res); err != nil {
		return err
	}
	if len(res.One) != len(sizes) || len(res.All) != len(sizes) {
		return fmt.Errorf("bench: %d and %d times of OpenBLAS, want %d", len(res.One), len(res.All), len(sizes))
	}
	r.OpenBLAS = res.Core
	for i := range r.Products {
		p := &r.Products[i]
		flops := 2 * float64(p.M) * float64(p.N) * float64(p.K) / 1e9
		p.OverOpenBLAS, p.OverOpenBLASAll = res.One[i]*p.One/flops, res.All[i]*p.All/flops
	}
	return nil
}

// pytorch measures the same convolutions, in PyTorch's default layout and channels last, the same maps and the same training step, and fills in the ratios.
func pytorch(r *Report, shapes []Shape, b Budget) error {
	var in [][]int
	for _, s := range shapes {
		in = append(in, []int{s.N, s.C, s.H, s.W, s.K, s.R, s.Pad, s.Stride, s.Groups})
	}
	var res struct {
		Version                 string
		One, All, Best          []Rates // seconds
		MapsOne, MapsAll        []float64
		StepOne, Step, StepBest float64
	}
	arg := map[string]any{"shapes": in, "maps": mapSizes, "batch": stepBatch, "threads": r.Threads, "seconds": b.Time.Seconds()}
	if err := python(pytorchScript, arg, &res); err != nil {
		return err
	}
	if len(res.One) != len(shapes) || len(res.All) != len(shapes) || len(res.Best) != len(shapes) || len(res.MapsOne) != len(r.Parts) || len(res.MapsAll) != len(r.Parts) {
		return errors.New("bench: PyTorch's figures are not as many as were asked for")
	}
	r.Torch = res.Version
	for i := range r.Convs {
		c := &r.Convs[i]
		g, err := shapes[i].Geometry()
		if err != nil {
			return err
		}
		flops := 2 * float64(g.MACs()) / 1e9
		for j := range 3 {
			c.OverPyTorch[j], c.OverPyTorchAll[j], c.OverPyTorchBest[j] = res.One[i][j]*c.One[j]/flops, res.All[i][j]*c.All[j]/flops, res.Best[i][j]*c.All[j]/flops
		}
		for j, v := range c.Winograd {
			c.OverPyTorchWinograd[j] = res.One[i][j] * v / flops
		}
	}
	for i := range r.Parts {
		p := &r.Parts[i]
		p.OverPyTorch, p.OverPyTorchAll = res.MapsOne[i]/p.one.Seconds(), res.MapsAll[i]/p.all.Seconds()
	}
	r.Steps = append(r.Steps,
		StepResult{Name: "PyTorch", Seconds: res.Step, SecondsOne: res.StepOne},
		StepResult{Name: "PyTorch, channels last", Seconds: res.StepBest})
	return nil
}
