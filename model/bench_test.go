package model

import (
	"math/rand/v2"
	"testing"
)

// One step of training, without the optimiser: batch 100, as in Gorgonia's examples/convnet.
func BenchmarkStep(b *testing.B) {
	for _, name := range []string{"article", "lenet5", "convnet"} {
		b.Run("network="+name+"/dtype=float32/batch=100", func(b *testing.B) {
			n := byName(b, name, Options{})
			m := graphOf(b, n, 100, BuildOptions{Loss: CrossEntropy{}, Training: true, Seed: 1})
			fill(rand.New(rand.NewPCG(1, 0)), m)
			run(b, m)
			b.ReportAllocs()
			for b.Loop() {
				run(b, m)
			}
			// Forward, and twice that backward but for the first layer's input.
			b.ReportMetric(3*2*float64(n.Summary().MACs)*100*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			b.ReportMetric(float64(m.PeakBytes())/1e6, "peak-MB")
		})
	}
}
