package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// enabled is one name of enabled_backends, with what speaks against it.
type enabled struct {
	name         string
	reason, hint string
}

// enable reads enabled_backends and makes a scope of each name that can be one,
// before anything else is read: other options may refer to $name.option.
func (p *parser) enable() (list []enabled, from origin) {
	o := defaultTable.find("enabled_backends")
	res, err := p.resolve.get(p.resolve.scopes[defaultSection], o)
	if err != nil { // reported when [DEFAULT] is read
		return nil, origin{}
	}
	names, _ := res.value.([]string)
	for _, name := range names {
		if name == "" {
			continue
		}
		e := enabled{name: name}
		if e.reason, e.hint = p.refuseName(name); e.reason == "" {
			p.resolve.scopes[name] = &scope{name, []string{name, backendDefaults}, &backendTable}
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		p.fail(Problem{
			Section: defaultSection, Option: o.name, Reason: "no backend is enabled",
			Hint: "write enabled_backends = NAME, and a section [NAME] with volume_driver",
		}.at(res.origin))
	}
	return list, res.origin
}

// refuseName says why a name cannot be that of a backend.
func (p *parser) refuseName(name string) (reason, hint string) {
	const rename = "give the backend another name"
	forbidden := func(r rune) bool { return strings.ContainsRune("@#/$]*>", r) || unicode.IsSpace(r) }
	if i := strings.IndexFunc(name, forbidden); i >= 0 {
		return fmt.Sprintf("has a %q in its name", name[i]), rename
	}
	if o := defaultTable.find(name); o != nil {
		return "has the name of an option of [DEFAULT]", rename
	}
	if strings.EqualFold(name, defaultSection) || slices.Contains(ignoredSections, fold(name)) {
		return "has the name of another section", rename
	}
	for known, s := range p.resolve.scopes {
		switch {
		case fold(known) != fold(name):
		case s.table == &backendTable && known != backendDefaults:
			return "is enabled twice; the first one counts", "delete one; two services of one name would serve the same volumes"
		default:
			return "has the name of another section", rename
		}
	}
	return "", ""
}

// backends fills one Backend for each enabled name.
func (p *parser) backends(list []enabled, from origin) {
	for _, e := range list {
		b := Backend{Name: e.name}
		bad := p.backend(&b, e, from)
		for _, pr := range bad {
			p.fail(pr)
		}
		b.Err = join(bad)
		p.config.Backends = append(p.config.Backends, b)
	}
}

// backend fills b and returns what keeps it from starting.
func (p *parser) backend(b *Backend, e enabled, from origin) []Problem {
	refused := Problem{Section: defaultSection, Option: "enabled_backends"}.at(from)
	if e.reason != "" {
		refused.Reason, refused.Hint = fmt.Sprintf("backend %s %s", quoted(e.name), e.reason), e.hint
		return []Problem{refused}
	}
	own := p.tree.section(e.name)
	if own == nil {
		refused.Reason = fmt.Sprintf("there is no section [%s]", e.name)
		refused.Hint = cmp.Or(nearHint(e.name, p.unclaimed()), "add the section, or take the name out")
		return []Problem{refused}
	}
	origins, bad := p.bind(p.resolve.scopes[e.name], b)
	isDriver := func(pr Problem) bool { return pr.Option == "volume_driver" }
	if origins["volume_driver"] == (origin{}) && !slices.ContainsFunc(bad, isDriver) {
		bad = append(bad, p.missingDriver(own))
	}
	b.VolumeDriver = drivers[b.VolumeDriver]
	b.completeReplication()
	return bad
}

// missingDriver points at the misspelt volume_driver if there is one: left at
// a warning, that mistake would cost its reader the longest search.
func (p *parser) missingDriver(own *section) Problem {
	for _, s := range []*section{own, p.tree.section(backendDefaults)} {
		if s == nil {
			continue
		}
		for _, key := range s.order {
			if backendTable.find(key) == nil && nearest(key, []string{"volume_driver"}) != "" {
				return Problem{
					Section: s.name, Option: key,
					Reason: "unknown option, and volume_driver is missing", Hint: "did you mean volume_driver?",
				}.at(s.entries[key][0].origin)
			}
		}
	}
	return Problem{
		Section: own.name, Option: "volume_driver", Reason: "is not set",
		Hint: "write volume_driver = cinder.volume.drivers.rbd.RBDDriver",
	}.at(own.origin)
}

// unclaimed are the sections that nothing reads.
func (p *parser) unclaimed() []string {
	var names []string
	for _, s := range p.tree.sorted() {
		if p.tableOf(s.name) == nil {
			names = append(names, s.name)
		}
	}
	return names
}

// completeReplication fills in what a replication_device leaves out.
func (b *Backend) completeReplication() {
	for i := range b.ReplicationDevices {
		d := &b.ReplicationDevices[i]
		d.Conf = cmp.Or(d.Conf, "/etc/ceph/"+d.BackendID+".conf")
		d.User = cmp.Or(d.User, b.RBDUser, "cinder")
		d.SecretUUID = cmp.Or(d.SecretUUID, Secret(b.RBDSecretUUID))
	}
}
