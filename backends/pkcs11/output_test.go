package pkcs11

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestOutputKeepsThePIN writes lines in which the PIN is everywhere that a line can be
// cut.
func TestOutputKeepsThePIN(t *testing.T) {
	const secret = "pin-of-a-test"
	strike := func(s string) string { return strings.ReplaceAll(s, secret, "[PIN]") }
	for name, filler := range map[string]string{"text": "x", "the PIN": secret, "spaces": " "} {
		t.Run(name, func(t *testing.T) {
			for shift := range 2 * len(secret) {
				for _, around := range []int{maxLine, maxLine + maxPIN} {
					long := strings.Repeat("y", 1+shift) + strings.Repeat(filler, around/len(filler)-1) + secret + strings.Repeat("z", 5000)
					core, logs := observer.New(zap.InfoLevel)
					logOutput(strings.NewReader(long+"\nthe next line\n"+long), zap.New(core), strike)
					var lines []string
					for _, e := range logs.All() {
						lines = append(lines, e.ContextMap()["line"].(string))
					}
					if len(lines) != 3 || lines[1] != "the next line" {
						t.Fatalf("logged: %q", lines)
					}
					for _, line := range lines {
						line = strings.ReplaceAll(line, "[PIN]", "")
						if strings.Contains(line, "pin") || strings.Contains(line, "test") || len(line) > maxLine {
							t.Fatalf("%d bytes before the PIN: logged %q", around, line)
						}
					}
				}
			}
		})
	}
}
