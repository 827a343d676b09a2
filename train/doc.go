// Package train trains the networks of package model on the sets of package train/data.
//
// A [Trainer] is made of a network, data, an optimizer and a schedule; Run trains, and Resume goes
// on where a run was saved last. A [Config] is a recipe by names, as the command train has it. A
// [Step] is one step in two halves, gradients and update, for a loop of one's own.
//
// A run is repeatable: the same data, settings and seed give the same weights, bit for bit, at any
// number of threads, and whether or not the run was interrupted. Whatever outlives a step has a
// name and is in the checkpoint.
package train
