//go:build js && wasm

// Command wasm is the page's engine: it gives the page's script two functions. It draws nothing.
package main

import (
	"runtime/debug"
	"syscall/js"

	"github.com/convgrad/convgrad/notebooks/page/scene"
)

func main() {
	// A click makes some 100 kB of garbage. Collecting it less often keeps clicks short.
	debug.SetGCPercent(1000)
	// convgrad(address, scene, changes) → the new address, the scene's HTML, what to say.
	js.Global().Set("convgrad", js.FuncOf(func(_ js.Value, a []js.Value) any {
		if len(a) != 3 {
			return nil
		}
		id := a[1].String()
		st := scene.Parse(a[0].String())
		st.Set(id, a[2].String())
		body, say := scene.Render(id, st)
		return []any{st.Address(id), body, say}
	}))
	js.Global().Call("convgradReady")
	select {}
}
