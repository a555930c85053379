package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/internal/manual"
)

func manualCommand() *cobra.Command {
	return manual.Command(manual.Program{
		Section: 8, Version: version, SeeAlso: []string{"`volumed.conf`(5)", "`volumectl`(1)"},
	}, configPage)
}

// configPage is volumed.conf(5), from the same tables as docs/config.md.
func configPage() *manual.Page {
	p := manual.NewPage("volumed.conf", 5, "configuration of volumed", "volumed "+version)
	p.Heading("SYNOPSIS")
	p.Text(config.DefaultFile + "\n\n" + config.DefaultDir + "/*.conf")
	p.Heading("DESCRIPTION")
	p.Text(`The files are in the dialect of cinder.conf. Without --config-file and
--config-dir the two above are read, those of the directory sorted by name.
Later values win, option by option; a variable OS_SECTION__OPTION in the
environment, such as OS_RBD0__RBD_POOL, wins over all files.

Every name in ` + "`enabled_backends`" + ` has a section of its own, with the options
of ` + "`[backend_defaults]`" + `, where those that all backends share may stand.

    [DEFAULT]
    enabled_backends = rbd0

    [rbd0]
    volume_driver = cinder.volume.drivers.rbd.RBDDriver
    rbd_pool = volumes
    rbd_user = volumed

A line that starts with # or ; is a comment; there are no comments behind a
value. A line that starts with a blank continues the value above it. $name stands
for the value of another option, $$ for a $.

` + "`volumed check-config`" + ` tells every mistake with its file and line. A mistake in
the section of a backend keeps that backend from starting, any other the service.`)
	for _, s := range config.Describe() {
		title := "[" + s.Name + "]"
		if s.Name == "backend_defaults" {
			title += " and the sections of backends"
		}
		p.Heading(title)
		for _, o := range s.Options {
			p.Item("`"+o.Name+"` ("+facts(o)+")", o.Meaning)
		}
	}
	p.Heading("SEE ALSO")
	p.Text("`volumed`(8), `volumed-check-config`(8)")
	return p
}

// facts is what there is to know about the values of an option, in one line.
func facts(o config.Option) string {
	list := []string{o.Type}
	for _, fact := range []string{o.Unit, o.Range} {
		if fact != "" {
			list = append(list, fact)
		}
	}
	if o.Secret {
		list = append(list, "secret")
	}
	if o.Default != "" {
		list = append(list, "default: "+o.Default)
	}
	return strings.Join(list, "; ")
}
