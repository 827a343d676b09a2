package vm

import (
	"slices"

	G "gorgonia.org/gorgonia"
)

// arrange keeps images between ops that can read and write them so with their channels last, the
// order in which convolutions need not transpose. Nobody sees them: outputs are not among them.
func (m *Machine) arrange() {
	last := make([]bool, len(m.steps)) // the step's value has its channels last
	for i := range m.steps {
		s := &m.steps[i]
		_, ok := s.op.(arranged)
		last[i] = ok && s.node.Dims() == 4 && !slices.Contains(m.outputs, s.node)
	}
	ops := make([]G.Op, len(m.steps))
	for changed := true; changed; {
		changed = false
		for i := range m.steps {
			s := &m.steps[i]
			in := make([]bool, len(s.args))
			for j, a := range s.args {
				in[j] = a.step >= 0 && last[a.step]
			}
			if ops[i] = nil; !last[i] && !slices.Contains(in, true) {
				continue
			}
			if a, ok := s.op.(arranged); ok {
				if op, ok := a.ChannelsLast(s.node.Dtype(), in, last[i]); ok {
					ops[i] = op
					continue
				}
			}
			last[i], changed = false, true
			for _, a := range s.args {
				if a.step >= 0 {
					last[a.step] = false
				}
			}
		}
	}
	for i, op := range ops {
		if op != nil {
			m.steps[i].op = op
		}
	}
}
