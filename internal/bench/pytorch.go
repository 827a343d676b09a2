package bench

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"github.com/pkg/errors"
)

//go:embed pytorch.py
var script []byte

// pytorch measures the same convolutions with PyTorch, in its default layout, and fills in the ratios. Its allocator is told to keep what it frees: with the C library's defaults it spends up to two thirds of
// its time on page faults, and would be beaten too cheaply.
func pytorch(r *Report, shapes []Shape, quick bool) error {
	python := "python3"
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		python = "/usr/bin/python3" // the system's, where its packages are
	}
	var in [][]int
	for _, s := range shapes {
		in = append(in, []int{s.N, s.C, s.H, s.W, s.K, s.R, s.Pad, s.Stride, s.Groups})
	}
	arg, err := json.Marshal(map[string]any{"shapes": in, "threads": r.Threads, "quick": quick})
	if err != nil {
		return errors.Wrap(err, "bench")
	}
	cmd := exec.Command(python, "-c", string(script), string(arg))
	cmd.Env = append(os.Environ(), "MALLOC_MMAP_THRESHOLD_=4294967296", "MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_TOP_PAD_=268435456")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return errors.Wrapf(err, "bench: python3 with torch: %s", bytes.TrimSpace(stderr.Bytes()))
	}
	var res struct {
		Version string
		// Seconds of forward, backward-data and backward-filter on one thread, by processor time, and on all, elapsed.
		One, All [][3]float64
	}
	if err := json.Unmarshal(out, &res); err != nil || len(res.One) != len(shapes) || len(res.All) != len(shapes) {
		return fmt.Errorf("bench: PyTorch's figures: %w: %q", err, out)
	}
	r.Torch = res.Version
	for i := range r.Convs {
		c := &r.Convs[i]
		g, err := shapes[i].Geometry()
		if err != nil {
			return err
		}
		flops := 2 * float64(g.MACs()) / 1e9
		one, all := []float64{c.Forward, c.BackwardData, c.BackwardFilter}, []float64{c.ForwardAll, c.BackwardDataAll, c.BackwardFilterAll}
		for j := range 3 {
			c.OverPyTorch[j] = res.One[i][j] * one[j] / flops
			c.OverPyTorchAll[j] = res.All[i][j] * all[j] / flops
		}
	}
	return nil
}
