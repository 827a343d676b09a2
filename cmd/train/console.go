package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/convgrad/convgrad/model"
	"github.com/convgrad/convgrad/train"
)

// A console shows how a run goes: a bar on a terminal, a line now and then elsewhere, lines of
// JSON, or nothing.
type console struct {
	out      *output
	terminal *os.File // nil if there is none
	job      *job
	last     time.Time
	began    time.Time // of this process's first step
	first    int       // its number
	progress *mpb.Progress
	bar      *mpb.Bar
	text     atomic.Pointer[string] // beside the bar, which is drawn in another goroutine
}

func (j *job) console(out *output, stdout *os.File) *console {
	c := &console{out: out, job: j}
	// A terminal that does not know its size shows no bar.
	if w, h, err := term.GetSize(int(stdout.Fd())); err == nil && w > 0 && h > 0 && !j.quiet && !j.asLines {
		c.terminal = stdout
	}
	return c
}

// say prints what is for people.
func (c *console) say(format string, args ...any) {
	if !c.job.quiet && !c.job.asLines {
		fmt.Fprintf(c.out, format, args...)
	}
}

// line prints a value as a line of JSON, if that is what is wanted.
func (c *console) line(event string, v any) {
	if !c.job.asLines {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(err.Error())
	}
	fmt.Fprintf(c.out, "{\"event\":%q,\"of\":%s}\n", event, b)
}

// step is the trainer's OnStep.
func (c *console) step(m train.Moment) error {
	now := time.Now()
	if c.began.IsZero() {
		c.began, c.last, c.first = now, now, m.Step
	}
	every := c.job.logEvery
	due := now.Sub(c.last) >= 5*time.Second
	if c.terminal != nil {
		due = now.Sub(c.last) >= 100*time.Millisecond
	}
	if every > 0 && c.terminal == nil {
		due = (m.Step+1)%every == 0
	}
	if !due {
		return nil
	}
	c.last = now
	speed := float64(m.Samples) / max(m.Seconds, 1e-9)
	text := fmt.Sprintf("loss %.4f, lr %.2g, %.0f images/s", m.Loss, m.Rate, speed)
	if m.Waited >= 0.005 {
		text += fmt.Sprintf(", waited for data %.0f %%", 100*m.Waited)
	}
	if done := m.Step + 1 - c.first; done > 1 {
		left := now.Sub(c.began) / time.Duration(done-1) * time.Duration(m.Steps-m.Step-1)
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	c.text.Store(&text)
	if c.terminal != nil {
		c.show(m)
		return nil
	}
	c.say("epoch %d: %d of %d images, %s\n", m.Epoch, m.Samples, m.Total, text)
	c.line("step", map[string]any{"epoch": m.Epoch, "step": m.Step + 1, "steps": m.Steps, "loss": m.Loss, "lr": m.Rate, "images_per_second": speed, "waited": m.Waited})
	return nil
}

// show moves the bar of an epoch.
func (c *console) show(m train.Moment) {
	if c.bar == nil {
		c.progress = mpb.New(mpb.WithOutput(c.terminal), mpb.WithWidth(24))
		c.bar = c.progress.AddBar(int64(m.Total), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("epoch %d/%d ", m.Epoch, c.job.Epochs))),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + *c.text.Load() })))
	}
	c.bar.SetCurrent(int64(m.Samples))
}

// clear takes the bar away.
func (c *console) clear() {
	if c.bar != nil {
		c.bar.Abort(true)
		c.progress.Wait()
		c.bar, c.progress = nil, nil
	}
}

// epoch is the trainer's OnEpoch.
func (c *console) epoch(e train.Epoch, _ *model.Network) error {
	c.clear()
	c.say("epoch %d: loss %.4f, accuracy %.2f %%; test loss %.4f, test accuracy %.2f %%; %.1f s, %.0f images/s, waited for data %.1f %%\n",
		e.Epoch, e.Loss, 100*e.Accuracy, e.TestLoss, 100*e.TestAccuracy, e.Seconds, e.ImagesPerSec, 100*e.Waited)
	c.line("epoch", e)
	return nil
}

// result says how a run ended.
func (c *console) result(r *train.Result) {
	c.line("end", map[string]any{
		"dir": r.Dir, "steps": r.Steps, "epochs": len(r.Epochs), "best_epoch": r.Best, "test_accuracy": r.Accuracy(),
		"interrupted": r.Interrupted, "limit": r.Limit, "stuck": r.Stuck,
	})
	if r.Interrupted {
		c.say("\ninterrupted after %d steps\nweights of the last step in %s\n", r.Steps, filepath.Join(r.Dir, train.WeightsFile))
		return
	}
	if r.Limit != "" {
		c.say("\nended early: %s\n", r.Limit)
	}
	if n := len(r.Epochs); r.Best > 0 && r.Best < n {
		c.say("\nepoch %d was better, %.2f %%: see %s\n", r.Best, 100*r.Epochs[r.Best-1].TestAccuracy, train.BestFile)
	}
	c.say("\ntest accuracy %.2f %%\nweights, metrics and report.html in %s\n", 100*r.Accuracy(), r.Dir)
}
