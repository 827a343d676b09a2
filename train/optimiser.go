package train

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
)

// An Optimizer changes parameters along their gradients. It keeps what it remembers of a parameter
// under the parameter's name, so the list may change its order.
type Optimizer interface {
	// Name is what NewOptimizer knows it by.
	Name() string
	// Step makes one step: grads[i] is the loss's gradient by params[i], a plain tensor of its
	// shape and type. Gradients are not changed. It returns an error that names the parameter,
	// what was got and what was wanted for arguments that do not fit what it remembers or each
	// other, and for settings out of range; then no parameter has changed.
	Step(params []*model.Param, grads []*tensor.Dense, rate float64) error
	// State returns all that outlives a step, by name: "momentum.conv1.weight". The tensors are the
	// optimizer's own and valid until its next Step.
	State() map[string]*tensor.Dense
	// Restore replaces what is remembered by copies of what State returned. The steps that follow
	// have the bits of those that would have followed there. It returns an error that names an
	// entry that is not this optimizer's, and then nothing has changed.
	Restore(state map[string]*tensor.Dense) error
}

// optimizers are those that NewOptimizer knows, with their usual settings.
var optimizers = []struct {
	name string
	make func() Optimizer
}{
	{"sgd", func() Optimizer { return &SGD{Momentum: 0.9} }},
	{"nesterov", func() Optimizer { return &SGD{Momentum: 0.9, Nesterov: true} }},
	{"rmsprop", func() Optimizer { return &RMSProp{} }},
	{"adam", func() Optimizer { return &Adam{} }},
	{"adamw", func() Optimizer { return &Adam{Decoupled: true} }},
}

// Optimizers lists the names that NewOptimizer knows.
func Optimizers() []string {
	var names []string
	for _, o := range optimizers {
		names = append(names, o.name)
	}
	return names
}

// NewOptimizer returns the optimizer of that name with its usual settings, and the learning rate
// that goes with it: "sgd" and "nesterov" (momentum 0.9), "rmsprop", "adam" or "adamw".
func NewOptimizer(name string) (o Optimizer, rate float64, err error) {
	for _, known := range optimizers {
		if known.name == name {
			o := known.make()
			return o, usualRate(o), nil
		}
	}
	return nil, 0, errors.Errorf("train: the optimizer is %q, want one of %s", name, strings.Join(Optimizers(), ", "))
}

// usualRate is the learning rate that goes with an optimizer.
func usualRate(o Optimizer) float64 {
	if _, ok := o.(*SGD); ok {
		return 0.05
	}
	return 0.001
}

// decayOf is the weight decay of a parameter. With exempt, biases and what scales and shifts a norm
// have none: they are the parameters with fewer than two axes.
func decayOf(p *model.Param, decay float64, exempt bool) float64 {
	if exempt && p.Value.Dims() < 2 {
		return 0
	}
	return decay
}

// moments are the tensors that an optimizer remembers: moments[kind][parameter].
type moments map[string]map[string]*tensor.Dense

// of returns the parameter's moments of those kinds, in order, new ones zero.
func (m moments) of(p *model.Param, kinds []string) []any {
	s := make([]any, len(kinds))
	for i, kind := range kinds {
		if m[kind] == nil {
			m[kind] = map[string]*tensor.Dense{}
		}
		v := m[kind][p.Name]
		if v == nil {
			v = tensor.New(tensor.WithShape(p.Value.Shape()...), tensor.Of(p.Value.Dtype()))
			m[kind][p.Name] = v
		}
		s[i] = v.Data()
	}
	return s
}

// check returns an error if what is remembered of a parameter is of another shape or type.
func (m moments) check(p *model.Param, kinds []string) error {
	for _, kind := range kinds {
		v := m[kind][p.Name]
		if v != nil && (!v.Shape().Eq(p.Value.Shape()) || v.Dtype() != p.Value.Dtype()) {
			return errors.Errorf("train: %s is %v of %v, want %v of %v like its %s: a new optimizer takes other parameters",
				p.Name, p.Value.Shape(), p.Value.Dtype(), v.Shape(), v.Dtype(), kind)
		}
	}
	return nil
}

