package model

import (
	"slices"
	"strconv"
	"strings"

	"github.com/convgrad/convgrad/internal/onnx"
)

// mostCopied bounds the bytes that unshare copies: far above any network's running statistics.
const mostCopied = 1 << 26

// unshare gives batch norms running statistics of their own. Exporters write equal initializers
// once: in a network that was never trained, a running mean is a bias too.
func (l *onnxLayer) unshare() {
	initializers, uses, taken := map[string]*onnx.Tensor{}, map[string]int{}, map[string]bool{}
	for _, t := range l.graph.Initializers {
		initializers[t.Name], taken[t.Name] = t, true
	}
	for _, n := range l.graph.Nodes {
		for _, name := range n.Outputs {
			taken[name] = true
		}
		if n.Op == "Identity" && n.Domain == "" && len(n.Inputs) == 1 && len(n.Outputs) == 1 && initializers[n.Inputs[0]] != nil {
			initializers[n.Outputs[0]] = initializers[n.Inputs[0]] // the same under another name
			continue
		}
		for _, name := range n.Inputs {
			if t := initializers[name]; t != nil {
				uses[t.Name]++
			}
		}
	}
	left := mostCopied
	for _, n := range l.graph.Nodes {
		if n.Op != "BatchNormalization" || n.Domain != "" || len(n.Inputs) != 5 {
			continue
		}
		scope := strings.TrimSuffix(n.Inputs[1], ".weight")
		for i, name := range []string{".running_mean", ".running_var"} {
			t := initializers[n.Inputs[3+i]]
			if t == nil || uses[t.Name] < 2 || len(t.Raw) > left {
				continue
			}
			own := *t
			own.Name = unique(taken, scope+name)
			left -= len(t.Raw)
			n.Inputs[3+i] = own.Name
			l.graph.Initializers = append(l.graph.Initializers, &own)
		}
	}
}

// name gives weights and nodes their places in the network.
func (l *onnxLayer) name() {
	taken := map[string]bool{}
	paths := map[string]*onnx.Tensor{}
	for _, t := range l.graph.Initializers {
		if t.Type.IsFloat() && len(t.Dims) > 0 {
			path := unique(taken, cleanName(t.Name, "weight"))
			paths[t.Name] = t
			l.names[t] = weightName{path: path}
		}
	}
	owned := map[*onnx.Tensor]bool{}
	for _, n := range l.graph.Nodes {
		scope, own := "", []*onnx.Tensor(nil)
		for _, name := range n.Inputs {
			t := paths[name]
			if t == nil || owned[t] || slices.Contains(own, t) {
				continue
			}
			own = append(own, t)
			dot := strings.LastIndex(l.names[t].path, ".")
			switch prefix := l.names[t].path[:max(dot, 0)]; {
			case len(own) == 1:
				scope = prefix
			case scope != prefix:
				scope = ""
			}
		}
		if scope != "" && taken[scope] {
			scope = ""
		}
		for _, t := range own {
			owned[t] = true
			if path := l.names[t].path; scope != "" {
				l.names[t] = weightName{path, scope, path[len(scope)+1:]}
			}
		}
		if scope == "" {
			name := n.Name
			if name == "" && len(n.Outputs) > 0 {
				name = n.Outputs[0]
			}
			scope = cleanName(name, n.Op)
		}
		l.scopes[n] = unique(taken, scope)
	}
}

// unique marks a name as taken, with a number behind it if another took it.
func unique(taken map[string]bool, name string) string {
	to := name
	for i := 2; taken[to]; i++ {
		to = name + "_" + strconv.Itoa(i)
	}
	taken[to] = true
	return to
}

// cleanName makes a name one that weights and layers may have: see checkName.
func cleanName(name, otherwise string) string {
	const most = maxName / 2
	name = strings.ToValidUTF8(name, "_")
	name = strings.Map(func(r rune) rune {
		if checkName(string(r)) != nil && r != '.' {
			return '_'
		}
		return r
	}, name)
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	name = strings.Trim(name, ".")
	if len(name) > most {
		name = strings.Trim(strings.ToValidUTF8(name[:most], ""), ".")
	}
	if strings.HasPrefix(name, "__") {
		name = "w" + name
	}
	if checkName(name) != nil {
		return "the_" + strings.Map(func(r rune) rune {
			if r < '0' || r > 'z' || r > '9' && r < 'A' {
				return -1
			}
			return r
		}, otherwise)
	}
	return name
}
