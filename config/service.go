package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// service fills the sections of the service. Everything wrong there fails the
// whole load.
func (p *parser) service() {
	c := p.config
	def := p.section(defaultSection, &c.Default)
	p.section("database", &c.Database)
	nats := p.section("nats", &c.NATS)
	launcher := p.section("launcher", &c.Launcher)
	p.section("oslo_reports", &c.Reports)

	p.checkDefault(def)
	p.normalizeDatabase()
	p.checkNATS(def, nats)
	p.checkLauncher(launcher)
}

func (p *parser) section(name string, target any) map[string]origin {
	origins, bad := p.bind(p.resolve.scopes[name], target)
	for _, pr := range bad {
		p.fail(pr)
	}
	return origins
}

func (p *parser) checkDefault(origins map[string]origin) {
	d := &p.config.Default
	d.Cluster = strings.TrimSpace(d.Cluster)
	d.EnabledBackends = slices.DeleteFunc(d.EnabledBackends, func(name string) bool { return name == "" })
	if d.ServiceDownTime <= d.ReportInterval && d.ServiceDownTime > 0 {
		from := origins["service_down_time"]
		if from == (origin{}) {
			from = origins["report_interval"]
		}
		d.ServiceDownTime = d.ReportInterval * 5 / 2
		p.warn(Problem{
			Section: defaultSection, Option: "service_down_time",
			Reason: "is not above report_interval, " + d.ServiceDownTime.String() + " is used",
			Hint:   "set it to at least 2.5 times report_interval",
		}.at(from))
	}
	switch {
	case d.LogDir != "" && d.LogFile == "":
		d.LogFile = filepath.Join(d.LogDir, "volumed.log")
	case d.LogDir != "" && !filepath.IsAbs(d.LogFile):
		d.LogFile = filepath.Join(d.LogDir, d.LogFile)
	}
}

// normalizeDatabase brings the connection into one of the two promised forms.
func (p *parser) normalizeDatabase() {
	connection, _, _ := parseConnection(p.config.Database.Connection.Reveal()) // checked when it was read
	p.config.Database.Connection = Secret(connection)
}

// checkNATS takes a transport_url of the right kind as the bus.
func (p *parser) checkNATS(def, origins map[string]origin) {
	n := &p.config.NATS
	transport := p.config.Default.TransportURL
	pr := Problem{Section: defaultSection, Option: "transport_url"}.at(def["transport_url"])
	switch reason, hint := checkNATS(transport.Reveal()); {
	case transport == "":
	case !strings.HasPrefix(transport.Reveal(), "nats://"):
		pr.Reason, pr.Hint = "is ignored: the bus of this service is NATS", "set [nats] url, or nothing for the bus on this machine"
		p.warn(pr)
	case reason != "":
		pr.Reason, pr.Hint = reason, hint
		p.fail(pr)
	case n.URL == "":
		n.URL = transport
	case n.URL != transport:
		pr.Reason, pr.Hint = "is ignored: [nats] url is set to another bus", "delete one of them"
		p.warn(pr)
	}
	p.exclusive(origins, "creds", n.Creds != "", "nkey", n.NKey != "")
	p.together(origins, "tls_cert", n.TLSCert != "", "tls_key", n.TLSKey != "")
}

func (p *parser) exclusive(origins map[string]origin, a string, hasA bool, b string, hasB bool) {
	if hasA && hasB {
		p.fail(Problem{
			Section: "nats", Option: b,
			Reason: "cannot be set together with " + a, Hint: "delete one of them",
		}.at(origins[b]))
	}
}

func (p *parser) together(origins map[string]origin, a string, hasA bool, b string, hasB bool) {
	if hasB && !hasA {
		a, b = b, a
	}
	if hasA != hasB {
		p.fail(Problem{Section: "nats", Option: a, Reason: "is set without " + b, Hint: "set both or none"}.at(origins[a]))
	}
}

func (p *parser) checkLauncher(origins map[string]origin) {
	l := &p.config.Launcher
	p.ordered(origins, "restart_min", l.RestartMin, "restart_max", l.RestartMax, l.RestartMin <= l.RestartMax)
	p.ordered(origins, "watchdog_interval", l.WatchdogInterval, "watchdog_timeout", l.WatchdogTimeout,
		l.WatchdogInterval < l.WatchdogTimeout)
}

// ordered fails two times that are the wrong way round. A zero may be a value
// that could not be read, which is reported already.
func (p *parser) ordered(origins map[string]origin, a string, least time.Duration, b string, most time.Duration, ok bool) {
	if ok || most == 0 {
		return
	}
	from := origins[a]
	if from == (origin{}) {
		from = origins[b]
	}
	p.fail(Problem{
		Section: "launcher", Option: a,
		Reason: least.String() + " is too long for a " + b + " of " + most.String(), Hint: "make " + b + " longer",
	}.at(from))
}
