package manual_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/internal/manual"
)

// tree is a program with what pages have to cope with.
func tree() *cobra.Command {
	root := &cobra.Command{
		Use: "prog", Short: "Do things", Version: "1.2",
		Long: "prog does things.\n.dot and 'quote begin no request, \\n is no newline.\n\n    prog sub --deep\n\nThe end.",
		Run:  func(*cobra.Command, []string) {},
	}
	root.PersistentFlags().StringArray("config-file", nil, "configuration `file`")
	sub := &cobra.Command{Use: "sub --deep NAME", Short: "Go below", Run: func(*cobra.Command, []string) {}}
	sub.Flags().StringP("output", "o", "text", "format of the output")
	sub.Flags().Bool("deep", false, "go deeper")
	hidden := &cobra.Command{Use: "hidden", Hidden: true, Run: func(*cobra.Command, []string) {}}
	extra := func() *manual.Page {
		p := manual.NewPage("prog.conf", 5, "configuration of prog", "prog 1.2")
		p.Item("`rbd_pool`", "Pool. See `a-b`.")
		return p
	}
	root.AddCommand(sub, hidden, manual.Command(manual.Program{Section: 8, Version: "1.2", SeeAlso: []string{"`prog.conf`(5)"}}, extra))
	return root
}

func pages(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	root := tree()
	root.SetArgs([]string{"manual", dir})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(dir, file)
		found[name] = string(text)
	}
	return found
}

func TestPages(t *testing.T) {
	got := pages(t)
	for file, parts := range map[string][]string{
		"man8/prog.8": {
			".TH \"PROG\" 8 \"\" \"prog 1.2\"\n", "\nprog \\- Do things\n",
			"\n\\&.dot and 'quote begin no request, \\en is no newline.\n",
			".nf\n    prog sub \\-\\-deep\n.fi\n.PP\nThe end.\n",
			".SH \"COMMANDS\"\n.TP\n\\fBprog\\-sub\\fR(8)\nGo below\n",
			"\\fB\\-\\-config\\-file\\fR file\nconfiguration file\n",
			".SH \"SEE ALSO\"\n", "\\fBprog.conf\\fR(5)\n",
		},
		"man8/prog-sub.8": {
			"prog\\-sub \\- Go below\n", "\\fBprog sub \\-\\-deep NAME [flags]\\fR\n",
			"\\fB\\-\\-deep\\fR\ngo deeper\n",
			"\\fB\\-o\\fR, \\fB\\-\\-output\\fR string\nformat of the output (default: text)\n",
			".SH \"OPTIONS OF EVERY COMMAND\"\n",
			"\\fBprog\\fR(8), \\fBprog.conf\\fR(5)\n",
		},
		"man5/prog.conf.5": {"prog.conf \\- configuration of prog\n", "\\fBrbd_pool\\fR\nPool. See \\fBa\\-b\\fR.\n"},
	} {
		text := got[file]
		for _, part := range parts {
			_, after, ok := strings.Cut(text, part)
			if !ok {
				t.Errorf("%s lacks %q, or has it too early:\n%s", file, part, got[file])
				continue
			}
			text = part[len(part)-1:] + after // the newline may begin the next part
		}
	}
	for file := range got {
		if strings.Contains(file, "hidden") || strings.Contains(file, "manual") || strings.Contains(file, "help") {
			t.Errorf("a page that --help does not lead to: %s", file)
		}
	}
}
