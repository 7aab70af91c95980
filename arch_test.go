// Package arch holds the tests of the architecture: which package may import
// which, who owns which table, and that ARCHITECTURE.md speaks of what is there.
package arch

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// room is what a package may import of ours, and why no more.
type room struct {
	imports string
	why     string
}

// rooms is the picture of ARCHITECTURE.md. Test files are free in what they
// use, but for the siblings.
var rooms = map[string]room{
	"sms":                   {"", "the nouns: everybody imports them, so they import nobody"},
	"sms/number":            {"sms", "reading numbers is pure"},
	"sms/pdu":               {"sms", "the codec is pure: no I/O, no clock"},
	"clock":                 {"", "what time it is depends on nothing of ours"},
	"pulse":                 {"", "whether a loop makes steps is the same whatever it does"},
	"db":                    {"db/powercut failpoint pulse", "the database knows no table's meaning; a disk whose power can be cut is for the build tag crash alone"},
	"db/powercut":           {"", "a disk knows nothing of what is written to it"},
	"queue":                 {"db failpoint sms sms/number sms/pdu", "it tells its readers nothing but that there is something to read"},
	"modem/at":              {"", "AT commands know nothing of messages"},
	"modem/internal/script": {"", "a scripted port for tests"},
	"modem/transcript":      {"sms", "it keeps bytes, whosever they are"},
	"modem/ports":           {"modem modem/at modem/transcript sms", "finding ports is no part of driving one; the daemon gets a way to open what was found"},
	"modem":                 {"failpoint modem/at pulse sms sms/pdu", "a sibling of api and webhook; it reaches the queue through Outbox and Inbox, so it is tested without SQLite"},
	"webhook":               {"db failpoint pulse queue sms", "a sibling of api and modem: it reads the event log as any reader does"},
	"intake":                {"clock failpoint queue sms sms/number sms/pdu", "what may be sent, for every door; how a door is spoken to is the door's affair"},
	"twilio":                {"auth db intake queue sms sms/number webhook", "a door to the desk, beside api; its callbacks are delivered by webhook, in a format of its own"},
	"twilio/standin":        {"", "it ends TLS in another's name and hands on what it is asked; what that is it need not know"},
	"hooks":                 {"db intake queue sms sms/pdu", "a sibling of api: it is given requests and makes messages of them, and knows nothing of who else does"},
	"captcha":               {"", "puzzles are signed: whom they are set to is not their affair"},
	"chat":                  {"captcha captcha clock db failpoint intake queue sms sms/number sms/pdu", "the desk of every conversation: pages, the API and widgets are its doors, so it lies below them"},
	"contacts":              {"db queue sms sms/number", "whom people know, whatever is said to them"},
	"widget":                {"auth captcha chat db door queue sms sms/number", "a door for strangers, beside api; an admin's side of it is api's. Of auth it has the counting of tries"},
	"reports":               {"db queue sms", "a reader of the event log that keeps numbers"},
	"door":                  {"auth", "how strangers are answered, whatever they may ask; of auth it has the counting of tries"},
	"mirror":                {"sms", "what hub and gateway say to each other: both import it, and nothing else of each other's"},
	"link":                  {"db mirror queue sms", "a sibling of webhook: a reader of the event log, and a door to the ring. It has the client of NATS and no server"},
	"files":                 {"db queue sms", "what goes with messages, on disk; who may have it is for the doors to say"},
	"inbox":                 {"auth captcha db door files mirror queue sms sms/number", "whom the internet reaches; how what they get came to the hub is hub's affair"},
	"hub":                   {"db mirror queue sms", "the only room with the server of NATS: a gateway does not start it"},
	"support":               {"", "what helps somebody to help is handed to it by whoever knows it"},
	"logs":                  {"", "how lines look depends on nothing of ours"},
	"mail":                  {"", "a mail is a mail, whatever it is about"},
	"lan":                   {"", "a box on its network: what it serves there is not its affair"},
	"auth":                  {"db sms/number", "keys have nothing to do with messages; where they may send is written as numbers are"},
	"api":                   {"auth chat clock contacts door failpoint files intake queue reports sms sms/number sms/pdu widget wire", "a sibling of modem and webhook; it sees them through interfaces of its own"},
	"gateway":               {"api auth chat clock contacts db failpoint files hooks hub inbox intake lan link logs mirror modem modem/ports modem/transcript pulse queue reports sms sms/number sms/pdu support twilio twilio/standin webhook widget", "it builds the daemon from values: no configuration file, no simulator, so tests and the demo build the same"},
	"wire":                  {"", "the API's types, generated: what is on the wire knows no server"},
	"api/conform":           {"", "what holds answers against the document knows nothing of who gives them"},
	"client/rest":           {"wire", "generated: a function for every operation"},
	"client":                {"client/rest wire", "other programs import it, so it brings nothing of the server along"},
	"config":                {"sms sms/number", "the file is read before anything is built"},
	"sim":                   {"", "what checks the daemon must not share its code: not even the PDUs"},
	"cmd/gatewayd":          {"auth chat client clock config db gateway hub lan link logs mail modem modem/ports queue sim sms sms/number support twilio webhook", "flags and exit codes; queue, chat and webhook for their Options only, sms/number to find a file's wrong rows before any is sent"},
	"bench":                 {"auth db e2e/badlink gateway modem queue sim sms sms/pdu webhook", "it measures from outside, and makes the floors itself"},
	"failpoint":             {"", "marks of steps, which any room may have"},
	"crash":                 {"failpoint sim sms", "it kills the daemon and watches from outside: what it compares must not be the daemon's own word"},
	"packaging/sbom":        {"", "what a binary is made of is read from the binary"},
	"docs/examples":         {"", "somebody else's programs"},
	"soak":                  {"", "its tests run the daemon from outside"},
	"e2e/twiliogo":          {"", "it stands for somebody else's program"},
	"e2e/badlink":           {"", "a link in tests and benchmarks knows nothing of what it carries"},
	"e2e/lightgw":           {"mirror sms", "it speaks to a hub as a gateway does, and is none"},
	"e2e/natsnode":          {"", "it stands for somebody else's server"},
	"e2e":                   {"", "its tests start the binary"},
	"examples/xmpp":         {"", "a program of somebody else's, as it were: a module of its own that knows the HTTP API alone"},
}

