package train

import (
	"os"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/convgrad/convgrad/internal/safetensors"
	"github.com/convgrad/convgrad/model"
)

// initial gives a network the weights of a safetensors file, as far as there are some of their name
// and shape. It returns what the network keeps of its own.
//
// It returns an error if the file cannot be read, or none of its weights fits.
func initial(net *model.Network, path string) (kept []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Wrap(err, "train: the weights to begin from")
	}
	h, err := safetensors.ReadHeader(f)
	f.Close()
	if err != nil {
		return nil, errors.Wrapf(err, "train: the weights to begin from: %s", path)
	}
	shapes := map[string][]int{}
	for _, e := range h.Entries {
		shapes[e.Name] = e.Shape
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
	err = net.LoadFile(path, model.LoadOptions{Skip: other, Partial: true})
	return kept, errors.Wrap(err, "train: the weights to begin from")
}
