package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fakePython makes a PATH whose only python3 runs the given shell script.
func fakePython(t *testing.T, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs /bin/sh")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "python3")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestThePythonOfPATHIsAsked(t *testing.T) {
	fakePython(t, `echo '{"Name": "9.9", "Python": "3.99", "Path": "/somewhere/python3"}'
while read -r question; do echo '{"Seconds": 0.25}'; done`)
	p, err := newPeer(pytorchScript)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if got, want := p.String(), "9.9, Python 3.99 at /somewhere/python3"; got != want {
		t.Errorf("the peer is %q, want %q", got, want)
	}
	d, err := p.ask(question{What: "step", Size: []int{1}, Threads: 1})
	if err != nil || d.Seconds() != 0.25 {
		t.Errorf("ask: %v, %v, want 250ms", d, err)
	}
}

// Each way in which a peer can be absent is an error of one line that says why.
func TestAbsentPeers(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"no library": {`echo '{"Missing": "No module named torch"}'`, "No module named torch"},
		"a crash":    {"echo one >&2; echo two >&2; exit 1", "two"},
		"no answer":  {"echo nonsense", "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			fakePython(t, c.script)
			p, err := newPeer(pytorchScript)
			if err == nil {
				p.close()
				t.Fatal("no error")
			}
			if s := err.Error(); !strings.Contains(s, c.want) || strings.Contains(s, "\n") {
				t.Errorf("the error is %q, want one line that contains %q", s, c.want)
			}
		})
	}
	t.Run("no python3", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := newPeer(pytorchScript); err == nil || !strings.Contains(err.Error(), "PATH") {
			t.Errorf("the error is %v, want one about PATH", err)
		}
	})
}

// The scripts answer every kind of question, where python3 has the libraries. With
// CONVGRAD_PYTORCH=1 they have to be there.
func TestPeersAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PyTorch")
	}
	for name, c := range map[string]struct {
		script    string
		questions []question
	}{
		"PyTorch": {pytorchScript, []question{
			{What: "convolution", Size: []int{1, 2, 5, 5, 2, 3, 1, 1, 1}, Which: 2, Threads: 1, CPU: true},
			{What: "convolution", Size: []int{1, 2, 5, 5, 2, 3, 1, 1, 1}, ChannelsLast: true, Threads: 2},
			{What: "map", Size: []int{1, 2, 4, 4}, Which: 3, Threads: 1},
			{What: "step", Size: []int{2}, Threads: 1},
			{What: "op", Expression: "F.l1_loss(y, t)", Which: 1, Threads: 1,
				Operands: []operandOf{{Name: "y", Shape: []int{2, 3}}, {Name: "t", Shape: []int{2, 3}}}},
		}},
		"OpenBLAS": {openblasScript, []question{{Size: []int{3, 4, 5}, Threads: 1, CPU: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPeer(c.script)
			if err != nil {
				if os.Getenv("CONVGRAD_PYTORCH") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			defer p.close()
			t.Log(p)
			for _, q := range c.questions {
				if d, err := p.ask(q); err != nil || d <= 0 {
					t.Errorf("%+v: %v, %v, want a time", q, d, err)
				}
			}
		})
	}
}
