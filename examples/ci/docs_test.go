package ci

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/ci.md shows of a file is in that file, to the byte.
func TestGuideShowsTheRecipes(t *testing.T) {
	t.Parallel()
	guide := read(t, "../../docs/ci.md")
	shown := map[string]bool{}
	for _, b := range regexp.MustCompile("(?s)<!-- examples/ci/([^ ]+) -->\n```[a-z]+\n(.*?)```").FindAllStringSubmatch(guide, -1) {
		shown[filepath.Dir(b[1])] = true
		if !strings.Contains(read(t, b[1]), b[2]) {
			t.Errorf("docs/ci.md shows what is not in %s:\n%s", b[1], b[2])
		}
	}
	if blocks := strings.Count(guide, "```") / 2; len(shown) != 3 || blocks != strings.Count(guide, "<!-- examples/ci/") {
		t.Errorf("found examples of %v in %d blocks, want each block to be of a file", shown, blocks)
	}
}

// Its links, and those of the recipes, lead to something.
func TestGuideLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*/README.md")
	if err != nil || len(pages) != 4 {
		t.Fatalf("found %q, %v, want a README in each of 4 recipes", pages, err)
	}
	for _, page := range append(pages, "../../docs/ci.md") {
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(read(t, page), -1) {
			if strings.HasPrefix(link[1], "https://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// What is not of the kinds in the tables of a README is missing there.
func TestRecipesNameTheirFiles(t *testing.T) {
	t.Parallel()
	for _, recipe := range []string{"github", "gitlab", "jenkins", "shell"} {
		readme := read(t, filepath.Join(recipe, "README.md"))
		entries, err := os.ReadDir(recipe)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() {
				name += "/"
			}
			if name != "README.md" && !strings.Contains(readme, "`"+name+"`") {
				t.Errorf("%s/README.md does not name %s", recipe, name)
			}
		}
	}
}
