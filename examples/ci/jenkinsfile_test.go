package ci

import (
	"fmt"
	"regexp"
	"strings"
)

// stage is what the test knows of a stage of a declarative Jenkinsfile.
type stage struct {
	name  string
	when  string // "", "branch 'main'" or "buildingTag()"
	label string // of its agent
	steps []step
}

// step is one step: its name and its text, such as a script or a pattern.
type step struct{ name, text string }

// The lines that a Jenkinsfile may have. There is no Jenkins here: what is not in this
// list would not be run as Jenkins does, and so is an error.
var (
	openLine  = regexp.MustCompile(`^(pipeline|stages|steps) \{$`)
	stageLine = regexp.MustCompile(`^stage\('([A-Za-z ]+)'\) \{$`)
	agentLine = regexp.MustCompile(`^agent \{ label '([a-z]+)' \}$`)
	whenLine  = regexp.MustCompile(`^when \{ (branch 'main'|buildingTag\(\)) \}$`)
	stepLine  = regexp.MustCompile(`^(?:(checkout) (scm)|(deleteDir)\(()\)|(stash) name: '(bundle)', includes: 'app\.zip'|(unstash) '(bundle)'|(archiveArtifacts) artifacts: '([^']+)')$`)
	comment   = regexp.MustCompile(`(^|\s)//.*$`)
)

// parseJenkinsfile takes a Jenkinsfile apart, strictly. Scripts must be in ” quotes of three,
// in which Groovy replaces nothing.
func parseJenkinsfile(text string) ([]stage, error) {
	var stages []stage
	var depth int
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(comment.ReplaceAllString(lines[i], ""))
		var now *stage
		if len(stages) > 0 {
			now = &stages[len(stages)-1]
		}
		switch m := stepLine.FindStringSubmatch(line); {
		case line == "" || line == "agent none" || line == "options { skipDefaultCheckout() }":
		case line == "}":
			depth--
		case openLine.MatchString(line):
			depth++
		case stageLine.MatchString(line):
			depth++
			stages = append(stages, stage{name: stageLine.FindStringSubmatch(line)[1]})
		case now == nil:
			return nil, fmt.Errorf("line %d: found %q before the first stage", i+1, line)
		case agentLine.MatchString(line):
			now.label = agentLine.FindStringSubmatch(line)[1]
		case whenLine.MatchString(line):
			now.when = whenLine.FindStringSubmatch(line)[1]
		case m != nil:
			parts := strings.Fields(strings.Join(m[1:], " "))
			now.steps = append(now.steps, step{name: parts[0], text: strings.Join(parts[1:], " ")})
		case line == "sh '''":
			var script []string
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "'''"; i++ {
				script = append(script, lines[i])
			}
			now.steps = append(now.steps, step{name: "sh", text: unescape(strings.Join(script, "\n") + "\n")})
		default:
			return nil, fmt.Errorf("line %d: found %q, which this test cannot run as Jenkins does", i+1, line)
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("found %d more { than }", depth)
	}
	return stages, nil
}

// unescape does what Groovy does to text in three single quotes: a backslash at the
// end of a line joins it with the next one, and others are not expected.
func unescape(script string) string {
	return strings.ReplaceAll(script, "\\\n", "")
}
