//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/convgrad/convgrad/train"
)

// child is set in the environment of a process that is the command itself.
const child = "CONVGRAD_TEST_TRAIN"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is the command in a process of its own, in an empty directory.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), child+"=1")
	c.Dir = t.TempDir()
	return c
}

// status is a command's exit code, −1 if a signal ended it.
func status(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return -2
	}
	return 0
}

// TestSignals: an interrupt, SIGTERM, SIGHUP and a closed pipe finish the step, save, and exit 130.
func TestSignals(t *testing.T) {
	for name, s := range map[string]os.Signal{"interrupt": os.Interrupt, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP, "closed pipe": nil} {
		if s == syscall.SIGHUP && signal.Ignored(syscall.SIGHUP) {
			t.Log("these tests run under nohup, whose children ignore SIGHUP")
			continue
		}
		c := command(t, append(tiny(t), "-out", "run", "-epochs", "100000")...)
		var errs strings.Builder
		c.Stderr = &errs
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for { // an epoch has been made by then
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: the output ended (%v): %s", name, err, errs.String())
			}
			if strings.HasPrefix(line, "epoch 1: loss") {
				break
			}
		}
		if s == nil {
			out.Close()
		} else if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(lines)
		if got := status(c.Wait()); got != exitSignal || errs.Len() > 0 {
			t.Errorf("%s: exit code %d, %q, want %d", name, got, errs.String(), exitSignal)
		}
		if s != nil && !strings.Contains(string(rest), "interrupted after") {
			t.Errorf("%s: it said %q, want that it was interrupted", name, rest)
		}
		if _, err := train.Open(filepath.Join(c.Dir, "run")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFullOutput: a run whose output cannot be written is made all the same, and says so at the
// end.
func TestFullOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	c := command(t, append(tiny(t), "-out", "run", "-epochs", "5")...)
	var errs strings.Builder
	c.Stdout, c.Stderr = full, &errs
	if got := status(c.Run()); got != exitFailed || !strings.Contains(errs.String(), "no space left on device; weights and metrics are in run") {
		t.Errorf("exit code %d, %q, want %d and where the weights are", got, errs.String(), exitFailed)
	}
	if _, err := train.Open(filepath.Join(c.Dir, "run")); err != nil {
		t.Error(err)
	}
}

// TestKilled: what a killed process leaves in runs is cleaned when the next run starts there.
func TestKilled(t *testing.T) {
	c := command(t, append(tiny(t), "-epochs", "5")...)
	dead := filepath.Join(c.Dir, runsLocation, "dead")
	if err := os.MkdirAll(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{train.ConfigFile, ".weights.safetensors.4711", ".checkpoint.safetensors.tmp"} {
		if err := os.WriteFile(filepath.Join(dead, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(dead, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
	if _, err := os.Stat(filepath.Join(dead, train.ConfigFile)); errors.Is(err, fs.ErrNotExist) {
		t.Error("it removed a file that is not temporary")
	}
}

// TestServeProcess: the server says where it is, answers, and ends with 0 on SIGTERM.
func TestServeProcess(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	if status, _, errs := execute(t, append(tiny(t), "-epochs", "1", "-lr", "0.05", "-out", run)...); status != 0 {
		t.Fatalf("status %d, %q", status, errs)
	}
	c := command(t, "serve", run, "-addr", "127.0.0.1:0")
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	if err != nil || url == "" {
		t.Fatalf("%q, %v, %s", line, err, errs.String())
	}
	pixels := "[" + strings.TrimSuffix(strings.Repeat("7,", 64), ",") + "]"
	res, err := http.Post(url+"/predict?top=1", "application/json", strings.NewReader(`{"pixels":`+pixels+`}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(string(b), `{"results":[{"predictions":[{"class":"`) {
		t.Errorf("code %d, %q, %v", res.StatusCode, b, err)
	}
	http.DefaultClient.CloseIdleConnections()
	taken := command(t, "serve", run, "-addr", strings.TrimPrefix(url, "http://"))
	if said, err := taken.CombinedOutput(); status(err) != exitFailed || !strings.Contains(string(said), "address already in use") {
		t.Errorf("a second server at the address: status %d, %q", status(err), said)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if got := status(c.Wait()); got != 0 || !strings.Contains(string(rest), "all requests were answered") || errs.Len() > 0 {
		t.Errorf("SIGTERM: status %d, %q, %q", got, rest, errs.String())
	}
}
