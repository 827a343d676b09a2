// Package model composes networks from the ops: layers, seeded initialisation, parameters by name, a summary, and weights on disk.
//
// A Network is a description and its weights. Build makes a graph of it for one batch size, for training with a loss or for evaluation; all graphs of a network share its weights, so a network trained at
// one batch size evaluates and predicts at any other.
package model
