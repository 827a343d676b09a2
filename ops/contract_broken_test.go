package ops

import (
	"fmt"
	"hash"
	"hash/fnv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The ops below are broken on purpose, each in one way that Gorgonia's built-ins or a hasty hand
// have been seen to be. Each must be caught, by the check that is for it.

type brokenHash struct{ op }

func (o brokenHash) WriteHash(h hash.Hash) {
	c := o.spec.(conv2D)
	c.Geometry.Rows.Dilation = 0
	op{c}.WriteHash(h)
}
func (o brokenHash) Hashcode() uint32 { h := fnv.New32a(); o.WriteHash(h); return h.Sum32() }

type brokenHashcode struct{ op }

func (o brokenHashcode) Hashcode() uint32 { return 1 }

type roundedHash struct{ op }

func (o roundedHash) Hashcode() uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%T|%.3f", o.spec, o.spec)
	return h.Sum32()
}

type counting struct {
	op
	calls *int
	mutex *sync.Mutex
}

func (o counting) Do(vs ...G.Value) (G.Value, error) {
	v, err := o.op.Do(vs...)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if *o.calls++; err == nil && *o.calls > 3 {
		spoil(v)
	}
	return v, err
}

type buffered struct {
	op
	buffer *sync.Map // the result's memory, by its shape and type
}

func (o buffered) Do(vs ...G.Value) (G.Value, error) {
	v, err := o.op.Do(vs...)
	if err != nil {
		return nil, err
	}
	kept, ok := o.buffer.LoadOrStore(fmt.Sprint(v.Shape(), v.Dtype()), v)
	if ok {
		return kept.(G.Value), tensor.Copy(kept.(*tensor.Dense), v.(*tensor.Dense))
	}
	return v, nil
}

// A handover is fine alone: it leaves its operands in the op, and computes from what it finds there
// a moment later.
type handover struct {
	op
	operands *atomic.Value
}

func (o handover) Do(vs ...G.Value) (G.Value, error) {
	o.operands.Store(vs)
	time.Sleep(100 * time.Microsecond)
	return o.op.Do(o.operands.Load().([]G.Value)...)
}

type cachedType struct {
	op
	kept hm.Type
}

func (o cachedType) Type() hm.Type { return o.kept }

type strideBlind struct{ op }

func (o strideBlind) Do(vs ...G.Value) (G.Value, error) {
	flat := append([]G.Value(nil), vs...)
	for i, v := range vs {
		d, ok := v.(*tensor.Dense)
		if !ok {
			continue
		}
		n := d.Shape().TotalSize()
		switch data := d.Data().(type) {
		case []float32:
			flat[i] = valueOf(d.Shape(), data[:n])
		case []float64:
			flat[i] = valueOf(d.Shape(), data[:n])
		}
	}
	return o.op.Do(flat...)
}

type returnsInput struct{ op }

func (o returnsInput) Do(vs ...G.Value) (G.Value, error) {
	if _, err := o.op.Do(vs...); err != nil {
		return nil, err
	}
	return vs[0], nil
}

type sharesInput struct{ op }

func (o sharesInput) Do(vs ...G.Value) (G.Value, error) {
	if _, err := o.op.Do(vs...); err != nil {
		return nil, err
	}
	v := tensor.New(tensor.WithShape(o.spec.(reshape).To.shape()...), tensor.WithBacking(vs[0].Data()))
	return v, nil
}

type overwrites struct{ op }

func (o overwrites) Do(vs ...G.Value) (G.Value, error) {
	v, err := o.op.Do(vs...)
	if err == nil {
		spoil(vs[0])
	}
	return v, err
}

type adds struct{ op }

func (o adds) UsePreallocDo(dst G.Value, vs ...G.Value) (G.Value, error) {
	before, err := plain(dst)
	if err != nil {
		return nil, err
	}
	old := append([]float64(nil), fmtFloats(before.data)...)
	v, err := o.op.UsePreallocDo(dst, vs...)
	if d, ok := before.data.([]float64); ok && err == nil {
		for i := range d {
			d[i] += old[i]
		}
	}
	return v, err
}

func fmtFloats(data any) []float64 {
	d, _ := data.([]float64)
	return d
}

type newMemory struct{ op }

func (o newMemory) UsePreallocDo(_ G.Value, vs ...G.Value) (G.Value, error) { return o.Do(vs...) }

type careless struct{ op }

func (o careless) Do(vs ...G.Value) (G.Value, error) {
	c := &Call{in: make([]operand, len(vs))}
	shapes := make([]tensor.Shape, len(vs))
	for i, v := range vs {
		c.in[i], _ = plain(v)
		shapes[i] = c.in[i].shape
	}
	shape, _ := o.infer(shapes)
	var v G.Value
	c.dst, v, _ = newValue(shape, c.in[0].dtype())
	return v, o.exec(c)
}

type uncheckedShape struct{ op }

func (o uncheckedShape) InferShape(ds ...G.DimSizer) (tensor.Shape, error) {
	return inSides(o.spec.(scatter).Geometry), nil
}

type carelessRule struct{ op }

