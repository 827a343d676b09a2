package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/convgrad/convgrad/internal/kernel"
)

// Options say what to measure.
type Options struct {
	Quick   bool // a few shapes, briefly
	PyTorch bool // beside PyTorch and OpenBLAS, where python3 has them
	// Only is the parts to measure, of Parts; none stands for all.
	Only []string
}

// A Report is a run of the benchmark.
type Report struct {
	CPU      string
	Go       string
	Tier     string
	Threads  int
	Peak     float64 // of one core, in 10⁹ operations a second, float32
	Torch    string  `json:",omitempty"` // PyTorch's version
	OpenBLAS string  `json:",omitempty"` // the processor core that OpenBLAS is tuned for

	// Python and PythonPath are the version and the interpreter that ran PyTorch.
	Python, PythonPath string `json:",omitempty"`

	Quick bool
	Only  []string `json:",omitempty"` // the parts that were asked for, if not all

	Convs    []ConvResult
	Tiers    []TierResult
	Products []ProductResult
	Parts    []PartResult
	Ops      []OpResult
	Graphs   []GraphResult
	Networks []NetworkResult
	Steps    []StepResult // ours, ours with Winograd, the built-ins, then PyTorch's
	Targets  []Target
	Losses   []Loss
	Seconds  float64 // that the run took
}

// Measured are the parts of a run that can be asked for by themselves.
func Measured() []string {
	return []string{"convolution", "products", "maps", "ops", "step", "networks", "tiers", "graphs"}
}

// wants says whether a part is to be measured. Of "ops:NAME" only that op is.
func (o Options) wants(part string) bool {
	return len(o.Only) == 0 || slices.ContainsFunc(o.Only, func(s string) bool {
		return s == part || strings.HasPrefix(s, part+":")
	})
}

// wantsOne says whether one of a part's names is to be measured.
func (o Options) wantsOne(part, name string) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, part) || slices.Contains(o.Only, part+":"+name)
}

// Run measures and writes what it is doing to progress.
func Run(o Options, progress io.Writer) (*Report, error) {
	begin := time.Now()
	say := func(format string, a ...any) {
		fmt.Fprintf(progress, "%4.0f s  "+format+"\n", append([]any{time.Since(begin).Seconds()}, a...)...)
	}
	tier := kernel.CurrentTier()
	r := &Report{CPU: cpuName(), Go: runtime.Version(), Tier: tier.String(), Threads: kernel.Threads(), Quick: o.Quick, Only: o.Only}
	for range 3 {
		r.Peak = max(r.Peak, kernel.Peak(tier, true))
	}
	b := Budget{300 * time.Millisecond, 3, 5}
	slow := Budget{100 * time.Millisecond, 3, 1} // for what peers do slowly
	ops := Budget{60 * time.Millisecond, 3, 3}
	steps := Budget{2 * time.Second, 3, 5}
	shapes := Shapes
	if o.Quick {
		b, slow, ops, steps = Budget{30 * time.Millisecond, 3, 2}, Budget{0, 2, 1}, Budget{0, 2, 1}, Budget{0, 3, 2}
		shapes = []Shape{Shapes[0], Shapes[3], Shapes[10]}
	}
	var torch, openblas *peer
	if o.PyTorch {
		say("starting PyTorch and OpenBLAS")
		var err error
		if torch, err = newPeer(pytorchScript); err != nil {
			say("PyTorch is not measured: %v", err)
		} else {
			r.Torch, r.Python, r.PythonPath = torch.Name, torch.Python, torch.Path
			say("PyTorch %v", torch)
		}
		if openblas, err = newPeer(openblasScript); err != nil {
			say("OpenBLAS is not measured: %v", err)
		} else {
			r.OpenBLAS = openblas.Name
			say("OpenBLAS, tuned for %v", openblas)
		}
		defer torch.close()
		defer openblas.close()
	}
	if !o.wants("convolution") {
		shapes = nil
	}
	for _, s := range shapes {
		say("convolution %v: %s", s, s.Name)
		c, err := Conv(s, b, torch)
		if err != nil {
			return nil, err
		}
		r.Convs = append(r.Convs, c)
	}
	for _, part := range []struct {
		name, text string
		measure    func() error
	}{
		{"products", "matrix products", func() (err error) {
			r.Products, err = Products(b, o.Quick, openblas)
			return err
		}},
		{"maps", "pooling, activation", func() (err error) {
			r.Parts, err = Maps(b, torch)
			return err
		}},
		{"ops", "registered ops", func() (err error) {
			r.Ops, err = Registered(ops, o, torch)
			return err
		}},
		{"step", "a training step of convnet", func() (err error) {
			r.Steps, err = Steps(stepBatch, steps, torch)
			return err
		}},
		{"networks", "networks", func() (err error) {
			r.Networks, err = Networks(steps, o, torch, say)
			return err
		}},
		{"tiers", "other tiers and float64", func() (err error) {
			r.Tiers, err = Tiers(b, o.Quick)
			return err
		}},
		{"graphs", "ops in graphs of Gorgonia's, beside its own", func() (err error) {
			r.Graphs, err = Graphs(slow, o.Quick)
			return err
		}},
	} {
		if !o.wants(part.name) {
			continue
		}
		say("%s", part.text)
		if err := part.measure(); err != nil {
			return nil, err
		}
	}
	r.Targets, r.Losses = r.targets(), r.losses()
	r.Seconds = time.Since(begin).Seconds()
	return r, nil
}

