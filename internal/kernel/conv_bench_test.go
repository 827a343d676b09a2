//go:build unix

package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The shapes are those of performance tables: N, C, H, W, K, side, padding, stride, groups.
var convShapes = [][9]int{
	{32, 32, 14, 14, 64, 3, 1, 1, 1},
	{16, 64, 56, 56, 64, 3, 1, 1, 1},
	{32, 1, 28, 28, 32, 3, 1, 1, 1},
	{64, 6, 14, 14, 16, 5, 0, 1, 1},
	{8, 128, 28, 28, 128, 3, 1, 1, 1},
	{8, 256, 14, 14, 256, 3, 1, 1, 1},
	{8, 256, 14, 14, 512, 1, 0, 1, 1},
	{8, 64, 56, 56, 128, 3, 1, 2, 1},
	{4, 3, 224, 224, 64, 7, 3, 2, 1},
	{64, 1, 28, 28, 6, 5, 2, 1, 1},
	{8, 64, 56, 56, 64, 3, 1, 1, 64},
	{8, 256, 14, 14, 256, 3, 1, 1, 256},
}

// BenchmarkConvolution is the forward pass and both gradients; peak is the share of what Peak
// measures.
func BenchmarkConvolution(b *testing.B) {
	b.Run("float32", func(b *testing.B) { benchConvolution[float32](b, convShapes) })
	b.Run("float64", func(b *testing.B) { benchConvolution[float64](b, convShapes[:6]) })
}

func benchConvolution[T Float](b *testing.B, shapes [][9]int) {
	r := rand.New(rand.NewPCG(5, 5))
	peak := Peak(CurrentTier(), unit[T]() == 0x1p-24)
	for _, s := range shapes {
		g, err := NewConv(s[0], s[1], s[2], s[3], s[4], s[5], s[5], s[8], Spatial{s[7], s[7], 1, 1, s[6], s[6], s[6], s[6]}, false)
		if err != nil {
			b.Fatal(err)
		}
		x, w, y, bias := uniform[T](r, g.XLen()), uniform[T](r, g.WLen()), uniform[T](r, g.YLen()), uniform[T](r, g.K)
		dx, dw, dy := make([]T, g.XLen()), make([]T, g.WLen()), uniform[T](r, g.YLen())
		run := func(op string, f func()) {
			name := fmt.Sprintf("shape=%dx%dx%dx%d-%dx%dx%d-pad%d-stride%d-groups%d/op=%s/dtype=%T/tier=%v/impl=convgrad",
				s[0], s[1], s[2], s[3], s[4], s[5], s[5], s[6], s[7], s[8], op, T(0), CurrentTier())
			measure(b, name, "GFLOP/s", 2*float64(g.MACs()), f)
		}
		run("forward", func() { Forward(g, y, x, w, bias, true) })
		run("backward-data", func() { BackwardData(g, dx, dy, w) })
		run("backward-filter", func() { BackwardFilter(g, dw, dy, x) })
	}
	b.Logf("peak of one core, %v, %T: %.1f GFLOP/s", CurrentTier(), T(0), peak)
}

// winogradShapes are 3×3 convolutions, with padding 1.
var winogradShapes = [][5]int{{32, 32, 14, 14, 64}, {16, 64, 56, 56, 64}, {8, 128, 28, 28, 128}, {8, 256, 14, 14, 256}}

// BenchmarkWinograd counts the operations of the direct sum, so that it compares with
// BenchmarkConvolution and may exceed the processor's peak.
func BenchmarkWinograd(b *testing.B) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, s := range winogradShapes {
		g, err := NewConv(s[0], s[1], s[2], s[3], s[4], 3, 3, 1, Spatial{1, 1, 1, 1, 1, 1, 1, 1}, false)
		if err != nil {
			b.Fatal(err)
		}
		g.Winograd = true
		x, w, y := uniform[float32](r, g.XLen()), uniform[float32](r, g.WLen()), uniform[float32](r, g.YLen())
		name := fmt.Sprintf("shape=%dx%dx%dx%d-%dx3x3/op=%%s/dtype=float32/tier=%v/impl=convgrad", s[0], s[1], s[2], s[3], s[4], CurrentTier())
		measure(b, fmt.Sprintf(name, "forward"), "GFLOP/s", 2*float64(g.MACs()), func() { Forward(g, y, x, w, nil, true) })
		measure(b, fmt.Sprintf(name, "backward-data"), "GFLOP/s", 2*float64(g.MACs()), func() { BackwardData(g, x, y, w) })
	}
}
