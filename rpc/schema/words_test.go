package schema_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// words are the comments on the fields of structs: "volume.Volume.Size".
type words map[string]string

// readWords reads the comments of the packages in the folders.
func readWords(t *testing.T, folders ...string) words {
	t.Helper()
	w := words{}
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no source in %s: %v", folder, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool { return w.note(file.Name.Name, n) })
		}
	}
	return w
}

func (w words) note(pkg string, n ast.Node) bool {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return true
	}
	st, ok := spec.Type.(*ast.StructType)
	if !ok {
		return true
	}
	for _, field := range st.Fields.List {
		text := field.Doc.Text()
		if text == "" {
			text = field.Comment.Text()
		}
		for _, name := range field.Names {
			w[pkg+"."+spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
	return true
}

// describe puts the comments into the schema of a type, and opens it where
// asked.
func (w words) describe(s *jsonschema.Schema, of reflect.Type, open bool) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
		if s.Items != nil {
			s = s.Items
		}
	}
	if of.Kind() != reflect.Struct || s.Properties == nil {
		return
	}
	if open {
		s.AdditionalProperties = nil
	}
	for _, field := range reflect.VisibleFields(of) {
		p := s.Properties[jsonName(field)]
		if field.Anonymous || p == nil {
			continue
		}
		p.Description = w.of(of, field)
		w.describe(p, field.Type, open)
	}
}

// of returns the comment on a visible field of a struct, which may be declared
// in a struct that is embedded.
func (w words) of(t reflect.Type, field reflect.StructField) string {
	for _, i := range field.Index[:len(field.Index)-1] {
		t = t.Field(i).Type
	}
	return w[path.Base(t.PkgPath())+"."+t.Name()+"."+field.Name]
}

func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}