// state lists the moments under "kind.parameter".
func (m moments) state() map[string]*tensor.Dense {
	all := map[string]*tensor.Dense{}
	for kind, byName := range m {
		for name, v := range byName {
			all[kind+"."+name] = v
		}
	}
	return all
}

// restoreMoments is the reverse of state, with copies. Entries outside of the kinds are errors.
func restoreMoments(optimizer string, state map[string]*tensor.Dense, kinds []string) (moments, error) {
	m := moments{}
	for _, key := range slices.Sorted(maps.Keys(state)) {
		kind, name, _ := strings.Cut(key, ".")
		if name == "" || !slices.Contains(kinds, kind) {
			return nil, errors.Errorf("train: %s: Restore: got %q, want a name that begins with one of %q", optimizer, key, kinds)
		}
		v := state[key]
		if empty(v) || !plain(v) {
			return nil, errors.Errorf("train: %s: Restore: %s is nil or not a plain tensor of floats", optimizer, key)
		}
		if m[kind] == nil {
			m[kind] = map[string]*tensor.Dense{}
		}
		m[kind][name] = v.Clone().(*tensor.Dense)
	}
	return m, nil
}

// length is the number of elements of a slice of floats, and −1 for anything else.
func length(s any) int {
	switch s := s.(type) {
	case []float32:
		return len(s)
	case []float64:
		return len(s)
	}
	return -1
}

// each calls f32 or f64 for every parameter with its weights, gradient and moments. Everything is
// checked first: an error leaves all parameters as they were.
func each(params []*model.Param, grads []*tensor.Dense, rate float64, m moments, kinds []string,
	f32 func(p *model.Param, w, g []float32, s []any), f64 func(p *model.Param, w, g []float64, s []any)) error {
	if len(params) != len(grads) {
		return errors.Errorf("train: %d parameters and %d gradients, want as many", len(params), len(grads))
	}
	if math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
		return errors.Errorf("train: the learning rate is %v, want a finite number of at least 0", rate)
	}
	seen := make(map[string]bool, len(params))
	for i, p := range params {
		g := grads[i]
		if p == nil || empty(p.Value) || empty(g) {
			return errors.Errorf("train: parameter or gradient %d is nil or empty", i)
		}
		if !plain(p.Value) {
			return errors.Errorf("train: %s is %v of %v, want a plain tensor of float32 or float64", p.Name, p.Value.Shape(), p.Value.Dtype())
		}
		if !plain(g) || !g.Shape().Eq(p.Value.Shape()) || g.Dtype() != p.Value.Dtype() {
			return errors.Errorf("train: the gradient of %s is %v of %v, want plain %v of %v",
				p.Name, g.Shape(), g.Dtype(), p.Value.Shape(), p.Value.Dtype())
		}
		if seen[p.Name] {
			return errors.Errorf("train: two parameters are named %s", p.Name)
		}
		seen[p.Name] = true
		if err := m.check(p, kinds); err != nil {
			return err
		}
	}
	for i, p := range params {
		s := m.of(p, kinds)
		switch w := p.Value.Data().(type) {
		case []float32:
			f32(p, w, grads[i].Data().([]float32), s)
		case []float64:
			f64(p, w, grads[i].Data().([]float64), s)
		}
	}
	return nil
}

// empty reports whether there is no tensor: nil, or one that no constructor made, whose methods
// panic.
func empty(t *tensor.Dense) bool { return t == nil || t.Dtype().Type == nil }

// plain reports whether a tensor is a slice of floats, row-major and without gaps.
func plain(t *tensor.Dense) bool {
	return length(t.Data()) == t.Shape().TotalSize() && !t.RequiresIterator() && !t.DataOrder().IsColMajor()
}

// A setting is a number of an optimizer's.
type setting struct {
	name     string
	v, below float64
}

// checkSettings returns an error if a setting is not in [0, below).
func checkSettings(optimizer string, settings ...setting) error {
	for _, s := range settings {
		if !(s.v >= 0 && s.v < s.below) {
			return errors.Errorf("train: %s: %s is %v, want at least 0 and below %v", optimizer, s.name, s.v, s.below)
		}
	}
	return nil
}

// errNil is what a nil optimizer gives.
func errNil(optimizer string) error {
	return errors.Errorf("train: %s: the optimizer is nil", optimizer)
}

