package ci

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shellcheck finds nothing in any script of the recipes, those in other files included.
func TestScriptsAreClean(t *testing.T) {
	t.Parallel()
	var scripts []string
	for _, name := range []string{"github/action/sign", "shell/sign.sh", "testdata/spy"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed", name)
		}
		scripts = append(scripts, name)
	}
	stages, err := parseJenkinsfile(read(t, "jenkins/Jenkinsfile"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, s := range stages {
		for _, step := range s.steps {
			if step.name == "sh" {
				path := filepath.Join(dir, s.name+".sh")
				write(t, path, "#!/bin/sh -xe\n"+step.text)
				scripts = append(scripts, path)
			}
		}
	}
	if out, code := try(t, ".", nil, "shellcheck", scripts...); code != 0 {
		t.Errorf("shellcheck:\n%s", out)
	}
}

// A Jenkinsfile with anything that the test does not run is not run at all.
func TestJenkinsfileIsReadStrictly(t *testing.T) {
	t.Parallel()
	text := read(t, "jenkins/Jenkinsfile")
	for old, changed := range map[string]string{
		"deleteDir()":          "deleteDir()\n        script { echo 'hello' }",
		"agent { label":        "agent { dockerfile",
		"when { branch 'main'": "when { branch 'develop'",
		"sh '''":               `sh """`,
		"stash name: 'bundle'": "stash name: 'bundle', allowEmpty: true",
		"agent none":           "agent any",
	} {
		if _, err := parseJenkinsfile(strings.Replace(text, old, changed, 1)); err == nil {
			t.Errorf("%q was taken", changed)
		}
	}
}

// Every policy of a recipe says what its cases expect, and has nothing to warn of.
func TestPolicies(t *testing.T) {
	t.Parallel()
	policies, err := filepath.Glob("*/policy.yaml")
	if err != nil || len(policies) != 4 {
		t.Fatalf("found %q, %v, want one for each of 4 recipes", policies, err)
	}
	for _, path := range policies {
		dir := filepath.Dir(path)
		out, code := try(t, ".", nil, "bundlesignd", "policy", "test", "--policy", path, filepath.Join(dir, "cases"))
		if code != 0 || !strings.Contains(out, "all as expected") || strings.Contains(out, "warning") {
			t.Errorf("%s, code %d:\n%s", path, code, out)
		}
	}
}

func hexToBase64(text string) string {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err) // of the test's own daemon
	}
	return base64.StdEncoding.EncodeToString(data)
}
