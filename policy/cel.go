package policy

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// Conditions are in CEL (cel.dev), with its standard functions and macros and
// newer(a, b) of semver.go, over the variables of variables.go. What is there is type-checked when
// the policy is compiled. What may be there or not, such as a label, a claim, or
// the last release, is asked for with has(labels.ticket) or "ticket" in labels:
// to use it where it is not is an error, and an error denies the request.
//
// A condition cannot run for long. CEL has no loops but those over a list or map.
// A condition of which it is known beforehand that it is cheap, which nearly all
// are, is just evaluated. For all others each step is counted, and when the budget
// is used up, the evaluation ends in an error. The extensions of CEL that build
// texts are left out: nothing grows but by a "+" that is written there.

// Bounds of conditions. A unit of cost is about one step of the evaluation.
const (
	maxWhen   = 4096   // characters
	maxNodes  = 2000   // of the syntax tree, with what macros become
	maxDepth  = 50     // of brackets and the like
	maxRegexp = 1000   // instructions of a compiled regular expression
	cheap     = 2000   // cost of one evaluation that need not be counted
	maxCost   = 10_000 // of one evaluation
	// maxRunCost bounds all counted evaluations for one decision: the store waits
	// for it.
	maxRunCost = 100_000
)

// engine compiles and evaluates conditions. Once all are compiled it is read only.
type engine struct {
	env     *cel.Env
	planner interpreter.Interpreter
	tracker *cost.Tracker // to be cloned

	zones    zones
	patterns patterns
}

// condition is an expression that was checked.
type condition struct {
	program interpreter.InterpretableV2
	checked *cel.Ast
	// cheap: it costs less than counting is worth, for a request that is no larger
	// than requests are.
	cheap bool
}

func newEngine() (*engine, error) {
	e := &engine{zones: make(zones), patterns: make(patterns)}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(provider{registry}),
		cel.ParserExpressionSizeLimit(maxWhen),
		cel.ParserRecursionLimit(maxDepth),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexp),
		cel.DefaultUTCTimeZone(true),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(),
		),
		cel.Function("newer", cel.Overload("newer_string_string",
			[]*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(celNewer))),
	}
	options = append(options, variables()...)
	options = append(options, e.zones.functions()...)
	if e.env, err = cel.NewEnv(options...); err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	if e.planner, err = e.newPlanner(); err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	if e.tracker, err = cost.NewTracker(nil); err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	return e, nil
}

// newPlanner does what [cel.Env.Program] does, one floor below: so that one
// evaluation after another can share a frame, with its variables and its budget,
// and allocates nothing.
func (e *engine) newPlanner() (interpreter.Interpreter, error) {
	dispatcher := interpreter.NewDispatcher()
	for name, f := range e.env.Functions() {
		if name == overloads.Matches {
			if err := dispatcher.Add(e.patterns.binding()); err != nil {
				return nil, err
			}
			continue
		}
		bindings, err := f.Bindings()
		if err != nil {
			return nil, err
		}
		if err := dispatcher.Add(bindings...); err != nil {
			return nil, err
		}
	}
	adapter, provider, container := e.env.CELTypeAdapter(), e.env.CELTypeProvider(), e.env.Container
	attributes := interpreter.NewAttributeFactory(container, adapter, provider)
	return interpreter.NewInterpreter(dispatcher, container, provider, adapter, attributes), nil
}

