package config

import (
	"fmt"
	"strings"
)

// Reference writes the tables of all keys in Markdown, for docs/configuration.md.
func Reference(kinds []Kind, collections []Collection) string {
	var b strings.Builder
	section(&b, "## Top level", "", rootFields(collections))
	section(&b, "## iscsi", "", &iscsiObject)
	section(&b, "### portal", "A portal is `HOST:PORT` or a mapping:", &portalObject)
	section(&b, "### limits", "", &limitsObject)
	section(&b, "## api", "", &apiObject)
	section(&b, "## alua", "", &aluaObject)
	section(&b, "### target port group", "", &portGroupObject)
	section(&b, "## devices", "Each device has these keys, and those of its handler:", &deviceObject)
	for _, k := range kinds {
		fmt.Fprintf(&b, "### handler: %s\n\n%s\n\n", k.Name, k.Doc)
		head(&b)
		keyRows(&b, k.Keys)
	}
	for _, c := range collections {
		fmt.Fprintf(&b, "## %s\n\n", c.Key)
		head(&b)
		for _, f := range entryObject.fields {
			row(&b, f.name, f.typ, f.def, f.required, f.doc)
		}
		keyRows(&b, c.Keys)
		nested(&b, c.Keys)
	}
	section(&b, "## targets", "", targetFields(collections))
	section(&b, "### redirect", "", &redirectObject)
	section(&b, "### groups", "", groupFields(collections))
	for i := range collections {
		c := &collections[i]
		section(&b, "### "+c.Noun+" of a target", "The name of "+article(c.Noun)+", or a mapping:", showObject(c))
	}
	section(&b, "### LUN map", "A mapping from LUN, 0 to 16383, to the name of a device, or to a mapping:", &lunObject)
	section(&b, "### chap", "", &chapObject)
	section(&b, "### credential", "Exactly one of the sources of the secret is given.", &credentialObject)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// keyRows writes the rows of keys, and ends the table.
func keyRows(b *strings.Builder, keys []Key) {
	for _, key := range keys {
		typ := string(key.Type)
		if key.Type == Enum {
			typ = strings.Join(key.Values, ", ")
		}
		def := ""
		if key.Default != nil {
			def = fmt.Sprintf("`%v`", key.Default)
			if n, ok := key.Default.(int64); ok && key.Type == Size {
				def = "`" + FormatSize(n) + "`"
			}
		}
		row(b, key.Name, typ, def, key.Required, key.Doc)
	}
	b.WriteByte('\n')
}

// nested writes the tables of the mappings in keys.
func nested(b *strings.Builder, keys []Key) {
	for _, key := range keys {
		m := &key
		if key.Type == List {
			m = key.Elem
		}
		if m.Type != Map {
			continue
		}
		fmt.Fprintf(b, "### %s\n\n", m.Name)
		if m.Short != "" {
			fmt.Fprintf(b, "The value of `%s`, or a mapping:\n\n", m.Short)
		}
		head(b)
		keyRows(b, m.Keys)
		nested(b, m.Keys)
	}
}

func section[T any](b *strings.Builder, title, intro string, o *object[T]) {
	fmt.Fprintf(b, "%s\n\n", title)
	if intro != "" {
		fmt.Fprintf(b, "%s\n\n", intro)
	}
	head(b)
	for _, f := range o.fields {
		row(b, f.name, f.typ, f.def, f.required, f.doc)
	}
	b.WriteByte('\n')
}

func head(b *strings.Builder) {
	b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
}

func row(b *strings.Builder, name, typ, def string, required bool, doc string) {
	if required {
		def = "required"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, typ, def, doc)
}
