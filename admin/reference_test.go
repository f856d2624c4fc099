package admin

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/qadmin-api.md anew")

const (
	reference  = "../docs/qadmin-api.md"
	tablesFrom = "<!-- The tables below are made of the code: go test ./admin -run Reference -update -->\n"
)

// referenceTypes are those whose keys the document lists, in its order.
var referenceTypes = []string{
	"frame", "Bar", "silentNode", "OverviewView", "overviewTotals", "topTimeout", "overviewNode", "overviewLookupd", "TopicRow", "topicView", "topicFigures", "channelRow", "topicNode",
	"replicated", "ChannelView", "channelFigures", "channelNode", "ConsumerRow", "latencyRow", "NodesView", "NodeRow", "nodesTotal", "nodeReplicas", "lookupdRow", "tombstone", "nodeView", "nodeTopicRow", "lookupView",
	"counterView", "Alert", "HistoryView", "markRow", "NamesView", "entry", "result", "peekedRow", "peekNode", "tailedRow", "letterRow", "connectionRow", "nodeOption", "settingRow", "settingValue", "settingNode", "jobView", "nodeShare",
	"order", "publishOrder", "messageOrder", "bulkOrder", "SilentShare", "moveOrder",
}

// structs of the packages by their names.
func structs(t *testing.T) map[string]*ast.StructType {
	t.Helper()
	found := make(map[string]*ast.StructType)
	for _, dir := range []string{".", "cluster"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok {
					if fields, ok := s.Type.(*ast.StructType); ok {
						found[s.Name.Name] = fields
					}
				}
				return true
			})
		}
	}
	return found
}

// tables are those of all types.
func tables(t *testing.T) string {
	all := structs(t)
	var b strings.Builder
	for _, name := range referenceTypes {
		s := all[name]
		if s == nil {
			t.Errorf("there is no type %s", name)
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n| key | is | meaning |\n|---|---|---|\n", name)
		for _, f := range s.Fields.List {
			if f.Tag == nil {
				continue
			}
			key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
			if key == "" || key == "-" {
				continue
			}
			text := strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, kindOfField(f.Type, all), strings.ReplaceAll(text, "|", "\\|"))
		}
	}
	return b.String()
}

// kindOfField is what JSON has for a Go type.
func kindOfField(e ast.Expr, all map[string]*ast.StructType) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return kindOfField(e.X, all) + " or null"
	case *ast.ArrayType:
		if elem, ok := e.Elt.(*ast.Ident); ok && elem.Name == "byte" {
			return "base64"
		}
		return "list of " + kindOfField(e.Elt, all)
	case *ast.MapType:
		return "object"
	case *ast.StructType:
		return "object"
	case *ast.SelectorExpr:
		if e.Sel.Name == "RawMessage" {
			return "any"
		}
		if all[e.Sel.Name] != nil {
			return kindOfField(e.Sel, all)
		}
		return "object"
	case *ast.Ident:
		switch {
		case e.Name == "string" || e.Name == "Level":
			return "text"
		case e.Name == "bool":
			return "true or false"
		case e.Name == "Figure" || e.Name == "Share":
			return "number or null"
		case e.Name == "Figures":
			return "list of numbers or null"
		case all[e.Name] != nil && slices.Contains(referenceTypes, e.Name):
			return "[" + e.Name + "](#" + strings.ToLower(e.Name) + ")"
		case strings.HasPrefix(e.Name, "int") || strings.HasPrefix(e.Name, "uint") || strings.HasPrefix(e.Name, "float"):
			return "number"
		}
	}
	return "any"
}

func TestReferenceHasAllKeys(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), tablesFrom)
	if !ok {
		t.Fatalf("%s has no place for the tables", reference)
	}
	want := head + tablesFrom + tables(t)
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is not as the code is: go test ./admin -run Reference -update", reference)
	}
	if err := os.WriteFile(reference, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sections are the parts of the document about routes, by "GET name".
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string]string)
	for _, part := range strings.Split(string(text), "\n### ")[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		if m := regexp.MustCompile("^`(GET|POST) /api/q/([a-z_]+)").FindStringSubmatch(title); m != nil {
			list[m[1]+" "+m[2]] = title + rest
		}
	}
	return list
}

func TestReferenceHasAllRoutes(t *testing.T) {
	source, err := os.ReadFile("page_api.go")
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, m := range regexp.MustCompile(`(get|post)\("([a-z_]+)"|HandleRaw\("(GET)", at\("/api/q/([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		routes = append(routes, strings.ToUpper(m[1]+m[3])+" "+m[2]+m[4])
	}
	for _, kind := range viewKinds {
		routes = append(routes, "GET "+kind)
	}
	described := sections(t)
	for _, r := range routes {
		if described[r] == "" {
			t.Errorf("%s is not described", r)
		}
		delete(described, r)
	}
	for r := range described {
		t.Errorf("%s is described, and not there", r)
	}
}

// TestReferenceNamesWhatAnswersHave asks each route, and looks for the keys of its answer.
func TestReferenceNamesWhatAnswersHave(t *testing.T) {
	a := logNode(t, "a", 4, 0)
	a.set(func(n *fakeNode) {
		n.own["/channel/move"] = func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, object{"moved": 0}) }
	})
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	get(t, base+"/api/q/overview")
	node := a.address()
	described := sections(t)
	keys := func(route, body string) {
		var answer map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Errorf("%s: %s", route, body)
			return
		}
		text := described[route]
		for key := range answer {
			if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "(#") {
				t.Errorf("%s: `%s` is not described", route, key)
			}
		}
	}
	for route, query := range map[string]string{
		"me": "", "history": "?kind=cluster&span=5m", "names": "", "sparks": "?topic=t", "outcome": "?activity=1", "jobs": "", "settings": "?node=" + node, "config": "?topic=t",
		"peek": "?topic=t", "connections": "?topic=t",
	} {
		if route == "outcome" {
			continue // below
		}
		keys("GET "+route, get(t, base+"/api/q/"+route+query).body)
	}
	for route, order := range map[string]string{
		"act": `{"action":"pause_topic","topic":"t"}`, "publish": `{"topic":"t","node":"` + node + `","body":"x"}`,
		"message":      `{"action":"finish","topic":"t","channel":"c","node":"` + node + `","id":"000000000000000a"}`,
		"close_client": `{"node":"` + node + `","address":"10.0.0.1:5"}`, "setting": `{"node":"` + node + `","key":"log_level","value":"info"}`,
		"silent": `{"verb":"pause","targets":[{"topic":"t"}]}`,
		"bulk":   `{"verb":"pause","targets":[{"topic":"t"}]}`, "move": `{"topic":"t","channel":"c","to":"u"}`,
	} {
		answer := postJSON(t, base+"/api/q/"+route, order)
		keys("POST "+route, answer.body)
		if route == "act" {
			keys("GET outcome", get(t, fmt.Sprint(base, "/api/q/outcome?activity=", answer.decoded(t)["activity"])).body)
		}
	}
}