// SGD is gradient descent, the article's update step, with momentum as PyTorch writes it:
// v ← μ·v + g + λ·w, w ← w − rate·v.
type SGD struct {
	Momentum float64 // μ
	Decay    float64 // λ
	Exempt   bool    // biases and norms, all parameters of fewer than two axes, do not decay
	Nesterov bool    // w ← w − rate·(g + λ·w + μ·v)
	m        moments
}

// Name implements Optimizer: "sgd", or "nesterov".
func (o *SGD) Name() string {
	if o != nil && o.Nesterov {
		return "nesterov"
	}
	return "sgd"
}

// kinds are what is remembered of a parameter.
func (o *SGD) kinds() []string {
	if o.Momentum == 0 {
		return nil
	}
	return []string{"momentum"}
}

// Step implements Optimizer.
func (o *SGD) Step(params []*model.Param, grads []*tensor.Dense, rate float64) error {
	if o == nil {
		return errNil("sgd")
	}
	if err := checkSettings("sgd", setting{"momentum", o.Momentum, 1}, setting{"decay", o.Decay, math.Inf(1)}); err != nil {
		return err
	}
	if o.m == nil {
		o.m = moments{}
	}
	return each(params, grads, rate, o.m, o.kinds(),
		func(p *model.Param, w, g []float32, s []any) {
			sgd(w, g, s, float32(rate), float32(o.Momentum), float32(decayOf(p, o.Decay, o.Exempt)), o.Nesterov)
		},
		func(p *model.Param, w, g []float64, s []any) {
			sgd(w, g, s, rate, o.Momentum, decayOf(p, o.Decay, o.Exempt), o.Nesterov)
		})
}

func sgd[T kernel.Float](w, g []T, s []any, rate, momentum, decay T, nesterov bool) {
	var v []T
	if len(s) > 0 {
		v = s[0].([]T)
	}
	kernel.SGD(w, g, v, rate, momentum, decay, nesterov)
}

// State implements Optimizer: "momentum.NAME" for each parameter.
func (o *SGD) State() map[string]*tensor.Dense {
	if o == nil {
		return nil
	}
	return o.m.state()
}

// Restore implements Optimizer.
func (o *SGD) Restore(state map[string]*tensor.Dense) error {
	if o == nil {
		return errNil("sgd")
	}
	m, err := restoreMoments("sgd", state, []string{"momentum"})
	if err == nil {
		o.m = m
	}
	return err
}

// Adam is Adam (Kingma and Ba, 2015), with λ·w added to the gradient for a decay of λ. Decoupled it
// is AdamW (Loshchilov and Hutter, 2019): the decay is taken from the weights, w ← w − rate·λ·w,
// and the gradient has nothing of it. Zero settings stand for β₁ = 0.9, β₂ = 0.999 and ε = 1e-8.
type Adam struct {
	Beta1, Beta2, Epsilon float64
	Decay                 float64
	Decoupled             bool
	Exempt                bool // biases and norms do not decay: all of fewer than two axes
	t                     int
	m                     moments
}

// Name implements Optimizer: "adam", or "adamw".
func (o *Adam) Name() string {
	if o != nil && o.Decoupled {
		return "adamw"
	}
	return "adam"
}

// adamKinds are the averages of the gradient and of its square.
var adamKinds = []string{"mean", "square"}

// adamSteps is the name of the number of steps in an Adam's state.
const adamSteps = "steps"

// Step implements Optimizer.
func (o *Adam) Step(params []*model.Param, grads []*tensor.Dense, rate float64) error {
	if o == nil {
		return errNil("adam")
	}
	b1, b2, eps := or(o.Beta1, 0.9), or(o.Beta2, 0.999), or(o.Epsilon, 1e-8)
	if err := checkSettings("adam", setting{"β₁", b1, 1}, setting{"β₂", b2, 1}, setting{"ε", eps, math.Inf(1)},
		setting{"decay", o.Decay, math.Inf(1)}); err != nil {
		return err
	}
	if o.m == nil {
		o.m = moments{}
	}
	t := o.t + 1
	err := each(params, grads, rate, o.m, adamKinds,
		func(p *model.Param, w, g []float32, s []any) {
			kernel.Adam(w, g, s[0].([]float32), s[1].([]float32), t,
				float32(rate), float32(b1), float32(b2), float32(eps), float32(decayOf(p, o.Decay, o.Exempt)), o.Decoupled)
		},
		func(p *model.Param, w, g []float64, s []any) {
			kernel.Adam(w, g, s[0].([]float64), s[1].([]float64), t, rate, b1, b2, eps, decayOf(p, o.Decay, o.Exempt), o.Decoupled)
		})
	if err == nil {
		o.t = t
	}
	return err
}