// outside are the dependencies that few rooms may use.
var outside = map[string]string{
	"github.com/spf13/viper":          "config",
	"github.com/spf13/cobra":          "cmd/gatewayd",
	"github.com/labstack/echo":        "api bench",
	"github.com/getkin/kin-openapi":   "api",
	"github.com/oapi-codegen/runtime": "api client/rest wire",
	"github.com/santhosh-tekuri":      "api/conform",
	"github.com/mattn/go-sqlite3":     "db db/powercut bench",
	"github.com/pressly/goose":        "db",
	"go.bug.st/serial":                "modem",
	"github.com/warthog618/modem":     "modem",
	"github.com/warthog618/sms":       "sms/pdu sim",
	"github.com/nyaruka/phonenumbers": "sms/number",
	"github.com/creack/pty":           "sim",
	"github.com/altcha-org":           "captcha",
	"github.com/pion/mdns":            "lan",
	"rsc.io/qr":                       "api lan",
	"github.com/wneessen/go-mail":     "mail",
	"golang.org/x/crypto":             "auth",
	"github.com/nats-io":              "hub link mirror e2e e2e/lightgw e2e/natsnode bench",
	"golang.org/x/term":               "cmd/gatewayd",
	"github.com/coreos/go-systemd":    "cmd/gatewayd",
}

// file is one Go file of the module.
type file struct {
	path string // from the root, with slashes
	dir  string
	test bool
	tree *ast.File
}

var fileSet = token.NewFileSet()

