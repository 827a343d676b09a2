// Package pickle reads PyTorch's checkpoints (.pt, .pth) of plain tensors: a ZIP archive of a
// pickle, which says what there is, and of the tensors' storages; or, as PyTorch wrote before
// version 1.6, the pickles and the storages in a row.
//
// A pickle is a program. This reader runs none of it: it knows the instructions that make plain
// values, and those few names by which PyTorch builds a tensor, which stand for a description here.
// Any other name or instruction is an error that says which. (Of libraries, nlpodyssey/gopickle
// takes lengths at their word: twelve bytes make it ask for a terabyte, which ends the process.)
package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"unicode/utf8"

	"github.com/pkg/errors"
)

// Values of a pickle are nil, bool, int64, float64, string, []byte, *list, *dict, tuple, global,
// *Tensor, *storage, and opaque for what only has to be there.
type (
	list   struct{ items []any }
	tuple  []any
	global string // "module name"
	opaque struct{}
)

// A dict keeps the order of its keys. Keys that are not strings are kept for their order alone.
type dict struct {
	keys   []any
	values []any
	at     map[string]int
}

func (d *dict) set(key, value any) {
	if s, ok := key.(string); ok {
		if i, there := d.at[s]; there {
			d.values[i] = value
			return
		}
		if d.at == nil {
			d.at = map[string]int{}
		}
		d.at[s] = len(d.keys)
	}
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

// A machine interprets a pickle. Each instruction takes a byte at least and adds at most one value,
// and texts are as long as they are in the file: memory is in proportion to the pickle.
type machine struct {
	b     []byte
	i     int
	stack []any
	marks []int // places of marks on the stack
	memo  map[uint64]any
	load  func(id tuple) (any, error) // of what is kept outside of the pickle
	short bool                        // an instruction went beyond the end of b
}

// next is the value that the pickle at m.i makes. It leaves m.i behind it.
func (m *machine) next() (any, error) {
	m.stack, m.marks, m.memo = nil, nil, map[uint64]any{}
	for {
		at := m.i
		op, err := m.byte()
		if err != nil {
			return nil, errors.Wrapf(err, "byte %d", at)
		}
		if op == '.' {
			v, err := m.pop()
			if err == nil && len(m.stack) > 0 {
				err = errors.Errorf("%d values are left over", len(m.stack))
			}
			return v, errors.Wrapf(err, "byte %d: the end", at)
		}
		if err := m.step(op); err != nil {
			name := fmt.Sprintf("%#x", op)
			if op < 0x80 {
				name = fmt.Sprintf("%q", op)
			}
			return nil, errors.Wrapf(err, "byte %d: instruction %s", at, name)
		}
	}
}

func (m *machine) byte() (byte, error) {
	b, err := m.bytes(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// bytes are the next n, where they lie.
func (m *machine) bytes(n uint64) ([]byte, error) {
	if n > uint64(len(m.b)-m.i) {
		m.short = true
		return nil, errors.Errorf("it wants %d bytes, and there are %d", n, len(m.b)-m.i)
	}
	from := m.i
	m.i += int(n)
	return m.b[from:m.i:m.i], nil
}

// number is an unsigned one of so many bytes.
func (m *machine) number(size uint64) (uint64, error) {
	b, err := m.bytes(size)
	if err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[:], b)
	return binary.LittleEndian.Uint64(whole[:]), nil
}

func (m *machine) text(size uint64) (string, error) {
	n, err := m.number(size)
	if err != nil {
		return "", err
	}
	b, err := m.bytes(n)
	if err == nil && !utf8.Valid(b) {
		err = errors.New("a text is not UTF-8")
	}
	return string(b), err
}

func (m *machine) line() (string, error) {
	n := slices.Index(m.b[m.i:], '\n')
	if n < 0 {
		m.short = true
		return "", errors.New("a line does not end")
	}
	s := string(m.b[m.i : m.i+n])
	m.i += n + 1
	if !utf8.ValidString(s) {
		return "", errors.New("a line is not UTF-8")
	}
	return s, nil
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 || len(m.marks) > 0 && m.marks[len(m.marks)-1] == len(m.stack) {
		return nil, errors.New("there is no value to take")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

// popMark are the values above the last mark.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, errors.New("there is no mark")
	}
	at := m.marks[len(m.marks)-1]
	items := slices.Clone(m.stack[at:])
	m.stack, m.marks = m.stack[:at], m.marks[:len(m.marks)-1]
	return items, nil
}

// popN are n values, the deepest first.
func (m *machine) popN(n int) ([]any, error) {
	items := make([]any, n)
	for i := range items {
		v, err := m.pop()
		if err != nil {
			return nil, err
		}
		items[n-1-i] = v
	}
	return items, nil
}

func (m *machine) top() (any, error) {
	v, err := m.pop()
	if err == nil {
		m.push(v)
	}
	return v, err
}

// step is one instruction.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // the protocol
		v, err := m.byte()
		if err == nil && v > 5 {
			err = errors.Errorf("the protocol is %d, want at most 5", v)
		}
		return err
	case 0x95: // a frame, which says how much may be read ahead
		_, err := m.bytes(8)
		return err
	case '(':
		m.marks = append(m.marks, len(m.stack))
	case '0':
		_, err := m.pop()
		return err
	case '1':
		_, err := m.popMark()
		return err
	case '2':
		v, err := m.top()
		m.push(v)
		return err
	case 'N':
		m.push(nil)
	case 0x88, 0x89:
		m.push(op == 0x88)
	case '}':
		m.push(&dict{})
	case ']':
		m.push(&list{})
	case ')':
		m.push(tuple{})
	case 'K', 'M', 'J', 0x8a, 'G', 'X', 0x8c, 0x8d, 'U', 'T', 'C', 'B', 0x8e:
		return m.literal(op)
	case 't', 'l', 'd':
		return m.collect(op)
	case 0x85, 0x86, 0x87:
		items, err := m.popN(int(op-0x85) + 1)
		m.push(tuple(items))
		return err
	case 'a', 'e', 's', 'u':
		return m.fill(op)
	case 'q', 'r', 0x94, 'h', 'j':
		return m.remember(op)
	case 'c', 0x93:
		return m.name(op)
	case 'R':
		return m.reduce()
	case 'b': // the state of an object: of dicts, which have none that counts
		if _, err := m.pop(); err != nil {
			return err
		}
		v, err := m.top()
		if _, ok := v.(*dict); err == nil && !ok {
			err = errors.Errorf("the state of %s, want that of a dict", describe(v))
		}
		return err
	case 'Q':
		id, err := m.pop()
		if err != nil {
			return err
		}
		t, ok := id.(tuple)
		if !ok {
			return errors.Errorf("the name of a storage is %s, want a tuple", describe(id))
		}
		v, err := m.load(t)
		m.push(v)
		return err
	default:
		return errors.New("it is not supported: want those of plain tensors")
	}
	return nil
}

