package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/convgrad/convgrad/internal/pickle"
	"github.com/convgrad/convgrad/internal/safetensors"
	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train"
)

func init() {
	verbs["inspect"] = verb{`train inspect RUN|FILE [-json]: what is in a run or a file of weights

  train inspect runs/pets                           layers, shapes, parameters, multiply-adds; configuration; metrics
  train inspect weights.safetensors                 the tensors and the metadata
  train inspect resnet18.pth                        the tensors of a checkpoint of PyTorch's
  train inspect net.onnx                            the layers, as this library reads them
`, setupInspect}
}

func setupInspect(f *flag.FlagSet) func(*call) error {
	asJSON := f.Bool("json", false, "print JSON")
	kernels := f.Bool("kernels", false, "say which kernel each convolution takes on this machine, and why not others")
	return func(c *call) error {
		if len(c.args) != 1 {
			return usagef("inspect: got %d arguments, want one: train inspect RUN|FILE", len(c.args))
		}
		info, err := os.Stat(c.args[0])
		if err != nil {
			return err
		}
		if info.IsDir() {
			return inspectRun(c, *asJSON, *kernels)
		}
		switch ext := strings.ToLower(filepath.Ext(c.args[0])); ext {
		case ".safetensors":
			return inspectWeights(c, *asJSON)
		case ".pt", ".pth":
			return inspectCheckpoint(c, *asJSON)
		case ".onnx":
			return inspectONNX(c, *asJSON, *kernels)
		default:
			return usagef("inspect: the ending of %s is %q, want a run directory, .safetensors, .pt, .pth or .onnx", c.args[0], ext)
		}
	}
}

func inspectRun(c *call, asJSON, kernels bool) error {
	r, err := train.OpenRun(c.args[0])
	if err != nil {
		return err
	}
	s := r.Network.Summary()
	if asJSON {
		return encode(c.stdout, struct {
			Config        train.Config  `json:"config"`
			Network       model.Summary `json:"network"`
			Classes       []string      `json:"classes"`
			Normalisation any           `json:"normalisation"`
			Metrics       []train.Epoch `json:"metrics"`
		}{r.Config, s, r.Classes, r.Normalisation, r.Epochs})
	}
	printSummary(c, s, kernels)
	fmt.Fprintf(c.stdout, "classes         %s\n", few(r.Classes, 20))
	if n := r.Normalisation; n != nil {
		fmt.Fprintf(c.stdout, "normalisation   (x − %v)/%v, by channel\n", n.Mean, n.Std)
	}
	b, err := json.Marshal(r.Config)
	if err != nil {
		return err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(c.stdout, "%-15s %v\n", key, fields[key])
	}
	fmt.Fprintln(c.stdout)
	if len(r.Epochs) == 0 {
		fmt.Fprintln(c.stdout, "no epoch has ended")
		return nil
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "epoch\tloss\taccuracy\ttest loss\ttest accuracy\tlr\tseconds\timages/s\t")
	for _, e := range r.Epochs {
		fmt.Fprintf(w, "%d\t%.4f\t%.2f %%\t%.4f\t%.2f %%\t%.3g\t%.1f\t%.0f\t\n", e.Epoch, e.Loss, 100*e.Accuracy, e.TestLoss, 100*e.TestAccuracy,
			e.Rate, e.Seconds, e.ImagesPerSec)
	}
	return w.Flush()
}

func printSummary(c *call, s model.Summary, kernels bool) {
	fmt.Fprintf(c.stdout, "%v\n", s)
	if kernels {
		fmt.Fprintln(c.stdout, s.Kernels())
	}
}

// few is a list of names, cut off.
func few(names []string, most int) string {
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

func inspectWeights(c *call, asJSON bool) error {
	f, err := os.Open(c.args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := safetensors.ReadHeader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	if n := len(h.Entries); n > 0 { // a header alone is no file
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if info, err := f.Stat(); err == nil && info.Size()-at != h.Entries[n-1].To {
			return fmt.Errorf("%s: %d bytes of numbers, want %d: the file is cut short or too long", c.args[0], info.Size()-at, h.Entries[n-1].To)
		}
	}
	if asJSON {
		return encode(c.stdout, h)
	}
	return printTensors(c, h)
}

func inspectCheckpoint(c *call, asJSON bool) error {
	f, err := os.Open(c.args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := pickle.Open(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	h := &safetensors.Header{}
	for _, t := range p.Tensors {
		h.Entries = append(h.Entries, safetensors.Entry{Name: t.Name, Dtype: t.Dtype, Shape: t.Shape})
	}
	if asJSON {
		return encode(c.stdout, h)
	}
	return printTensors(c, h)
}

func printTensors(c *call, h *safetensors.Header) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "tensor\ttype\tshape\telements")
	total := int64(0)
	for _, e := range h.Entries {
		n := int64(1)
		for _, side := range e.Shape {
			n *= int64(side)
		}
		total += n
		fmt.Fprintf(w, "%s\t%s\t%v\t%d\n", e.Name, e.Dtype, e.Shape, n)
	}
	fmt.Fprintf(w, "total\t\t\t%d\n", total)
	if err := w.Flush(); err != nil {
		return err
	}
	if len(h.Metadata) > 0 {
		fmt.Fprintln(c.stdout)
	}
	for _, key := range slices.Sorted(maps.Keys(h.Metadata)) {
		text := h.Metadata[key]
		if len(text) > 500 {
			text = text[:500] + "…"
		}
		fmt.Fprintf(c.stdout, "%s: %s\n", key, text)
	}
	return nil
}

func inspectONNX(c *call, asJSON, kernels bool) error {
	n, err := model.ReadONNXFile(c.args[0], model.ONNXOptions{})
	if err != nil {
		return err
	}
	s := n.Summary()
	if asJSON {
		return encode(c.stdout, s)
	}
	printSummary(c, s, kernels)
	return nil
}
