//go:build unix

package train

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pkg/errors"
)

// killed is set in the environment of a process that is to be killed: the directory of its run.
const killed = "CONVGRAD_TEST_KILLED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killed); dir != "" {
		if err := victim(dir); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killedTrainer is the trainer of the processes that are killed: one with dropout, moments, a
// moving average, augmentation and mixup, that joins batches and saves in the middle of epochs.
func killedTrainer(dir string) (*Trainer, error) {
	training, test, err := openDigits(80, 30)
	if err != nil {
		return nil, err
	}
	c := config()
	c.Model, c.Epochs, c.Batch = "convnet", 3, 4
	c.Accumulate, c.Average, c.Mixup, c.Clip, c.Schedule, c.Smoothing = 2, 0.9, 0.4, 5, "plateau", 0.1
	c.Flip, c.Crop, c.Shift, c.Rotate = true, 2, 1.5, 10
	t, err := c.Trainer(training, test)
	if err == nil {
		t.Dir, t.SaveEvery, t.Keep, t.Workers = dir, 3, 2, 3
	}
	return t, err
}

// victim begins a run, or goes on with it.
func victim(dir string) error {
	t, err := killedTrainer(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, CheckpointFile)); err == nil {
		_, err = t.Resume(context.Background())
		return err
	}
	// What is left of a run that was killed before it had saved anything is cleaned up.
	_, err = t.Run(context.Background())
	return err
}

// TestKilledRuns kills processes at random moments, while they save too, and lets another go on
// each time. The last ends with the bytes of a run that was left alone, and nothing else.
func TestKilledRuns(t *testing.T) {
	kills := 6
	if testing.Short() {
		kills = 2
	}
	if n, err := strconv.Atoi(os.Getenv("CONVGRAD_KILLS")); err == nil { // for a longer trial
		kills = n
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "run")
	start := time.Now()
	if err := victim(whole); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	const seed = 5
	t.Logf("seed %d; a whole run takes %v", seed, took)
	r := rand.New(rand.NewPCG(seed, 0))
	dir, ended, saving := filepath.Join(t.TempDir(), "run"), 0, 0
	for done := 0; done < kills; {
		c := exec.Command(self)
		c.Env = append(os.Environ(), killed+"="+dir)
		var says bytes.Buffer
		c.Stderr = &says
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(r.Int64N(int64(took))), func() { _ = c.Process.Kill() })
		err := c.Wait()
		var exit *exec.ExitError
		switch {
		case err == nil: // it was faster: the next begins anew
			ended++
			compare(t, dir, whole)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		case errors.As(err, &exit) && exit.ExitCode() < 0:
			done++
			if left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp")); len(left) > 0 {
				saving++
			}
		default:
			t.Fatalf("after %d kills: %v: %s", done, err, says.String())
		}
	}
	t.Logf("%d kills, %d in the middle of a save; %d runs ended between them", kills, saving, ended)
	if err := victim(dir); err != nil {
		t.Fatal(err)
	}
	compare(t, dir, whole)
}

// compare wants the files of two runs to be the same; seconds differ, and are in two of them.
func compare(t *testing.T, dir, whole string) {
	t.Helper()
	a, b := names(t, dir), names(t, whole)
	for _, name := range []string{WeightsFile, BestFile} {
		if !bytes.Equal(file(t, dir, name), file(t, whole, name)) || len(a) != len(b) {
			t.Errorf("%s differs, or the files: %v, want %v", name, a, b)
		}
	}
	if n, want := bytes.Count(file(t, dir, MetricsFile), []byte("\n")), bytes.Count(file(t, whole, MetricsFile), []byte("\n")); n != want {
		t.Errorf("%d lines of metrics, want %d", n, want)
	}
	if !bytes.Equal(tensors(t, dir), tensors(t, whole)) {
		t.Error("the moments differ")
	}
}

// tensors are the numbers in a checkpoint, which come after the header.
func tensors(t *testing.T, dir string) []byte {
	t.Helper()
	b := file(t, dir, CheckpointFile)
	var length uint64
	for i := 7; i >= 0; i-- {
		length = length<<8 | uint64(b[i])
	}
	return b[8+length:]
}
