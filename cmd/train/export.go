package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/convgrad/convgrad/train"
)

func init() {
	verbs["export"] = verb{`train export RUN -o FILE [-force]: the network of a run as a file for others

  train export runs/pets -o pets.safetensors        weights, which PyTorch loads with load_state_dict
  train export runs/pets -o pets.onnx               the whole network, for onnxruntime and others

The file's metadata says what input and output mean: shape, normalisation, classes.
`, setupExport}
}

func setupExport(f *flag.FlagSet) func(*call) error {
	to := f.String("o", "", "the `file`; its ending is its format: .safetensors or .onnx")
	open := runFlag(f)
	force := f.Bool("force", false, "write over a file that is there")
	return func(c *call) error {
		if len(c.args) != 1 || *to == "" {
			return usagef("export: got %d arguments and -o %q, want one and a file: train export RUN -o FILE", len(c.args), *to)
		}
		ext := strings.ToLower(filepath.Ext(*to))
		if ext != ".safetensors" && ext != ".onnx" {
			return usagef("export: the file's ending is %q, want .safetensors or .onnx", ext)
		}
		r, err := open(c.args[0])
		if err != nil {
			return err
		}
		meta, err := describe(r)
		if err != nil {
			return err
		}
		if err := reserve(*to, *force, func() error {
			if ext == ".onnx" {
				return r.Network.SaveONNXFile(*to, meta)
			}
			return r.Network.SaveFile(*to, meta)
		}); err != nil {
			return err
		}
		info, err := os.Stat(*to)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s: %s, %d bytes\n", *to, r.Network.Name(), info.Size())
		return nil
	}
}

// reserve calls write, which replaces the file at path. A file that is there is left alone, unless
// it is to be written over.
func reserve(path string, force bool, write func() error) error {
	if !force {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already: -force writes over it", path)
		}
		if err != nil {
			return err
		}
		f.Close()
	}
	err := write()
	if err != nil && !force {
		_ = os.Remove(path)
	}
	return err
}

// describe is a network's metadata.
func describe(r *train.SavedRun) (map[string]string, error) {
	meta := map[string]string{"model": r.Config.Model, "data": r.Config.Data}
	for key, v := range map[string]any{"input": r.Input, "classes": r.Classes, "normalisation": r.Normalisation} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		meta[key] = string(b)
	}
	return meta, nil
}
