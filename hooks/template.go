package hooks

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"
)

// The limits of a template. What it is made of was written by an admin; what it
// is given comes from anybody who has the token, and may be made to take long.
const (
	maxSource = 8 << 10  // bytes of a template
	maxNodes  = 1000     // nodes of its tree
	maxSteps  = 100_000  // nodes that are carried out, and what functions look at
	maxOutput = 16 << 10 // bytes that it writes; the rest is cut off
	maxValue  = 16 << 10 // bytes of one value that a function makes
	maxTime   = time.Second
)

// TemplateError says where a template is wrong.
type TemplateError struct {
	Line, Column int // from 1; 0: not known
	Detail       string
}

func (e *TemplateError) Error() string {
	if e.Line == 0 {
		return e.Detail
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Detail)
}

// The reasons for which a template is stopped.
var (
	errSteps = errors.New("it takes more steps than a template may; look at its ranges")
	errTime  = errors.New("it takes longer than a second")
	errFull  = errors.New("the text is long enough")
)

// run is one execution of a template: what it may still use up, and what its
// functions look at besides the data.
//
// text/template can't be interrupted, so the tree is made to ask by itself: at
// the head of each round of a range stands a step, each range over a map pays
// for its sorting, and each printed value goes through a function that counts.
// Without templates that call others nothing else in it repeats.
type run struct {
	request *Request
	zone    *time.Location
	steps   int
	end     time.Time
	out     strings.Builder
}

func newRun(r *Request) *run {
	if r == nil {
		r = &Request{}
	}
	return &run{request: r, zone: time.Local, steps: maxSteps, end: time.Now().Add(maxTime)}
}

// checkTemplate says what is wrong with a template, nil: nothing.
func checkTemplate(source string) error {
	_, err := newRun(nil).compile(source)
	return err
}

// expand carries out a template. A text that is too long is cut off.
func expand(source string, data any, r *Request) (string, error) {
	x := newRun(r)
	t, err := x.compile(source)
	if err != nil {
		return "", err
	}
	err = t.Execute(x, data)
	if err != nil && !errors.Is(err, errFull) {
		return "", executionError(err)
	}
	return x.out.String(), nil
}

// Write takes what the template writes.
func (x *run) Write(b []byte) (int, error) {
	if err := x.step(1 + len(b)/64); err != nil {
		return 0, err
	}
	room := maxOutput - x.out.Len()
	if len(b) > room {
		for room > 0 && !utf8.RuneStart(b[room]) {
			room--
		}
		x.out.Write(b[:room])
		return room, errFull
	}
	return x.out.Write(b)
}

func (x *run) step(n int) error {
	if x.steps -= n; x.steps < 0 {
		return errSteps
	}
	if time.Now().After(x.end) {
		return errTime
	}
	return nil
}

// allowed are the functions of text/template that templates may use. The
// others, call above all, are unknown to them.
var allowed = map[string]any{"and": true, "or": true, "not": true, "index": true, "slice": true, "len": true}

func (x *run) compile(source string) (*template.Template, error) {
	if len(source) > maxSource {
		return nil, &TemplateError{Detail: fmt.Sprintf("it is longer than %d bytes", maxSource)}
	}
	if !utf8.ValidString(source) {
		return nil, &TemplateError{Detail: "it is not UTF-8"}
	}
	functions := x.functions()
	trees, err := parse.Parse(templateName, source, "", "", functions, allowed)
	if err != nil {
		return nil, parseError(source, err, functions)
	}
	tree := trees[templateName]
	if len(trees) > 1 || tree == nil {
		return nil, at(source, strings.Index(source, "define"), "define and block are not known here: a text is one template")
	}
	hidden := x.hidden()
	w := walker{source: source, functions: hidden}
	if err := w.list(tree.Root); err != nil {
		return nil, err
	}
	t, err := template.New(templateName).Funcs(functions).Funcs(hidden).AddParseTree(templateName, tree)
	if err != nil {
		return nil, &TemplateError{Detail: err.Error()}
	}
	return t, nil
}

const templateName = "template"

// walker counts a tree's nodes and puts the steps in.
type walker struct {
	source    string
	functions template.FuncMap
	nodes     int
}

