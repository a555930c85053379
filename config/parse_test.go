package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
)

func TestDefaults(t *testing.T) {
	c := healthy(t, parse(t, minimal))
	b := c.Backends[0]
	got := []any{
		c.Default.Host, c.Default.MyIP, c.Default.StatePath, c.Default.ImageConversionDir, c.Default.StorageAvailabilityZone,
		c.Default.ReportInterval, c.Default.ServiceDownTime, c.Default.GracefulShutdownTimeout, c.Default.OperationRetention,
		c.Database.Connection.Reveal(), c.NATS.URL.Reveal(), c.NATS.Listen, c.NATS.ReconnectJitter,
		c.Launcher.ControlSocket, c.Launcher.RestartBurst, c.Launcher.ReloadRestart,
		b.Name, b.VolumeDriver, b.RBDPool, b.RBDStoreChunkSize, b.RBDCloneFormat, b.RadosConnectTimeout,
		b.BackendNativeThreadsPoolSize, b.MaxOverSubscriptionRatio, b.ReportDynamicTotalCapacity, b.ServiceHost(c), b.AvailabilityZone(c),
	}
	want := []any{
		"node1", "192.0.2.7", "/var/lib/volumed", "/var/lib/volumed/conversion", "nova",
		10 * time.Second, time.Minute, time.Minute, 7 * 24 * time.Hour,
		"sqlite:////var/lib/volumed/volumed.sqlite", "", "127.0.0.1:4222", 500 * time.Millisecond,
		"/var/lib/volumed/volumed.sock", 5, "changed",
		"rbd0", DriverRBD, "rbd", 4, "2", -time.Second,
		20, "20.0", true, "node1@rbd0", "nova",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// TestCinderFile loads a file as people have it.
func TestCinderFile(t *testing.T) {
	c := parse(t, readFile(t, "testdata/article.conf"))
	if len(c.Problems()) != 2 {
		t.Errorf("problems: %v", join(c.Problems()))
	}
	mentions(t, c.Warnings, "a.conf:3: [DEFAULT] transport_url: is ignored", "[nats] url")
	mentions(t, c.Warnings, "a.conf:6: [DEFAULT] my_ip: has no effect in this version")
	var got []string
	for _, b := range c.Backends {
		got = append(got, b.ServiceHost(c), b.VolumeDriver, b.RBDPool, b.RBDUser, b.RBDCephConf, b.VolumeBackendName)
		if b.Err != nil || b.RBDSecretUUID == "" {
			t.Errorf("%s: %v", b.Name, b.Err)
		}
	}
	want := []string{
		"rbd:volume_pool@rbd0", "rbd", "volume_pool", "cinder", "/etc/ceph/ceph.conf", "rbd0",
		"rbd:ssd_pool@rbd1", "rbd", "ssd_pool", "cinder", "/etc/ceph/ceph.conf", "rbd1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
	if got := c.Database.Connection.Reveal(); got != "postgresql://cinder:CINDER_DBPASS@controller/cinder" {
		t.Errorf("connection %q", got)
	}
}

func TestPrecedence(t *testing.T) {
	first := minimal + "rbd_pool = a\nrbd_user = a\n[backend_defaults]\nrbd_pool = d\nrbd_ceph_conf = /d\nreserved_percentage = 7\nbackend_host = d\n"
	second := "[RBD0]\nrbd_pool = b1\nrbd_pool = b2\nreserved_percentage =\n"
	t.Run("files", func(t *testing.T) {
		c := parse(t, first, second)
		b := c.Backends[0]
		if b.RBDPool != "b2" || b.RBDUser != "a" || b.RBDCephConf != "/d" || b.ReservedPercentage != 7 {
			t.Errorf("got %+v", b)
		}
		if b.ServiceHost(c) != "node1@rbd0" {
			t.Errorf("host %s is that of [backend_defaults]", b.ServiceHost(c))
		}
		mentions(t, c.Problems(), "[backend_defaults] backend_host: has no effect here")
	})
	t.Run("environment", func(t *testing.T) {
		c := mustParse(t, sources([]string{first, second}, "OS_RBD0__RBD_POOL=e", "OS_DEFAULT__HOST=h", "OS_BACKEND_DEFAULTS__RBD_USER=lost", "HOME=/root"))
		b := c.Backends[0]
		if b.RBDPool != "e" || b.RBDUser != "a" || b.ServiceHost(c) != "h@rbd0" {
			t.Errorf("got %+v, host %s", b, c.Default.Host)
		}
	})
	t.Run("a string set to nothing is set", func(t *testing.T) {
		c := parse(t, minimal+"rbd_user =\n[backend_defaults]\nrbd_user = d\n")
		if got := c.Backends[0].RBDUser; got != "" {
			t.Errorf("rbd_user %q", got)
		}
	})
	t.Run("a repeated option replaces the default whole", func(t *testing.T) {
		c := parse(t, minimal+"rbd_user = u\nreplication_device = backend_id:x\n[backend_defaults]\nreplication_device = backend_id:y\nreplication_device = backend_id:z\n",
			"[rbd0]\nreplication_device = backend_id:w,conf:/w,user:v,secret_uuid:s\n")
		want := []ReplicationDevice{{"x", "/etc/ceph/x.conf", "u", ""}, {"w", "/w", "v", "s"}}
		if diff := cmp.Diff(want, c.Backends[0].ReplicationDevices); diff != "" {
			t.Errorf("devices (-want +got):\n%s", diff)
		}
	})
	t.Run("[DEFAULT] is not consulted for drivers", func(t *testing.T) {
		c := parse(t, minimal, "[DEFAULT]\nrbd_pool = lost\nvolume_driver = x\nbackend_host = x\n")
		if got := c.Backends[0].RBDPool; got != "rbd" {
			t.Errorf("rbd_pool %q", got)
		}
		mentions(t, c.Warnings, "b.conf:2: [DEFAULT] rbd_pool: has no effect here", "[backend_defaults]")
		mentions(t, c.Warnings, "b.conf:3: [DEFAULT] volume_driver: has no effect here")
		mentions(t, c.Warnings, "b.conf:4: [DEFAULT] backend_host: has no effect here")
	})
}

func TestWholeLoadFails(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"no backend":          {"[DEFAULT]\nhost = h\n", "[DEFAULT] enabled_backends: no backend is enabled; write enabled_backends ="},
		"empty list":          {"[DEFAULT]\nenabled_backends = ,\n", "a.conf:2: [DEFAULT] enabled_backends: no backend is enabled"},
		"no file at all":      {"", "no backend is enabled"},
		"number":              {minimal + "[DEFAULT]\nreport_interval = ten\n", `a.conf:6: [DEFAULT] report_interval: "ten" must be a whole number`},
		"range":               {minimal + "[DEFAULT]\nbackend_stats_polling_interval = 2\n", `"2" must be at least 3`},
		"host":                {minimal + "[DEFAULT]\nhost = a@b\n", "must not contain '@'"},
		"relative state_path": {minimal + "[DEFAULT]\nstate_path = var\n", "a.conf:6: [DEFAULT] state_path: \"var\" must be an absolute path"},
		"template":            {minimal + "[DEFAULT]\nvolume_name_template = v\n", "must contain %s once"},
		"template with two":   {minimal + "[DEFAULT]\nsnapshot_name_template = %s-%d\n", "must contain %s once"},
		"metrics":             {minimal + "[DEFAULT]\nmetrics_listen = 9100\n", "must be host:port"},
		"log level":           {minimal + "[DEFAULT]\ndefault_log_levels = rbd=LOUD\n", "a level that there is not"},
		"log levels":          {minimal + "[DEFAULT]\ndefault_log_levels = rbd\n", "name=LEVEL"},
		"MySQL":               {minimal + "[database]\nconnection = mysql+pymysql://c:geheim@h/c\n", "a.conf:6: [database] connection: MySQL and MariaDB are not supported; use postgresql://"},
		"bus":                 {minimal + "[nats]\nurl = rabbit://h\n", "[nats] url: is not a NATS URL; start it with nats://"},
		"bus, second":         {minimal + "[nats]\nurl = nats://a:1, b:2\n", "is not a NATS URL"},
		"transport_url":       {minimal + "[DEFAULT]\ntransport_url = nats://\n", "[DEFAULT] transport_url: is not a NATS URL"},
		"certificate alone":   {minimal + "[nats]\ntls_cert = /c\n", "a.conf:6: [nats] tls_cert: is set without tls_key"},
		"key alone":           {minimal + "[nats]\ntls_key = /c\n", "[nats] tls_key: is set without tls_cert"},
		"two identities":      {minimal + "[nats]\ncreds = /c\nnkey = /n\n", "a.conf:7: [nats] nkey: cannot be set together with creds"},
		"restart":             {minimal + "[launcher]\nrestart_min = 2m\n", "a.conf:6: [launcher] restart_min: 2m0s is too long for a restart_max of 1m0s"},
		"watchdog":            {minimal + "[launcher]\nwatchdog_timeout = 5\n", "a.conf:6: [launcher] watchdog_interval: 5s is too long for a watchdog_timeout of 5s"},
		"choice":              {minimal + "[launcher]\nreload_restart = chnged\n", "must be changed or never; did you mean changed?"},
		"long socket":         {minimal + "[launcher]\ncontrol_socket = /" + strings.Repeat("x", 107) + "\n", "is 108 bytes long, a socket's path can have 107"},
		"grammar":             {minimal + "  [x]\nabc\n", "a.conf:6: [rbd0] there is neither = nor :"},
		"environment":         {minimal, "environment OS_DEFAULT__DEBUG: [DEFAULT] debug: \"maybe\" must be true or false"},
		"comment after value": {minimal + "[DEFAULT]\ndebug = true # for now\n", "a comment cannot follow a value"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var environ []string
			if name == "environment" {
				environ = []string{"OS_DEFAULT__DEBUG=maybe"}
			}
			c, err := Parse(sources([]string{tc.in}, environ...))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if !errors.Is(err, fault.Invalid) || fault.KindOf(err) != fault.Invalid {
				t.Errorf("kind %q", fault.KindOf(err))
			}
			mentions(t, c.Problems(), tc.want)
		})
	}
}

// TestAllProblemsInOneGo has one mistake per section and expects all of them.
func TestAllProblemsInOneGo(t *testing.T) {
	c, err := Parse(sources([]string{"[DEFAULT]\nenabled_backends = rbd0\ndebug = x\nreport_interval = y\n[database]\nmax_retries = z\n[nats]\nlisten = w\n[rbd0]\nvolume_driver = rbd\nrbd_max_clone_depth = v\n"}))
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{"a.conf:3", "a.conf:4", "a.conf:6", "a.conf:8", "a.conf:11"} {
		mentions(t, c.Problems(), want+":")
	}
	if strings.Contains(err.Error(), "a.conf:11") {
		t.Errorf("the problem of a backend fails the load: %v", err)
	}
}

func TestServiceDownTimeIsRaised(t *testing.T) {
	c := parse(t, minimal+"[DEFAULT]\nreport_interval = 60\n")
	if c.Default.ServiceDownTime != 150*time.Second {
		t.Errorf("service_down_time %v", c.Default.ServiceDownTime)
	}
	mentions(t, c.Warnings, "a.conf:6: [DEFAULT] service_down_time: is not above report_interval, 2m30s is used")
}

func TestTransportURL(t *testing.T) {
	c := healthy(t, parse(t, minimal+"[DEFAULT]\ntransport_url = nats://u:p@h:4222,nats://i\n"))
	if got := c.NATS.URL.Reveal(); got != "nats://u:p@h:4222,nats://i" {
		t.Errorf("url %q", got)
	}
	c = parse(t, minimal+"[DEFAULT]\ntransport_url = nats://h\n[nats]\nurl = nats://g\n")
	if got := c.NATS.URL.Reveal(); got != "nats://g" {
		t.Errorf("url %q", got)
	}
	mentions(t, c.Warnings, "a.conf:6: [DEFAULT] transport_url: is ignored: [nats] url is set to another bus")
}

func TestLogFile(t *testing.T) {
	for in, want := range map[string]string{
		"log_dir = /l": "/l/volumed.log", "log_dir = /l\nlog_file = f": "/l/f", "log_dir = /l\nlog_file = /f": "/f",
		"log_file = f": "f", "logdir = /l\nlogfile = f": "/l/f", "": "",
	} {
		if got := parse(t, minimal+"[DEFAULT]\n"+in+"\n").Default.LogFile; got != want {
			t.Errorf("%q: log file %q, want %q", in, got, want)
		}
	}
}