// literal is a number or a text.
func (m *machine) literal(op byte) error {
	sizes := map[byte]uint64{'K': 1, 'M': 2, 'J': 4, 'X': 4, 0x8c: 1, 0x8d: 8, 'U': 1, 'T': 4, 'C': 1, 'B': 4, 0x8e: 8}
	switch op {
	case 'K', 'M', 'J':
		v, err := m.number(sizes[op])
		n := int64(v)
		if op == 'J' {
			n = int64(int32(v))
		}
		m.push(n)
		return err
	case 0x8a: // an integer of so many bytes
		n, err := m.number(1)
		if err != nil {
			return err
		}
		b, err := m.bytes(n)
		if err != nil {
			return err
		}
		v := new(big.Int)
		reversed := slices.Clone(b)
		slices.Reverse(reversed)
		v.SetBytes(reversed)
		if n > 0 && b[n-1] >= 0x80 {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
		}
		if !v.IsInt64() { // a seed, perhaps: nothing that a tensor has
			m.push(opaque{})
			return nil
		}
		m.push(v.Int64())
	case 'G':
		b, err := m.bytes(8)
		if err != nil {
			return err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c, 0x8d:
		s, err := m.text(sizes[op])
		m.push(s)
		return err
	default: // bytes, and texts of Python 2
		n, err := m.number(sizes[op])
		if err != nil {
			return err
		}
		b, err := m.bytes(n)
		if (op == 'U' || op == 'T') && utf8.Valid(b) {
			m.push(string(b))
		} else {
			m.push(opaque{})
		}
		return err
	}
	return nil
}

// collect makes a tuple, a list or a dict of what is above a mark.
func (m *machine) collect(op byte) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	switch op {
	case 't':
		m.push(tuple(items))
	case 'l':
		m.push(&list{items})
	default:
		d := &dict{}
		m.push(d)
		return pairs(d, items)
	}
	return nil
}