func goFiles(t *testing.T) []file {
	t.Helper()
	var all []file
	for _, path := range tree(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		parsed, err := parser.ParseFile(fileSet, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		all = append(all, file{path: path, dir: dir, test: strings.HasSuffix(path, "_test.go"), tree: parsed})
	}
	return all
}

// tree lists the project's files, without what is built, downloaded or data of
// tests.
func tree(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "bin" || name == "dist" || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		all = append(all, filepath.ToSlash(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportArrows(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.dir == "." {
			continue
		}
		seen[f.dir] = true
		r, ok := rooms[f.dir]
		if !ok {
			t.Errorf("%s: package %s has no place in the picture: add it to rooms in arch_test.go and to ARCHITECTURE.md", f.path, f.dir)
			continue
		}
		for _, spec := range f.tree.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(path, "gatewayd/"); ok {
				checkArrow(t, f, ours, r)
			} else if !f.test {
				checkOutside(t, f, path)
			}
		}
	}
	for dir := range rooms {
		if !seen[dir] {
			t.Errorf("rooms names %s, which is gone", dir)
		}
	}
}

func checkArrow(t *testing.T, f file, to string, r room) {
	t.Helper()
	siblings := []string{"api", "hooks", "modem", "webhook"}
	switch {
	case to == f.dir:
	case f.test && slices.Contains(siblings, f.dir) && slices.Contains(siblings, to):
		t.Errorf("%s imports %s: siblings don't know each other, not in tests either", f.path, to)
	case f.test:
	case !slices.Contains(strings.Fields(r.imports), to):
		t.Errorf("%s: %s must not import %s: %s", f.path, f.dir, to, r.why)
	}
}

func checkOutside(t *testing.T, f file, path string) {
	t.Helper()
	for module, users := range outside {
		if (path == module || strings.HasPrefix(path, module+"/")) && !slices.Contains(strings.Fields(users), f.dir) {
			t.Errorf("%s imports %s, which is for %s only", f.path, path, users)
		}
	}
}

// The released binary has nothing of the disk whose power can be cut.
func TestPowerCutsAreInNoRelease(t *testing.T) {
	const disk = "gatewayd/db/powercut"
	for tags, want := range map[string]bool{"": false, "crash": true} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, "./cmd/gatewayd").Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(strings.Fields(string(out)), disk); got != want {
			t.Errorf("with tags %q the binary has %s: %v, want %v", tags, disk, got, want)
		}
	}
}

var createTable = regexp.MustCompile(`(?i)CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)`)

// owners reads from the migrations which package owns which table: the one in
// the file's name, as in 0001_queue.sql.
func owners(t *testing.T) map[string]string {
	t.Helper()
	tables := map[string]string{}
	paths, err := filepath.Glob("db/migrations/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	for _, path := range paths {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".sql"), "_")
		owner, _, _ := strings.Cut(name, "_")
		if _, ok := rooms[owner]; !ok {
			t.Errorf("%s: the name after the number must be the owner, and %q is no package", path, owner)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range createTable.FindAllSubmatch(b, -1) {
			tables[strings.ToLower(string(m[1]))] = owner
		}
	}
	return tables
}

var sqlTable = regexp.MustCompile(`(?is)\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(\w+)`)

func TestTablesHaveOneOwner(t *testing.T) {
	tables := owners(t)
	for _, f := range goFiles(t) {
		// bench writes such rows itself, as the floor; tests look at the file
		// from outside, or break it.
		if f.dir == "." || f.dir == "bench" || f.test {
			continue
		}
		for _, literal := range literals(t, f.path) {
			for _, m := range sqlTable.FindAllStringSubmatch(literal, -1) {
				table := strings.ToLower(m[1])
				if owner, ok := tables[table]; ok && owner != f.dir && looksLikeSQL(literal) {
					t.Errorf("%s speaks of the table %s, which is %s's: ask %s for what it needs", f.path, table, owner, owner)
				}
			}
		}
	}
}

// looksLikeSQL tells a statement from a sentence.
func looksLikeSQL(s string) bool {
	return regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|FROM|JOIN)\b`).MatchString(s)
}

func literals(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s scanner.Scanner
	set := token.NewFileSet()
	s.Init(set.AddFile(path, set.Base(), len(b)), b, nil, 0)
	var all []string
	for {
		_, tok, literal := s.Scan()
		if tok == token.EOF {
			return all
		}
		if tok == token.STRING {
			text, err := strconv.Unquote(literal)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
	}
}

// generated is the mark of files that nobody writes or reads.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFilesStayShort(t *testing.T) {
	const most = 600
	written := []string{".go", ".sql", ".js", ".cjs", ".mjs", ".css", ".html", ".md"}
	for _, path := range tree(t) {
		if !slices.Contains(written, filepath.Ext(path)) || strings.HasSuffix(path, ".gen.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if generated.Match(b) {
			continue
		}
		if n := strings.Count(string(b), "\n"); n > most {
			t.Errorf("%s has %d lines, %d at most: split it by duty", path, n, most)
		}
	}
}

func TestNothingIsLeftUndone(t *testing.T) {
	marks := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|\bt\.Skip(f|Now)?\(`)
	for _, f := range goFiles(t) {
		if f.dir == "." {
			continue
		}
		b, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if m := marks.Find(b); m != nil {
			t.Errorf("%s: %s: do it, or write an issue", f.path, m)
		}
	}
}