// State implements Optimizer: "mean.NAME" and "square.NAME" for each parameter, and "steps", the
// number of steps made as one float64.
func (o *Adam) State() map[string]*tensor.Dense {
	if o == nil {
		return nil
	}
	s := o.m.state()
	s[adamSteps] = tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{float64(o.t)}))
	return s
}

// Restore implements Optimizer.
func (o *Adam) Restore(state map[string]*tensor.Dense) error {
	if o == nil {
		return errNil("adam")
	}
	rest := maps.Clone(state)
	delete(rest, adamSteps)
	t := 0
	if v := state[adamSteps]; !empty(v) {
		f, ok := v.Data().([]float64)
		if !ok || len(f) != 1 || !(f[0] >= 0 && f[0] < 1<<53) || f[0] != math.Trunc(f[0]) {
			return errors.Errorf("train: adam: Restore: %s is %v, want one whole number of at least 0 as a float64", adamSteps, v.Data())
		}
		t = int(f[0])
	} else if len(rest) > 0 {
		return errors.Errorf("train: adam: Restore: there is no %s among %d entries", adamSteps, len(rest))
	}
	m, err := restoreMoments("adam", rest, adamKinds)
	if err == nil {
		o.m, o.t = m, t
	}
	return err
}

// RMSProp is RMSProp (Tieleman and Hinton, 2012):
//
//	s ← ρ·s + (1−ρ)·g²,  w ← w − rate·g/(√s + ε)
//
// For a decay of λ the gradient gets λ·w. Zero settings stand for ρ = 0.99 and ε = 1e-8.
type RMSProp struct {
	Rho, Epsilon float64
	Decay        float64
	Exempt       bool // biases and norms, all parameters of fewer than two axes, do not decay
	m            moments
}

// Name implements Optimizer.
func (o *RMSProp) Name() string { return "rmsprop" }

// rmsPropKinds is the average of the gradient's square.
var rmsPropKinds = []string{"square"}

// Step implements Optimizer.
func (o *RMSProp) Step(params []*model.Param, grads []*tensor.Dense, rate float64) error {
	if o == nil {
		return errNil("rmsprop")
	}
	rho, eps := or(o.Rho, 0.99), or(o.Epsilon, 1e-8)
	if err := checkSettings("rmsprop", setting{"ρ", rho, 1}, setting{"ε", eps, math.Inf(1)},
		setting{"decay", o.Decay, math.Inf(1)}); err != nil {
		return err
	}
	if o.m == nil {
		o.m = moments{}
	}
	return each(params, grads, rate, o.m, rmsPropKinds,
		func(p *model.Param, w, g []float32, s []any) {
			kernel.RMSProp(w, g, s[0].([]float32), float32(rate), float32(rho), float32(eps), float32(decayOf(p, o.Decay, o.Exempt)))
		},
		func(p *model.Param, w, g []float64, s []any) {
			kernel.RMSProp(w, g, s[0].([]float64), rate, rho, eps, decayOf(p, o.Decay, o.Exempt))
		})
}

// State implements Optimizer: "square.NAME" for each parameter.
func (o *RMSProp) State() map[string]*tensor.Dense {
	if o == nil {
		return nil
	}
	return o.m.state()
}

// Restore implements Optimizer.
func (o *RMSProp) Restore(state map[string]*tensor.Dense) error {
	if o == nil {
		return errNil("rmsprop")
	}
	m, err := restoreMoments("rmsprop", state, rmsPropKinds)
	if err == nil {
		o.m = m
	}
	return err
}

// or is v, or another value where v is 0.
func or(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}