func (o carelessRule) SymDiff(in G.Nodes, out, dy *G.Node) (G.Nodes, error) {
	n, err := node(gate{in[0].Dims()}, dy, out)
	return G.Nodes{n}, err
}

func (o carelessRule) DoDiff(_ G.ExecutionContext, in G.Nodes, out *G.Node) error {
	dy, err := out.Grad()
	if err != nil {
		return err
	}
	return accumulate(in[0], dy)
}

type inPlace struct{ op }

func (o inPlace) OverwritesInput() int { return 0 }

func TestBrokenOps(t *testing.T) {
	find := func(kind string) subject {
		for _, s := range subjects() {
			if s.String() == "ops."+kind {
				return s
			}
		}
		t.Fatalf("no subject is a %s", kind)
		return subject{}
	}
	for _, c := range []struct {
		of    string
		check func(machineOp, subject) breaches
		plant func(op) machineOp
		want  string
	}{
		{"conv2D", func(_ machineOp, s subject) breaches {
			return checkFields(s.spec, func(changed any) G.Op { return brokenHash{op{changed.(spec)}} })
		}, nil, "conv2D.Geometry.Rows.Dilation, change 0 has the hash of the op itself"},
		{"scale", func(_ machineOp, s subject) breaches {
			return checkFields(s.spec, func(changed any) G.Op { return roundedHash{op{changed.(spec)}} })
		}, nil, "scale.Factor, change 1 has the hash of the op itself"},
		{"relu", func(machineOp, subject) breaches {
			return checkFields(buffered{}, func(any) G.Op { return op{relu{}} })
		}, nil, "buffered.buffer is a ptr"},
		{"relu", checkIdentity, func(o op) machineOp { return brokenHashcode{o} }, "Hashcode is 1"},
		{"relu", checkIdentity, func(o op) machineOp { return inPlace{o} }, "hand it memory of an operand"},
		{"relu", checkState, func(o op) machineOp { return counting{o, new(int), new(sync.Mutex)} }, "another result when it is repeated"},
		{"relu", checkState, func(o op) machineOp { return buffered{o, new(sync.Map)} }, "has changed since"},
		{"relu", checkState, func(o op) machineOp { return handover{o, new(atomic.Value)} }, "among other goroutines'"},
		{"relu", checkIdentity, func(o op) machineOp { return cachedType{o, o.Type()} }, "want equal types made anew"},
		{"relu", checkAliases, func(o op) machineOp { return buffered{o, new(sync.Map)} }, "a result follows what is done to an older one"},
		{"relu", checkLayouts, func(o op) machineOp { return strideBlind{o} }, "another result than of a plain copy"},
		{"linear", checkLayouts, func(o op) machineOp { return strideBlind{o} }, "operand 1 as lazy transpose"},
		{"relu", checkAliases, func(o op) machineOp { return returnsInput{o} }, "shares memory with operand 0"},
		{"relu", checkAliases, func(o op) machineOp { return returnsInput{o} }, "the result changes with an operand"},
		{"reshape", checkAliases, func(o op) machineOp { return sharesInput{o} }, "shares memory with operand 0"},
		{"relu", checkAliases, func(o op) machineOp { return overwrites{o} }, "an operand has changed"},
		{"relu", checkDestination, func(o op) machineOp { return adds{o} }, "UsePreallocDo into dirty memory gives"},
		{"relu", checkDestination, func(o op) machineOp { return newMemory{o} }, "want its destination"},
		{"relu", checkDestination, func(o op) machineOp { return newMemory{o} }, "larger by 1 on axis 0: error <nil>"},
		{"relu", checkWrongValues, func(o op) machineOp { return careless{o} }, "panic"},
		{"scatter", checkWrongValues, func(o op) machineOp { return uncheckedShape{o} }, "InferShape with dy larger"},
		{"relu", checkWrongNodes, func(o op) machineOp { return carelessRule{o} }, "SymDiff with no cotangent: error panic"},
		{"relu", checkWrongNodes, func(o op) machineOp { return carelessRule{o} }, "DoDiff with no output: error panic"},
	} {
		s := find(c.of)
		var o machineOp
		if c.plant != nil {
			o = c.plant(op{s.spec})
		}
		found := c.check(o, s)
		if all := strings.Join(found, "\n"); !strings.Contains(all, c.want) || len(found) == 0 {
			t.Errorf("%s broken as %T: found %q, want %q", c.of, o, found, c.want)
		}
	}
}

// Should an op panic after all, the machines get an error: a panic on their goroutines would end
// the process.
type panics struct{ relu }

func (panics) exec(*Call) error { panic("on purpose") }

func TestPanicBecomesError(t *testing.T) {
	o := op{panics{relu{1}}}
	x := valueOf(tensor.Shape{2}, []float64{1, 2})
	for name, f := range map[string]func() (G.Value, error){
		"Do":            func() (G.Value, error) { return o.Do(x) },
		"UsePreallocDo": func() (G.Value, error) { return o.UsePreallocDo(dirty(tensor.Shape{2}, tensor.Float64), x) },
	} {
		if v, err := quietly(f); v != nil || err == nil || err.Error() != "ops: ReLU: internal error: on purpose" {
			t.Errorf("%s of an op that panics: %v, %v", name, v, err)
		}
	}
}