func percent(share float64) string {
	if share == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", 100*share)
}

func each(v Rates, f func(float64) string) string {
	if v == (Rates{}) {
		return "–"
	}
	return f(v[0]) + " / " + f(v[1]) + " / " + f(v[2])
}

// Sections are the parts of a report, by the names of their markers in a document.
func Sections() []string {
	return []string{"machine", "convolution", "winograd", "tiers", "products", "maps", "ops", "step",
		"networks", "graphs", "targets", "losses", "summary"}
}

var titles = map[string]string{
	"machine":     "",
	"targets":     "What was to be reached",
	"convolution": "Convolution, float32: forward / backward-data / backward-filter",
	"winograd":    "3×3 with Winograd, one thread: forward / backward-data; rates count the multiply-adds of the direct sum",
	"tiers":       "Other tiers and float64, one thread",
	"products":    "Matrix product, float32",
	"maps":        "Pooling, activation, their gradients, float32",
	"ops":         "Registered ops, float32, all threads",
	"step":        "A training step of Gorgonia's examples/convnet: forward, backward, RMSProp; batch 100, dropout",
	"networks":    "Networks, float32, all threads: a training step (SGD with momentum), and evaluation",
	"graphs":      "Ops of ours in the place of Gorgonia's, in a graph of a user's under TapeMachine",
	"losses":      "Where a peer is faster",
	"summary":     "In short",
}

// has says whether the run measured a section. Of a run of some parts the sections that sum up
// are not made, but for the losses.
func (r *Report) has(section string) bool {
	o := Options{Only: r.Only}
	switch section {
	case "machine", "losses":
		return true
	case "targets", "summary":
		return len(r.Only) == 0
	case "winograd":
		return o.wants("convolution")
	}
	return o.wants(section)
}