func pairs(d *dict, items []any) error {
	if len(items)%2 != 0 {
		return errors.Errorf("%d keys and values, want as many of both", len(items))
	}
	for i := 0; i < len(items); i += 2 {
		d.set(items[i], items[i+1])
	}
	return nil
}

// fill adds to a list or a dict.
func (m *machine) fill(op byte) (err error) {
	var items []any
	switch op {
	case 'a':
		items, err = m.popN(1)
	case 's':
		items, err = m.popN(2)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *list:
		if op == 'a' || op == 'e' {
			v.items = append(v.items, items...)
			return nil
		}
	case *dict:
		if op == 's' || op == 'u' {
			return pairs(v, items)
		}
	}
	return errors.Errorf("it adds to %s", describe(v))
}

// remember keeps the top value, or takes one that was kept.
func (m *machine) remember(op byte) error {
	key, err := uint64(len(m.memo)), error(nil)
	switch op {
	case 'q', 'h':
		key, err = m.number(1)
	case 'r', 'j':
		key, err = m.number(4)
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[key]
		if !ok {
			return errors.Errorf("nothing was kept as %d", key)
		}
		m.push(v)
		return nil
	}
	v, err := m.top()
	m.memo[key] = v
	return err
}

// name is a name of Python's.
func (m *machine) name(op byte) error {
	var module, name string
	if op == 'c' {
		var err error
		if module, err = m.line(); err != nil {
			return err
		}
		if name, err = m.line(); err != nil {
			return err
		}
	} else {
		v, err := m.popN(2)
		if err != nil {
			return err
		}
		var okModule, okName bool
		module, okModule = v[0].(string)
		name, okName = v[1].(string)
		if !okModule || !okName {
			return errors.Errorf("the name is %s and %s, want texts", describe(v[0]), describe(v[1]))
		}
	}
	full := global(module + "." + name)
	if !permitted(full) {
		return errors.Errorf("the name %.200s is not one of those that plain tensors need: nothing of it is executed", full)
	}
	m.push(full)
	return nil
}

// reduce is a call, of one of the names that are permitted.
func (m *machine) reduce() error {
	v, err := m.popN(2)
	if err != nil {
		return err
	}
	f, ok := v[0].(global)
	args, isTuple := v[1].(tuple)
	if !ok || !isTuple {
		return errors.Errorf("it calls %s with %s", describe(v[0]), describe(v[1]))
	}
	made, err := call(f, args)
	m.push(made)
	return errors.Wrapf(err, "%s", f)
}

// describe says what a value is, in an error.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *dict:
		return "a dict"
	case *list:
		return "a list"
	case tuple:
		return "a tuple"
	case global:
		return fmt.Sprintf("the name %.100s", string(v))
	case *Tensor:
		return "a tensor"
	case *storage:
		return "a storage"
	case opaque:
		return "a value that is not read"
	case string:
		return fmt.Sprintf("the text %.100q", v)
	}
	return fmt.Sprintf("%v", v)
}
