package model

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/numbers"
	"github.com/convgrad/convgrad/internal/pickle"
	"github.com/convgrad/convgrad/internal/safetensors"
)

// Save writes parameters and buffers as safetensors (https://huggingface.co/docs/safetensors).
// Names and layouts are PyTorch's, so the file loads there with load_state_dict. metadata, which
// may be nil, is kept in the header.
//
// It returns an error, and writes nothing, if a weight is NaN or infinite: such a network is of no
// use, and its file would replace one that is.
func (n *Network) Save(w io.Writer, metadata map[string]string) error {
	return n.save(metadata, func(t map[string]*tensor.Dense) error { return safetensors.Write(w, t, metadata) })
}

// SaveFile is Save to a file. The file appears whole or not at all: it is written beside the path,
// synced, and renamed.
func (n *Network) SaveFile(path string, metadata map[string]string) error {
	return n.save(metadata, func(t map[string]*tensor.Dense) error { return safetensors.WriteFile(path, t, metadata) })
}

// SaveAs is Save with all numbers in one format, "F64", "F32", "F16" or "BF16", rounded to its
// nearest. It is also an error if the format is another, or a number is beyond it: in F16 that is
// 65520 and more.
func (n *Network) SaveAs(w io.Writer, format string, metadata map[string]string) error {
	if err := n.made(); err != nil {
		return err
	}
	of := numbers.Named(format)
	if of == 0 {
		return errors.Errorf("%s: saving weights: the format is %.20q, want F64, F32, F16 or BF16", n.title(), format)
	}
	return n.save(metadata, func(t map[string]*tensor.Dense) error { return safetensors.WriteAs(w, t, metadata, of) })
}

func (n *Network) save(metadata map[string]string, write func(map[string]*tensor.Dense) error) error {
	if err := n.made(); err != nil {
		return err
	}
	tensors := make(map[string]*tensor.Dense, len(n.params))
	for _, p := range n.params {
		tensors[p.Name] = p.Value
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return errors.Wrapf(write(tensors), "%s: saving weights", n.title())
}

// LoadOptions say which of a file's tensors are whose. The zero value is strict: the file must hold
// exactly the network's weights, under their names.
type LoadOptions struct {
	// Rename gives a tensor of the file the name of a weight; "" leaves it out. nil keeps the
	// names.
	Rename func(name string) string
	// Skip are paths below which nothing is loaded: weights stay as they are, and what the file has
	// there is left out. With "fc", a last layer for other classes keeps its first weights.
	Skip []string
	// Partial leaves weights that the file lacks as they are, and leaves out tensors that the
	// network lacks. At least one weight must be there.
	Partial bool
}

// Load reads weights that Save, or PyTorch, wrote: safetensors, or a checkpoint of torch.save, a
// state_dict or one under "state_dict", "model_state_dict", "model", "net" or "module". The content
// says which of the two it is. F64, F32, F16 and BF16 are converted to the network's type. The
// num_batches_tracked of PyTorch's batch norms are left out: Save writes none, and PyTorch needs
// none.
//
// It returns an error that says what was got and wanted, and leaves all weights as they were, if
// the file is cut short, is of neither form, lies about sizes, does not hold the weights that
// LoadOptions ask for in their shapes, or holds NaN, an infinity, or a number beyond the network's
// type. Nothing of a checkpoint is executed: a name in it that plain tensors do not need is an
// error. Of safetensors it takes no more memory than the header and the network's weights, of a
// checkpoint as much as it is long.
func (n *Network) Load(r io.Reader, o LoadOptions) error {
	if err := n.made(); err != nil {
		return err
	}
	return errors.Wrapf(n.load(r, o), "%s: loading weights", n.title())
}

// LoadFile is Load from a file.
func (n *Network) LoadFile(path string, o LoadOptions) error {
	if err := n.made(); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return errors.Wrapf(err, "%s: loading weights", n.title())
	}
	defer f.Close()
	return errors.Wrapf(n.loadFile(f, o), "%s: loading weights from %s", n.title(), path)
}

func (n *Network) load(r io.Reader, o LoadOptions) error {
	if r == nil {
		return errors.New("the reader is nil")
	}
	head := make([]byte, pickle.Head)
	k, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	r = io.MultiReader(bytes.NewReader(head[:k]), r)
	if !pickle.Is(head[:k]) {
		return n.loadSafetensors(r, o)
	}
	whole, err := io.ReadAll(r) // an archive is read from its end
	if err != nil {
		return err
	}
	return n.loadPyTorch(bytes.NewReader(whole), int64(len(whole)), o)
}

// loadFile is load, and reads of an archive no more than it needs.
func (n *Network) loadFile(f *os.File, o LoadOptions) error {
	head := make([]byte, pickle.Head)
	k, _ := f.ReadAt(head, 0) // what cannot be read there is an error of load
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !pickle.Is(head[:k]) {
		return n.load(f, o)
	}
	return n.loadPyTorch(f, info.Size(), o)
}