// Section is one part as Markdown: a table that reads as text too.
func (r *Report) Section(name string) string {
	var rows [][]string
	add := func(cells ...string) { rows = append(rows, cells) }
	f0 := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	switch name {
	case "summary":
		return r.summary()
	case "machine":
		s := fmt.Sprintf("%s, %s, %s kernels, %d threads; the measured peak of one core is %.0f GFLOP/s (float32)", r.CPU, r.Go, r.Tier, r.Threads, r.Peak)
		if r.Torch != "" {
			s += "; PyTorch " + r.Torch + " (Python " + r.Python + "), its allocator's thresholds raised"
		}
		if r.OpenBLAS != "" {
			s += "; OpenBLAS on its " + r.OpenBLAS + " core"
		}
		return s + ". All take turns, five rounds, and each ratio is the median of the rounds'; shares of the peak are of bursts at the peak between calls. One thread: median processor time; all threads: 10th percentile of elapsed time; graphs: the least. × is the peer's time over ours, and **bold** where ours is longer.\n"
	case "targets":
		add("what", "measure", "to reach", "got", "least at")
		for _, t := range r.Targets {
			got := t.format(t.Got)
			if !t.Met {
				got = "**" + got + "**"
			}
			if !t.Measured {
				got = "not measured"
			}
			add(t.What, t.Measure, t.sign()+" "+t.format(t.Reach), got, t.At)
		}
		return table(rows)
	case "convolution":
		add("layer", "N,C,H,W,K,R,pad,stride,groups", "GFLOP/s, one thread", "% of peak", "% of peak, all threads", "× PyTorch, one thread", "all", "all, channels last")
		for _, c := range r.Convs {
			add(c.Name, c.Shape, each(c.One, f0), each(c.OfPeak, percent), each(c.OfPeakAll, percent),
				each(c.OverPyTorch, ratio), each(c.OverPyTorchAll, ratio), each(c.OverPyTorchBest, ratio))
		}
	case "winograd":
		add("layer", "GFLOP/s", "% of the direct peak", "× PyTorch")
		for _, c := range r.Convs {
			if w := c.Winograd; w[0] > 0 {
				p := c.OverPyTorchWinograd
				add(c.Name, f0(w[0])+" / "+f0(w[1]), percent(c.WinogradOfPeak[0])+" / "+percent(c.WinogradOfPeak[1]), ratio(p[0])+" / "+ratio(p[1]))
			}
		}
	case "tiers":
		add("tier", "type", "shape", "GFLOP/s", "% of its peak")
		for _, t := range r.Tiers {
			add(t.Tier, t.Dtype, t.Shape, each(t.One, f0), each(t.OfPeak, percent))
		}
	case "products":
		add("size", "GFLOP/s, one thread", "% of peak", "all threads", "× OpenBLAS, one thread", "all", "× gonum, processor time")
		for _, p := range r.Products {
			add(p.Size(), f0(p.One), percent(p.OfPeak), f0(p.All), ratio(p.OverOpenBLAS), ratio(p.OverOpenBLASAll), ratio(p.OverGonum))
		}
	case "maps":
		add("kernel", "N C H W", "GB/s, one thread", "all threads", "× plain Go loop", "× PyTorch, one thread", "all")
		for _, p := range r.Parts {
			add(p.Name, p.Size, f0(p.One), f0(p.All), ratio(p.OverLoop), ratio(p.OverPyTorch), ratio(p.OverPyTorchAll))
		}
	case "ops":
		add("op", "call", "operands", "ms", "with gradients", "× PyTorch", "with gradients")
		for _, p := range r.Ops {
			add(p.Name, p.Call, p.Size, fmt.Sprintf("%.3f", 1e3*p.Forward), fmt.Sprintf("%.3f", 1e3*p.Training),
				ratio(p.OverPyTorch), ratio(p.OverPyTorchTraining))
		}
	case "step":
		add("", "ms, all threads", "ms, one thread", "× as long as ours", "MB allocated", "objects allocated", "MB held for intermediates")
		for _, s := range r.Steps {
			one, bytes, objects, held := "–", "–", "–", "–"
			if s.SecondsOne > 0 {
				one = fmt.Sprintf("%.1f", 1e3*s.SecondsOne)
			}
			if s.Objects > 0 {
				bytes, objects = fmt.Sprintf("%.3f", s.Bytes/1e6), f0(s.Objects)
			}
			if s.PeakBytes > 0 {
				held = f0(float64(s.PeakBytes) / 1e6)
			}
			add(s.Name, fmt.Sprintf("%.1f", 1e3*s.Seconds), one, fmt.Sprintf("%.2f", s.TimesOurs), bytes, objects, held)
		}
	case "networks":
		add("network", "ms", "Winograd", "MB allocated", "× PyTorch", "channels last", "torch.compile", "onnxruntime", "× best", "Winograd × best")
		for _, n := range r.Networks {
			add(n.Name, fmt.Sprintf("%.1f", 1e3*n.Seconds), fmt.Sprintf("%.1f", 1e3*n.WinogradSeconds), fmt.Sprintf("%.3f", n.Bytes/1e6),
				ratio(n.OverEager), ratio(n.OverLast), ratio(n.OverCompiled), ratio(n.OverONNX), ratio(n.OverBest), ratio(n.WinogradOverBest))
		}
	case "graphs":
		add("op", "size", "× built-in, output", "with gradients", "generic tier, output", "with gradients")
		for _, g := range r.Graphs {
			add(g.Name, g.Size, ratio(g.Forward), ratio(g.Training), ratio(g.GenericForward), ratio(g.GenericTraining))
		}
	case "losses":
		if len(r.Losses) == 0 {
			return "Nowhere in this run.\n"
		}
		add("what", "beside", "× peer")
		for _, l := range r.Losses {
			add(l.What, l.Peer, ratio(l.Ratio))
		}
	}
	return table(rows)
}

// table writes the rows as a Markdown table, the first being its head.
func table(rows [][]string) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	for i, row := range rows {
		fmt.Fprintln(t, "| "+strings.Join(row, "\t | ")+"\t |")
		if i == 0 {
			fmt.Fprintln(t, strings.Repeat("| ---\t ", len(row))+"|")
		}
	}
	t.Flush()
	return b.String()
}

// WriteTo writes all sections.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, s := range Sections() {
		if !r.has(s) {
			continue
		}
		if titles[s] != "" {
			fmt.Fprintf(&b, "\n%s\n\n", titles[s])
		}
		b.WriteString(r.Section(s))
	}
	fmt.Fprintf(&b, "\nThe run took %.0f s.\n", r.Seconds)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Fill returns the document with this report's sections between the markers <!-- bench:NAME --> and
// <!-- /bench:NAME -->.
func (r *Report) Fill(document string) (string, error) {
	for _, s := range Sections() {
		if !r.has(s) || len(r.Only) > 0 && (s == "machine" || s == "losses") {
			continue // what a whole run wrote there stays
		}
		from, to := "<!-- bench:"+s+" -->", "<!-- /bench:"+s+" -->"
		before, rest, ok := strings.Cut(document, from)
		if !ok {
			continue
		}
		_, after, ok := strings.Cut(rest, to)
		if !ok {
			return "", fmt.Errorf("bench: %s is not closed by %s", from, to)
		}
		document = before + from + "\n" + r.Section(s) + to + after
	}
	return document, nil
}
