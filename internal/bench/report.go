package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/convgrad/convgrad/internal/kernel"
	"github.com/convgrad/convgrad/model"
)

// Options say what to measure.
type Options struct {
	Quick   bool // a few shapes, briefly
	PyTorch bool // beside PyTorch, if python3 has it
}

// A Report is a run of the benchmark.
type Report struct {
	CPU     string
	Go      string
	Tier    string
	Threads int
	Peak    float64 // of one core, in 10⁹ operations a second, float32
	Torch   string  `json:",omitempty"` // PyTorch's version
	Convs   []ConvResult
	Steps   []StepResult
	// StepOverBuiltin is the built-ins' time for a step over ours; StepScaling the processor time of ours on one thread over its elapsed time on all.
	StepOverBuiltin, StepScaling, StepBytesShare float64
	Parts                                        []PartResult
}

// Run measures and writes what it is doing to progress.
func Run(o Options, progress io.Writer) (*Report, error) {
	say := func(format string, a ...any) { fmt.Fprintf(progress, format+"\n", a...) }
	r := &Report{CPU: cpuName(), Go: runtime.Version(), Tier: kernel.CurrentTier().String(), Threads: kernel.Threads(), Peak: kernel.Peak(kernel.CurrentTier(), true)}
	b := Budget{200 * time.Millisecond, 7}
	shapes := Shapes
	sizes := []int{256, 512, 1024, 2048}
	if o.Quick {
		b = Budget{30 * time.Millisecond, 3}
		shapes = []Shape{Shapes[0], Shapes[3], Shapes[10]}
		sizes = sizes[:2]
	}
	for _, s := range shapes {
		say("convolution %s (%v)", s.Name, s)
		c, err := Conv(s, b, true)
		if err != nil {
			return nil, err
		}
		r.Convs = append(r.Convs, c)
	}
	say("a training step of convnet")
	ours, err := Step(100, b)
	if err != nil {
		return nil, err
	}
	fast, err := Step(100, b, model.Winograd)
	if err != nil {
		return nil, err
	}
	fast.Name += ", Winograd"
	theirs, err := BuiltinStep(100, b)
	if err != nil {
		return nil, err
	}
	r.Steps = []StepResult{ours, fast, theirs}
	r.StepOverBuiltin, r.StepScaling, r.StepBytesShare = theirs.Seconds/ours.Seconds, ours.SecondsOne/ours.Seconds, ours.Bytes/theirs.Bytes
	say("matrix products, pooling, activation")
	r.Parts = Products(sizes, b)
	maps, err := Maps(b)
	if err != nil {
		return nil, err
	}
	r.Parts = append(r.Parts, maps...)
	if o.PyTorch {
		say("PyTorch")
		if err := pytorch(r, shapes, o.Quick); err != nil {
			say("PyTorch: %v", err)
		}
	}
	return r, nil
}

// ratio prints a ratio, marked where we lose; nothing where there is none.
func ratio(v float64) string {
	switch {
	case v == 0 || math.IsNaN(v):
		return "-"
	case v < 1:
		return fmt.Sprintf("%.2f (slower)", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// WriteTo writes the report as Markdown tables, which read as text too.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	fmt.Fprintf(c, "%s, %s, %s kernels, %d threads; measured peak of one core %.0f GFLOP/s (float32)\n", r.CPU, r.Go, r.Tier, r.Threads, r.Peak)
	fmt.Fprintf(c, "GFLOP/s count the multiply-adds of the direct sum. One thread: median processor time; all: 10th percentile of elapsed time. × is the peer's time over ours.\n\n")
	t := tabwriter.NewWriter(c, 0, 0, 1, ' ', 0)
	torch := r.Torch != ""
	head, rule := "| convolution | N,C,H,W,K,R,pad,stride,groups | forward | backward-data | backward-filter | % of peak | all threads: % of their peak | × built-in, forward | × built-in, training |", "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
	if torch {
		head, rule = head+" × PyTorch, one thread | × PyTorch, all |", rule+" --- | --- |"
	}
	fmt.Fprintln(t, tabs(head))
	fmt.Fprintln(t, tabs(rule))
	for _, v := range r.Convs {
		row := fmt.Sprintf("| %s | %s | %.0f | %.0f | %.0f | %.0f / %.0f / %.0f | %.0f / %.0f / %.0f | %s | %s |", v.Name, v.Shape, v.Forward, v.BackwardData, v.BackwardFilter,
			100*v.Forward/r.Peak, 100*v.BackwardData/r.Peak, 100*v.BackwardFilter/r.Peak,
			100*v.ForwardAll/r.Peak/float64(r.Threads), 100*v.BackwardDataAll/r.Peak/float64(r.Threads), 100*v.BackwardFilterAll/r.Peak/float64(r.Threads),
			ratio(v.OverBuiltinForward), ratio(v.OverBuiltinTraining))
		if torch {
			row += fmt.Sprintf(" %s / %s / %s | %s / %s / %s |", ratio(v.OverPyTorch[0]), ratio(v.OverPyTorch[1]), ratio(v.OverPyTorch[2]),
				ratio(v.OverPyTorchAll[0]), ratio(v.OverPyTorchAll[1]), ratio(v.OverPyTorchAll[2]))
		}
		fmt.Fprintln(t, tabs(row))
		if v.Winograd > 0 {
			row := fmt.Sprintf("| … with Winograd | - | %.0f | - | - | %.0f | - | - | - |", v.Winograd, 100*v.Winograd/r.Peak)
			if torch {
				row += " - | - |"
			}
			fmt.Fprintln(t, tabs(row))
		}
	}
	t.Flush()
	fmt.Fprintf(c, "\nA training step of examples/convnet (forward, backward, RMSProp; batch 100, dropout):\n\n")
	fmt.Fprintln(t, tabs("| | ms, all threads | ms, one thread | MB allocated | objects | MB held |"))
	fmt.Fprintln(t, tabs("| --- | ---: | ---: | ---: | ---: | ---: |"))
	for _, s := range r.Steps {
		one, held := "-", "-"
		if s.SecondsOne > 0 {
			one, held = fmt.Sprintf("%.1f", 1e3*s.SecondsOne), fmt.Sprintf("%.0f", float64(s.PeakBytes)/1e6)
		}
		fmt.Fprintln(t, tabs(fmt.Sprintf("| %s | %.1f | %s | %.3f | %.0f | %s |", s.Name, 1e3*s.Seconds, one, s.Bytes/1e6, s.Objects, held)))
	}
	t.Flush()
	fmt.Fprintf(c, "\nThe built-ins take %.1f times as long; we allocate %.2f %% of their bytes; all threads are %.2f times as fast as one.\n\n", r.StepOverBuiltin, 100*r.StepBytesShare, r.StepScaling)
	fmt.Fprintln(t, tabs("| kernel | size | one thread | all threads | unit | peer | × peer |"))
	fmt.Fprintln(t, tabs("| --- | --- | ---: | ---: | --- | --- | ---: |"))
	for _, p := range r.Parts {
		fmt.Fprintln(t, tabs(fmt.Sprintf("| %s | %s | %.0f | %.0f | %s | %s | %s |", p.Name, p.Size, p.Rate, p.RateAll, p.Unit, p.Peer, ratio(p.OverPeer))))
	}
	t.Flush()
	return c.n, c.err
}