// names are what packages declare: "Queue", "Queue.Submit", "TestX", under the
// package's whole path and its last element.
func names(files []file) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, f := range files {
		declared := map[string]bool{}
		for _, d := range f.tree.Decls {
			declare(declared, d)
		}
		for _, pkg := range []string{f.dir, f.dir[strings.LastIndexByte(f.dir, '/')+1:]} {
			if all[pkg] == nil {
				all[pkg] = map[string]bool{}
			}
			for name := range declared {
				all[pkg][name] = true
			}
		}
	}
	return all
}

func declare(into map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			into[d.Name.Name] = true
			return
		}
		receiver := d.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if name, ok := receiver.(*ast.Ident); ok {
			into[name.Name+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					into[name.Name] = true
				}
			case *ast.TypeSpec:
				into[s.Name.Name] = true
				for _, member := range members(s.Type) {
					into[s.Name.Name+"."+member] = true
				}
			}
		}
	}
}

// members are a struct's fields or an interface's methods.
func members(e ast.Expr) (all []string) {
	var list *ast.FieldList
	switch e := e.(type) {
	case *ast.StructType:
		list = e.Fields
	case *ast.InterfaceType:
		list = e.Methods
	default:
		return nil
	}
	for _, f := range list.List {
		for _, name := range f.Names {
			all = append(all, name.Name)
		}
	}
	return all
}

var (
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	fencedRun = regexp.MustCompile("(?ms)^```.*?^```")
	goName    = regexp.MustCompile(`^((?:[a-z0-9]+/)*[a-z0-9]+)\.([A-Z]\w*(?:\.\w+)?)$`)
	testName  = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark)[A-Z]\w*$`)
	pathName  = regexp.MustCompile(`^[\w./-]+\.(?:go|sql|md|yaml|rules|service)$|^(?:[a-z0-9_-]+/)+[\w.-]*$`)
)

func TestArchitectureNamesExist(t *testing.T) {
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	files := goFiles(t)
	declared := names(files)
	spans := map[string]bool{}
	for _, m := range codeSpan.FindAllSubmatch(fencedRun.ReplaceAll(b, nil), -1) {
		spans[strings.TrimSuffix(string(m[1]), "()")] = true
	}
	if len(spans) < 20 {
		t.Fatalf("only %d names found in ARCHITECTURE.md", len(spans))
	}
	for span := range spans {
		switch {
		case goName.MatchString(span):
			m := goName.FindStringSubmatch(span)
			if all, ok := declared[m[1]]; !ok || !all[m[2]] {
				t.Errorf("ARCHITECTURE.md names %s, which is not there", span)
			}
		case testName.MatchString(span):
			if !slices.ContainsFunc(files, func(f file) bool { return declared[f.dir][span] }) {
				t.Errorf("ARCHITECTURE.md names the test %s, which is not there", span)
			}
		case pathName.MatchString(span) && !strings.HasPrefix(span, "/"):
			if _, err := os.Stat(strings.TrimSuffix(span, "/")); err != nil {
				t.Errorf("ARCHITECTURE.md names the file %s, which is not there", span)
			}
		}
	}
	for dir := range rooms {
		if !spans[dir] && !strings.Contains(dir, "internal") {
			t.Errorf("ARCHITECTURE.md does not say what `%s` is for", dir)
		}
	}
}
