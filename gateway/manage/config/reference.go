package config

import (
	"fmt"
	"strings"
)

// Reference writes the tables of all keys in Markdown, for docs/configuration.md.
func Reference(kinds []Kind) string {
	var b strings.Builder
	section(&b, "## Top level", "", &rootObject)
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
		for _, key := range k.Keys {
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
			row(&b, key.Name, typ, def, key.Required, key.Doc)
		}
		b.WriteByte('\n')
	}
	section(&b, "## targets", "", &targetObject)
	section(&b, "### redirect", "", &redirectObject)
	section(&b, "### groups", "", &groupObject)
	section(&b, "### LUN map", "A mapping from LUN, 0 to 16383, to the name of a device, or to a mapping:", &lunObject)
	section(&b, "### chap", "", &chapObject)
	section(&b, "### credential", "Exactly one of the sources of the secret is given.", &credentialObject)
	return strings.TrimRight(b.String(), "\n") + "\n"
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
