package train

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/pickle"
	"github.com/convgrad/convgrad/internal/safetensors"
	"github.com/convgrad/convgrad/model"
)

// parallel is what PyTorch's DataParallel puts before the names of a network's weights.
const parallel = "module."

// initial gives a network the weights of a file that Network.LoadFile reads, as far as there are
// some of their name and shape. It returns what the network keeps of its own.
//
// It returns an error if the file cannot be read, or none of its weights fits.
func initial(net *model.Network, path string) (kept []string, err error) {
	if strings.EqualFold(filepath.Ext(path), ".onnx") {
		return nil, errors.Errorf("train: the weights to begin from: %s is an ONNX file, want .safetensors, .pt or .pth: "+
			"a program can train it by model.ReadONNXFile", path)
	}
	shapes, err := shapesIn(path)
	if err != nil {
		return nil, errors.Wrapf(err, "train: the weights to begin from: %s", path)
	}
	plain := func(name string) string { return strings.TrimPrefix(name, parallel) }
	for name, shape := range shapes {
		shapes[plain(name)] = shape
	}
	all := slices.Concat(net.Params(), net.Buffers())
	var other []string // there, but of another shape
	for _, p := range all {
		if shape, there := shapes[p.Name]; !there || !slices.Equal(shape, []int(p.Value.Shape())) {
			kept = append(kept, p.Name)
			if there {
				other = append(other, p.Name)
			}
		}
	}
	if len(kept) == len(all) {
		return nil, errors.Errorf("train: none of the weights in %s has the name and shape of one of %s, which has %s",
			path, net.Name(), strings.Join(kept[:min(3, len(kept))], ", "))
	}
	err = net.LoadFile(path, model.LoadOptions{Rename: plain, Skip: other, Partial: true})
	return kept, errors.Wrap(err, "train: the weights to begin from")
}

// shapesIn is the shapes of the tensors of a safetensors file or one of PyTorch's checkpoints.
func shapesIn(path string) (map[string][]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	shapes := map[string][]int{}
	head := make([]byte, pickle.Head)
	if n, _ := f.ReadAt(head, 0); pickle.Is(head[:n]) {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		p, err := pickle.Open(f, info.Size())
		if err != nil {
			return nil, err
		}
		for _, t := range p.Tensors {
			shapes[t.Name] = t.Shape
		}
		return shapes, nil
	}
	h, err := safetensors.ReadHeader(f)
	if err != nil {
		return nil, err
	}
	for _, e := range h.Entries {
		shapes[e.Name] = e.Shape
	}
	return shapes, nil
}