func (n *Network) loadSafetensors(r io.Reader, o LoadOptions) error {
	h, err := safetensors.ReadHeader(r)
	if err != nil {
		return err
	}
	of, err := n.match(h.Entries, o)
	if err != nil {
		return err
	}
	loaded := make(map[*Param]any, len(of))
	err = h.Each(r, func(e safetensors.Entry, data io.Reader) (err error) {
		p := of[e.Name]
		if p == nil {
			return nil
		}
		if v := p.room(); n.dtype == tensor.Float64 {
			loaded[p], err = v, safetensors.Floats(v.([]float64), e.Dtype, data)
		} else {
			loaded[p], err = v, safetensors.Floats(v.([]float32), e.Dtype, data)
		}
		return errors.Wrap(err, e.Name)
	})
	if err != nil {
		return err
	}
	n.replace(loaded)
	return nil
}

// loadPyTorch loads a checkpoint of PyTorch's.
func (n *Network) loadPyTorch(r io.ReaderAt, size int64, o LoadOptions) error {
	file, err := pickle.Open(r, size)
	if err != nil {
		return errors.Wrap(err, "PyTorch's checkpoint")
	}
	entries := make([]safetensors.Entry, len(file.Tensors))
	for i, t := range file.Tensors {
		entries[i] = safetensors.Entry{Name: t.Name, Dtype: t.Dtype, Shape: t.Shape}
	}
	of, err := n.match(entries, o)
	if err != nil {
		return err
	}
	loaded := make(map[*Param]any, len(of))
	wanted := slices.DeleteFunc(file.Tensors, func(t *pickle.Tensor) bool { return of[t.Name] == nil })
	err = file.Each(wanted, func(t *pickle.Tensor, memory pickle.Memory) (err error) {
		p := of[t.Name]
		if v := p.room(); n.dtype == tensor.Float64 {
			loaded[p], err = v, pickle.Floats(v.([]float64), t, memory)
		} else {
			loaded[p], err = v, pickle.Floats(v.([]float32), t, memory)
		}
		return errors.Wrap(err, t.Name)
	})
	if err != nil {
		return err
	}
	n.replace(loaded)
	return nil
}

// room is memory for a weight's numbers, beside those that it has.
func (p *Param) room() any {
	size := p.Value.Shape().TotalSize()
	if p.Value.Dtype() == tensor.Float64 {
		return make([]float64, size)
	}
	return make([]float32, size)
}

// replace gives weights the numbers that were loaded. Everything has been checked: nothing fails.
func (n *Network) replace(loaded map[*Param]any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version++
	for p, v := range loaded {
		copyData(p.Value.Data(), v, 0, 0, p.Value.Shape().TotalSize())
	}
}

// match finds the weight of each of a file's tensors.
func (n *Network) match(entries []safetensors.Entry, o LoadOptions) (map[string]*Param, error) {
	skipped := func(name string) bool {
		return slices.ContainsFunc(o.Skip, func(path string) bool { return below(name, path) })
	}
	of := map[string]*Param{}
	from := map[*Param]string{}
	var missing, unknown list
	for _, e := range entries {
		name := e.Name
		if o.Rename != nil {
			if name = o.Rename(name); name == "" {
				continue
			}
		}
		p := n.index[name]
		switch {
		case skipped(name), n.counts(name):
			continue
		case p == nil:
			unknown.add(e.Name)
			continue
		case from[p] != "":
			return nil, errors.Errorf("both %s and %s are %s", from[p], e.Name, name)
		case !slices.Equal(e.Shape, []int(p.Value.Shape())):
			return nil, errors.Errorf("%s has shape %v, want %v; LoadOptions.Skip leaves a layer out", e.Name, tensor.Shape(e.Shape), p.Value.Shape())
		case !slices.Contains([]string{"F64", "F32", "F16", "BF16"}, e.Dtype):
			return nil, errors.Errorf("%s has the type %q, want F64, F32, F16 or BF16", e.Name, e.Dtype)
		}
		of[e.Name], from[p] = p, e.Name
	}
	for _, p := range n.params {
		if from[p] == "" && !skipped(p.Name) {
			missing.add(p.Name)
		}
	}
	if !o.Partial && missing.count+unknown.count > 0 || o.Partial && len(of) == 0 && len(n.params) > 0 {
		return nil, errors.Errorf("not the weights of this network: missing %v, unknown %v", missing, unknown)
	}
	return of, nil
}

// counts reports whether a name is that of PyTorch's count of the batches that a BatchNorm has
// seen. Nothing here is a function of it, and PyTorch does without it in a file.
func (n *Network) counts(name string) bool {
	of, ok := strings.CutSuffix(name, "num_batches_tracked")
	return ok && n.index[name] == nil && n.index[of+"running_mean"] != nil
}

// A list is the first few names of many.
type list struct {
	names []string
	count int
}

// few is how many names an error gives.
const few = 5

func (l *list) add(name string) {
	if l.count++; len(l.names) < few {
		l.names = append(l.names, fmt.Sprintf("%.100s", name))
	}
}

func (l list) String() string {
	s := "[" + strings.Join(l.names, " ")
	if more := l.count - len(l.names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s + "]"
}

// Metadata returns the strings that Save kept in the header, and reads no further than that.
//
// It returns an error if r does not begin with a safetensors header.
func Metadata(r io.Reader) (map[string]string, error) {
	h, err := safetensors.ReadHeader(r)
	if err != nil {
		return nil, errors.Wrap(err, "model: reading metadata")
	}
	return h.Metadata, nil
}
