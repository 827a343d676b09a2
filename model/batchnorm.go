package model

import (
	"fmt"
	"math"
	"strings"

	"github.com/pkg/errors"
	G "gorgonia.org/gorgonia"

	"github.com/convgrad/convgrad/ops"
)

// BatchNorm is ops.BatchNorm in training, by the batch's statistics, and ops.BatchNormEval in
// evaluation, by running ones. Its parameters are "weight", γ, which begins with ones, and "bias",
// β; its buffers are "running_mean" and "running_var", which follow the batches as in PyTorch:
//
//	running ← running + Momentum·(batch − running)
//
// The running variance follows the unbiased one, Σ(x−mean)²/(count−1).
type BatchNorm struct {
	Epsilon  float64 // 0 stands for 1e-5
	Momentum float64 // 0 stands for 0.1
}

// Apply implements Layer.
func (l BatchNorm) Apply(b *Builder, x *G.Node) *G.Node {
	if b.Err() != nil || x == nil {
		return b.Do(nil, errors.New("BatchNorm: x is nil"))
	}
	s := x.Shape()
	if len(s) < 2 || len(s) > 4 {
		return b.Do(nil, errors.Errorf("BatchNorm: x is %v, want N×C, N×C×L or N×C×H×W", s))
	}
	eps, momentum := l.Epsilon, l.momentum()
	if eps == 0 {
		eps = 1e-5
	}
	if !(momentum > 0 && momentum <= 1) || !(eps > 0) || math.IsInf(eps, 0) {
		return b.Do(nil, errors.Errorf("BatchNorm: epsilon is %v and the momentum %v, want a positive "+
			"finite number and one in (0, 1]", l.Epsilon, l.Momentum))
	}
	scale, bias := b.Param("weight", Ones, s[1]), b.Param("bias", Zeros, s[1])
	mean, variance := b.Buffer("running_mean", Zeros, s[1]), b.Buffer("running_var", Ones, s[1])
	if b.Err() != nil {
		return nil
	}
	return batchNorm(b, x, scale, bias, ops.Stats{Mean: mean, Var: variance}, eps, momentum)
}

func (l BatchNorm) momentum() float64 {
	if l.Momentum == 0 {
		return 0.1
	}
	return l.Momentum
}

// batchNorm normalises by running statistics in evaluation, and otherwise by the batch's, which the
// running ones then follow.
func batchNorm(b *Builder, x, scale, bias *G.Node, running ops.Stats, eps, momentum float64) *G.Node {
	if !b.Training() {
		if y := b.fold(x, scale, bias, running, eps); y != nil || b.Err() != nil {
			return y
		}
		return b.Do(ops.BatchNormEval(x, scale, bias, running, eps))
	}
	y, batch, err := ops.BatchNormStats(x, scale, bias, eps)
	if y = b.Do(y, err); y == nil {
		return nil
	}
	s := x.Shape()
	count := float64(s.TotalSize() / s[1])
	b.Update(running.Mean, b.Do(ops.Lerp(running.Mean, batch.Mean, momentum)))
	unbiased := b.Do(ops.Affine(batch.Var, count/(count-1), 0))
	b.Update(running.Var, b.Do(ops.Lerp(running.Var, unbiased, momentum)))
	return y
}

func (l BatchNorm) String() string {
	var s []string
	if l.Epsilon != 0 {
		s = append(s, fmt.Sprintf("ε = %g", l.Epsilon))
	}
	if l.Momentum != 0 {
		s = append(s, fmt.Sprintf("momentum %g", l.Momentum))
	}
	return strings.Join(s, ", ")
}