// compile checks an expression, or says all that is wrong with it and where. The
// errors have no field.
func (e *engine) compile(text string) (*condition, []*FieldError) {
	checked, issues := e.env.Compile(text)
	if issues.Err() != nil {
		var faults []*FieldError
		for _, issue := range issues.Errors() {
			message := strings.TrimSuffix(issue.Message, " (in container '')") // a namespace: there is none here
			faults = append(faults, faultAt(issue.Location, errors.New(message)))
		}
		return nil, faults
	}
	var faults []*FieldError
	bad := func(id int64, format string, args ...any) {
		faults = append(faults, faultAt(checked.NativeRep().SourceInfo().GetStartLocation(id), fmt.Errorf(format, args...)))
	}
	whole := func(format string, args ...any) {
		faults = append(faults, &FieldError{Line: 1, Column: 1, Err: fmt.Errorf(format, args...)})
	}
	if kind := checked.OutputType(); !kind.IsExactType(cel.BoolType) {
		whole("found an expression of type %s, want bool; compare it with something", kind)
	}
	e.loadLiterals(checked.NativeRep(), bad)
	if most := e.atMost(checked, sizes{}); most > maxCost && most != unbounded {
		whole("evaluating it could cost %d steps, want at most %d: it has loops in loops or long texts in loops", most, maxCost)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	program, err := e.planner.NewInterpretable(checked.NativeRep(), interpreter.Optimize())
	if err != nil {
		whole("%w", err)
		return nil, faults
	}
	return &condition{program, checked, e.atMost(checked, sizes{claims: true}) <= cheap}, nil
}

// faultAt turns a place in CEL, in which columns count from zero and are below that
// where nothing is, into one of ours.
func faultAt(at common.Location, err error) *FieldError {
	return &FieldError{Line: max(at.Line(), 1), Column: max(at.Column()+1, 1), Err: err}
}

// unbounded is the cost of an expression over something of unknown length.
const unbounded = math.MaxUint64

// atMost returns the greatest cost that an expression can have.
func (e *engine) atMost(checked *cel.Ast, s sizes) uint64 {
	estimate, err := e.env.EstimateCost(checked, s)
	if err != nil {
		return unbounded
	}
	return estimate.Max
}

// constant evaluates a condition of which nothing is known but what is written in
// it. It reports false if the condition depends on the request.
func (e *engine) constant(c *condition) (value, ok bool) {
	if c == nil {
		return true, true
	}
	program, err := e.env.Program(c.checked, cel.EvalOptions(cel.OptPartialEval), cel.CostLimit(maxCost))
	if err != nil {
		return false, false
	}
	result, _, err := program.Eval(e.env.UnknownVars())
	known, isBool := result.(types.Bool)
	return bool(known), isBool && err == nil
}

// run evaluates conditions for one decision. It costs nothing before the first.
type run struct {
	engine  *engine
	request *Request

	frame   *interpreter.ExecutionFrame
	usual   bool // the request is no larger than requests are
	tracker *cost.Tracker
	limit   uint64 // of the evaluation under way, from the first that was counted
}

// test evaluates a condition; none is true. After an error the run is over.
func (r *run) test(c *condition) (ok bool, err error) {
	if c == nil {
		return true, nil
	}
	if r.frame == nil {
		if r.frame, err = interpreter.NewExecutionFrame(&values{of: r.request}); err != nil {
			return false, err
		}
		r.usual = fits(r.request)
	}
	if err := r.budget(c); err != nil {
		return false, err
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			ok, err = false, r.stopped(panicked)
		}
	}()
	switch result := c.program.Exec(r.frame).(type) {
	case types.Bool:
		return bool(result), nil
	case *types.Err:
		return false, explainError(result)
	default:
		return false, fmt.Errorf("it gave a value of type %v, want true or false", result.Type())
	}
}

// budget has the steps of an evaluation counted, unless it is cheap.
func (r *run) budget(c *condition) (err error) {
	if c.cheap && r.usual {
		r.frame.SetCostTracker(nil)
		return nil
	}
	if r.tracker == nil {
		if r.tracker, err = r.engine.tracker.Clone(); err != nil {
			return err
		}
		r.tracker.Limit = &r.limit
	}
	r.limit = min(r.tracker.ActualCost()+maxCost, maxRunCost)
	r.frame.SetCostTracker(r.tracker)
	return nil
}

// stopped says why CEL gave up.
func (r *run) stopped(panicked any) error {
	if _, ok := panicked.(cost.LimitExceededError); !ok {
		return fmt.Errorf("internal error in CEL: %v", panicked)
	}
	if r.limit == maxRunCost {
		return fmt.Errorf("it and those before it cost more than %d steps", maxRunCost)
	}
	return fmt.Errorf("it costs more than %d steps", maxCost)
}

// maxError is the longest text of an error in bytes: values of the request are in
// some.
const maxError = 300

// explainError adds what to do to the most frequent error. A text that goes to
// logs and terminals has nothing in it that is not seen.
func explainError(err *types.Err) error {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, err.Error())
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "..."
	}
	if key, ok := strings.CutPrefix(text, "no such key: "); ok {
		return fmt.Errorf("%s; ask with has(...) or in whether there is a %q before using it", text, key)
	}
	return errors.New(text)
}

func (r *run) close() {
	if r.frame != nil {
		r.frame.Close()
	}
}