// command is a piece of a tree that calls a function of ours.
func (w *walker) command(source string) *parse.ActionNode {
	trees, err := parse.Parse("step", "{{"+source+"}}", "", "", w.functions)
	if err != nil {
		panic("the template of a step: " + err.Error())
	}
	return trees["step"].Root.Nodes[0].(*parse.ActionNode)
}

func (w *walker) list(l *parse.ListNode) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := w.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) node(n parse.Node) error {
	if w.nodes++; w.nodes > maxNodes {
		return at(w.source, int(n.Position()), fmt.Sprintf("it has more than %d parts", maxNodes))
	}
	switch n := n.(type) {
	case *parse.ActionNode:
		if err := w.pipe(n.Pipe); err != nil {
			return err
		}
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, w.command("_out").Pipe.Cmds[0])
		}
	case *parse.IfNode:
		return w.branch(&n.BranchNode)
	case *parse.WithNode:
		return w.branch(&n.BranchNode)
	case *parse.RangeNode:
		before := w.nodes
		if err := w.branch(&n.BranchNode); err != nil {
			return err
		}
		n.Pipe.Cmds = append(n.Pipe.Cmds, w.command("_over").Pipe.Cmds[0])
		step := w.command("_step " + strconv.Itoa(1+w.nodes-before))
		n.List.Nodes = append([]parse.Node{step}, n.List.Nodes...)
	case *parse.TemplateNode:
		return at(w.source, int(n.Position()), "template is not known here: a text is one template")
	}
	return nil
}

func (w *walker) branch(b *parse.BranchNode) error {
	if err := w.pipe(b.Pipe); err != nil {
		return err
	}
	if err := w.list(b.List); err != nil {
		return err
	}
	return w.list(b.ElseList)
}

func (w *walker) pipe(p *parse.PipeNode) error {
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			if w.nodes++; w.nodes > maxNodes {
				return at(w.source, int(arg.Position()), fmt.Sprintf("it has more than %d parts", maxNodes))
			}
			if inner, ok := arg.(*parse.PipeNode); ok {
				if err := w.pipe(inner); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// at is an error at a byte of the source.
func at(source string, offset int, detail string) *TemplateError {
	before := source[:max(0, min(offset, len(source)))]
	return &TemplateError{
		Line:   1 + strings.Count(before, "\n"),
		Column: 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]),
		Detail: detail,
	}
}

var (
	parseForm = regexp.MustCompile(`(?s)^template: template:(\d+): (.*)$`)
	runForm   = regexp.MustCompile(`(?s)^template: template:(\d+):(\d+): executing "template" (?:at )?(.*)$`)
)

// parseError makes an error of what the parser says. That knows the line alone,
// so the column is where the first action begins with which it says the same.
func parseError(source string, err error, functions template.FuncMap) *TemplateError {
	m := parseForm.FindStringSubmatch(err.Error())
	if m == nil {
		return &TemplateError{Detail: err.Error()}
	}
	e := &TemplateError{Column: 1, Detail: m[2]}
	e.Line, _ = strconv.Atoi(m[1])
	lines := strings.SplitAfter(source, "\n")
	if e.Line < 1 || e.Line > len(lines) {
		return e
	}
	before := len(strings.Join(lines[:e.Line-1], ""))
	for end := before; end < len(source); {
		begin := strings.Index(source[end:], "{{")
		if begin < 0 {
			break
		}
		begin += end
		if begin >= before+len(lines[e.Line-1]) {
			break
		}
		e.Column = at(source, begin, "").Column
		stop := strings.Index(source[begin:], "}}")
		if stop < 0 {
			break
		}
		end = begin + stop + 2
		if _, again := parse.Parse(templateName, source[:end], "", "", functions, allowed); again != nil && again.Error() == err.Error() {
			break
		}
	}
	return e
}

// executionError makes an error of what happened while a template was carried out.
func executionError(err error) *TemplateError {
	e := &TemplateError{Detail: err.Error()}
	m := runForm.FindStringSubmatch(err.Error())
	if m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Column, _ = strconv.Atoi(m[2])
		e.Column++ // theirs is from 0
		e.Detail = m[3]
	}
	for _, stop := range []error{errSteps, errTime} {
		if errors.Is(err, stop) {
			return &TemplateError{Detail: stop.Error()}
		}
	}
	return e
}
