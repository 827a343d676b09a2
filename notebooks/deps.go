// Package notebooks is the article "Backpropagation In Convolutional Neural Networks" as Jupyter
// notebooks for the GoNB kernel. The sources are src/*.md, run.sh makes the notebooks of them and
// executes them; see README.md.
package notebooks

// What the cells import, so that go.mod keeps it.
import (
	_ "github.com/janpfeifer/gonb/gonbui"
	_ "gorgonia.org/gorgonia"
	_ "gorgonia.org/tensor"

	_ "github.com/convgrad/convgrad/model"
	_ "github.com/convgrad/convgrad/ops"
	_ "github.com/convgrad/convgrad/verify"
	_ "github.com/convgrad/convgrad/verify/article"
)
