// Package ops holds the Gorgonia ops of a convolutional network, each with its hand-written derivative rule under it.
package ops

import (
	_ "go4.org/unsafe/assume-no-moving-gc" // Gorgonia panics at start on a current Go without this version
	_ "gorgonia.org/gorgonia"
	_ "gorgonia.org/tensor"
)
