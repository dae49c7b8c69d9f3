// Package ci has recipes for CI services, each with the policy that goes with it, and
// tests only: they run every recipe against the real daemon and the real client, in
// what comes closest to the service on a machine without it.
//
//   - github: nektos/act, which runs workflows and actions as a runner does. GitHub's
//     issuer of ID tokens and its store of artifacts are made up;
//   - gitlab: gitlab-ci-local, with the shell executor. GitLab's ID tokens are made up;
//   - jenkins: the sh steps of the Jenkinsfile, run by the shell in the way that Jenkins
//     does. There is no Jenkins: a Jenkinsfile with a step that the test does not know
//     fails it;
//   - shell: as it is.
//
// What they need is what scripts/install-deps installs; the tools that only these tests
// need are pinned in tools, each with a lock file of its own. docs/ci.md is the guide.
package ci
