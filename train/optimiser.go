package train

import (
	"math"

	"github.com/pkg/errors"
	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
)

// An Optimizer changes parameters along their gradients. It keeps what it remembers of a parameter under the parameter's name, so that the list may change its order.
type Optimizer interface {
	// Name is what NewOptimizer knows it by.
	Name() string
	// Step makes one step: grads[i] is the loss's gradient by params[i], a plain tensor of its shape and type. Gradients are not changed. It returns an error that names the parameter, what
	// was got and what was wanted for arguments that do not fit, and for settings out of range; then no parameter has changed.
	Step(params []*model.Param, grads []*tensor.Dense, rate float64) error
}

// NewOptimizer returns the optimizer of that name with its usual settings, and the learning rate that goes with it: "sgd" (momentum 0.9), "adam" or "rmsprop".
func NewOptimizer(name string) (Optimizer, float64, error) {
	switch name {
	case "sgd":
		return &SGD{Momentum: 0.9}, 0.05, nil
	case "adam":
		return &Adam{}, 0.001, nil
	case "rmsprop":
		return &RMSProp{}, 0.001, nil
	}
	return nil, 0, errors.Errorf("train: the optimizer is %q, want sgd, adam or rmsprop", name)
}

// moments are slices of numbers, in the parameters' type, that an optimizer remembers for each parameter.
type moments map[string][]any

// of returns count slices like the parameter's weights, zero at first.
func (m moments) of(p *model.Param, count int) []any {
	n := p.Value.Shape().TotalSize()
	s := m[p.Name]
	if len(s) == count && length(s[0]) == n {
		return s
	}
	s = make([]any, count)
	for i := range s {
		if p.Value.Dtype() == tensor.Float64 {
			s[i] = make([]float64, n)
		} else {
			s[i] = make([]float32, n)
		}
	}
	m[p.Name] = s
	return s
}

func length(s any) int {
	switch s := s.(type) {
	case []float32:
		return len(s)
	case []float64:
		return len(s)
	}
	return -1
}

// each calls f32 or f64 for every parameter with its weights, gradient and moments, once everything has been checked: an error leaves all parameters as they were.
func each(params []*model.Param, grads []*tensor.Dense, rate float64, m moments, count int,
	f32 func(w, g []float32, s []any), f64 func(w, g []float64, s []any)) error {
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
			return errors.Errorf("train: the gradient of %s is %v of %v, want plain %v of %v", p.Name, g.Shape(), g.Dtype(), p.Value.Shape(), p.Value.Dtype())
		}
		if seen[p.Name] {
			return errors.Errorf("train: two parameters are named %s", p.Name)
		}
		seen[p.Name] = true
	}
	for i, p := range params {
		var s []any
		if count > 0 {
			s = m.of(p, count)
		}
		switch w := p.Value.Data().(type) {
		case []float32:
			f32(w, grads[i].Data().([]float32), s)
		case []float64:
			f64(w, grads[i].Data().([]float64), s)
		}
	}
	return nil
}

// empty reports whether there is no tensor: nil, or one that no constructor made, whose methods panic.
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

// SGD is gradient descent, the article's update step, with momentum as PyTorch writes it: v ← μ·v + g + λ·w, w ← w − rate·v.
type SGD struct {
	Momentum float64 // μ
	Decay    float64 // λ
	Nesterov bool    // w ← w − rate·(g + λ·w + μ·v)
	v        moments
}

// Name implements Optimizer.
func (o *SGD) Name() string { return "sgd" }

// Step implements Optimizer.
func (o *SGD) Step(params []*model.Param, grads []*tensor.Dense, rate float64) error {
	if err := checkSettings("sgd", setting{"momentum", o.Momentum, 1}, setting{"decay", o.Decay, math.Inf(1)}); err != nil {
		return err
	}
	if o.v == nil {
		o.v = moments{}
	}
	count := 0
	if o.Momentum != 0 {
		count = 1
	}
	return each(params, grads, rate, o.v, count,
		func(w, g []float32, s []any) {
			sgd(w, g, s, float32(rate), float32(o.Momentum), float32(o.Decay), o.Nesterov)
		},
		func(w, g []float64, s []any) { sgd(w, g, s, rate, o.Momentum, o.Decay, o.Nesterov) })
}

func sgd[T kernel.Float](w, g []T, s []any, rate, momentum, decay T, nesterov bool) {
	var v []T
	if len(s) > 0 {
		v = s[0].([]T)
	}
	kernel.SGD(w, g, v, rate, momentum, decay, nesterov)
}

// Adam is Adam (Kingma and Ba, 2015) with the decay taken from the weights and not put into the gradient (Loshchilov and Hutter, 2019). Zero settings stand for β₁ = 0.9,
// β₂ = 0.999 and ε = 1e-8.
type Adam struct {
	Beta1, Beta2, Epsilon float64
	Decay                 float64
	t                     int
	m                     moments
}

// Name implements Optimizer.
func (o *Adam) Name() string { return "adam" }

// Step implements Optimizer.
func (o *Adam) Step(params []*model.Param, grads []*tensor.Dense, rate float64) error {
	b1, b2, eps := or(o.Beta1, 0.9), or(o.Beta2, 0.999), or(o.Epsilon, 1e-8)
	if err := checkSettings("adam", setting{"β₁", b1, 1}, setting{"β₂", b2, 1}, setting{"ε", eps, math.Inf(1)}, setting{"decay", o.Decay, math.Inf(1)}); err != nil {
		return err
	}
	if o.m == nil {
		o.m = moments{}
	}
	t := o.t + 1
	err := each(params, grads, rate, o.m, 2,
		func(w, g []float32, s []any) {
			kernel.Adam(w, g, s[0].([]float32), s[1].([]float32), t, float32(rate), float32(b1), float32(b2), float32(eps), float32(o.Decay))
		},
		func(w, g []float64, s []any) {
			kernel.Adam(w, g, s[0].([]float64), s[1].([]float64), t, rate, b1, b2, eps, o.Decay)
		})
	if err == nil {
		o.t = t
	}
	return err
}

// RMSProp is RMSProp (Tieleman and Hinton, 2012): s ← ρ·s + (1−ρ)·g², w ← w − rate·g/(√s + ε). Zero settings stand for ρ = 0.99 and ε = 1e-8.
type RMSProp struct {
	Rho, Epsilon float64
	s            moments
}

// Name implements Optimizer.
func (o *RMSProp) Name() string { return "rmsprop" }

// Step implements Optimizer.
func (o *RMSProp) Step(params []*model.Param, grads []*tensor.Dense, rate float64) error {
	rho, eps := or(o.Rho, 0.99), or(o.Epsilon, 1e-8)
	if err := checkSettings("rmsprop", setting{"ρ", rho, 1}, setting{"ε", eps, math.Inf(1)}); err != nil {
		return err
	}
	if o.s == nil {
		o.s = moments{}
	}
	return each(params, grads, rate, o.s, 1,
		func(w, g []float32, s []any) {
			kernel.RMSProp(w, g, s[0].([]float32), float32(rate), float32(rho), float32(eps))
		},
		func(w, g []float64, s []any) { kernel.RMSProp(w, g, s[0].([]float64), rate, rho, eps) })
}

func or(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}
