package config

import (
	"slices"
	"time"
)

// Config is one valid configuration, with every default filled in. It is not
// changed after Parse.
type Config struct {
	Default  Default
	Database Database
	NATS     NATS
	Launcher Launcher
	Reports  Reports
	// Backends are the enabled ones in the order of enabled_backends. Of a name
	// that is there twice, the second has Err.
	Backends []Backend
	// Warnings did not stop anything; each says once what to correct.
	Warnings []Problem

	problems []Problem // what failed the load or a backend
	settings []Setting
}

// Default holds [DEFAULT].
type Default struct {
	EnabledBackends             []string      `conf:"enabled_backends"`
	Host                        string        `conf:"host"`
	MyIP                        string        `conf:"my_ip"`
	Cluster                     string        `conf:"cluster"`                              // empty: none
	StatePath                   string        `conf:"state_path"`                           // absolute
	StorageAvailabilityZone     string        `conf:"storage_availability_zone"`            //
	VolumeNameTemplate          string        `conf:"volume_name_template"`                 // has one %s
	SnapshotNameTemplate        string        `conf:"snapshot_name_template"`               // has one %s
	ImageConversionDir          string        `conf:"image_conversion_dir"`                 // absolute
	ImageConversionCPULimit     time.Duration `conf:"image_conversion_cpu_limit"`           // 0: none
	ImageConversionMemoryLimit  int           `conf:"image_conversion_address_space_limit"` // GiB; 0: none
	ImageFileAllow              []string      `conf:"image_file_allow"`                     // absolute
	ImageURLAllow               []string      `conf:"image_url_allow"`                      // addresses and networks
	ImageIdleTimeout            time.Duration `conf:"image_idle_timeout"`                   // >= 1 s
	ImageMinRate                int           `conf:"image_min_rate"`                       // KiB/s; 0: none
	ReportInterval              time.Duration `conf:"report_interval"`                      // 0: no heartbeat
	ServiceDownTime             time.Duration `conf:"service_down_time"`                    // > ReportInterval
	PeriodicInterval            time.Duration `conf:"periodic_interval"`                    // 0: none
	PeriodicFuzzyDelay          time.Duration `conf:"periodic_fuzzy_delay"`                 //
	BackendStatsPollingInterval time.Duration `conf:"backend_stats_polling_interval"`       // >= 3 s
	GracefulShutdownTimeout     time.Duration `conf:"graceful_shutdown_timeout"`            // 0: endless
	RPCResponseTimeout          time.Duration `conf:"rpc_response_timeout"`                 //
	ExecutorThreadPoolSize      int           `conf:"executor_thread_pool_size"`            // >= 1
	OperationRetention          time.Duration `conf:"operation_retention"`                  //
	EnableNewServices           bool          `conf:"enable_new_services"`
	ReinitDriverCount           int           `conf:"reinit_driver_count"`
	InitHostMaxObjectsRetrieval int           `conf:"init_host_max_objects_retrieval"` // 0: the service's own
	TransportURL                Secret        `conf:"transport_url"`                   // as written; NATS.URL is what counts
	MetricsListen               string        `conf:"metrics_listen"`                  // empty: none
	Debug                       bool          `conf:"debug"`
	LogFile                     string        `conf:"log_file"` // with log_dir applied; empty: stderr
	LogDir                      string        `conf:"log_dir"`
	UseJSON                     bool          `conf:"use_json"`
	LogOptions                  bool          `conf:"log_options"`
	DefaultLogLevels            []string      `conf:"default_log_levels"` // name=LEVEL
}

// Database holds [database].
type Database struct {
	// Connection is sqlite:////ABSOLUTE/PATH or postgresql://…, nothing else.
	Connection            Secret        `conf:"connection"`
	MaxPoolSize           int           `conf:"max_pool_size"`           // 0: no limit
	MaxOverflow           int           `conf:"max_overflow"`            // -1: no limit
	PoolTimeout           time.Duration `conf:"pool_timeout"`            //
	ConnectionRecycleTime time.Duration `conf:"connection_recycle_time"` // < 0: never
	MaxRetries            int           `conf:"max_retries"`             // -1: endless
	RetryInterval         time.Duration `conf:"retry_interval"`
}

// NATS holds [nats].
type NATS struct {
	// URL is one NATS URL or several separated by commas, from [nats] url or a
	// transport_url of that kind; empty means the embedded bus.
	URL               Secret        `conf:"url"`
	Listen            string        `conf:"listen"` // host:port of the embedded bus
	Creds             Secret        `conf:"creds"`  // a path
	NKey              Secret        `conf:"nkey"`   // a path
	TLSCA             string        `conf:"tls_ca"`
	TLSCert           string        `conf:"tls_cert"` // both or none with TLSKey
	TLSKey            string        `conf:"tls_key"`
	ReconnectWait     time.Duration `conf:"reconnect_wait"`
	ReconnectJitter   time.Duration `conf:"reconnect_jitter"`
	PingInterval      time.Duration `conf:"ping_interval"`
	PingMaxOut        int           `conf:"ping_max_out"`
	PendingMsgsLimit  int           `conf:"pending_msgs_limit"`
	PendingBytesLimit int           `conf:"pending_bytes_limit"`
}

// Launcher holds [launcher].
type Launcher struct {
	MaxParallelInit  int           `conf:"max_parallel_init"`
	ReadyTimeout     time.Duration `conf:"ready_timeout"`
	RestartBurst     int           `conf:"restart_burst"`
	RestartMin       time.Duration `conf:"restart_min"` // <= RestartMax
	RestartMax       time.Duration `conf:"restart_max"`
	LoyalAfter       time.Duration `conf:"loyal_after"`
	CrashLoopDeaths  int           `conf:"crash_loop_deaths"`
	WatchdogInterval time.Duration `conf:"watchdog_interval"` // < WatchdogTimeout
	WatchdogTimeout  time.Duration `conf:"watchdog_timeout"`
	OrphanGrace      time.Duration `conf:"orphan_grace"`
	KillAfter        time.Duration `conf:"kill_after"`
	ReloadRestart    string        `conf:"reload_restart"` // changed or never
	WarmTimeout      time.Duration `conf:"warm_timeout"`
	DBSyncTimeout    time.Duration `conf:"db_sync_timeout"`
	ControlSocket    string        `conf:"control_socket"` // absolute
}

// Reports holds [oslo_reports].
type Reports struct {
	LogDir           string        `conf:"log_dir"`            // absolute; empty: stderr
	FileEventHandler string        `conf:"file_event_handler"` // absolute; empty: none
	FileEventEvery   time.Duration `conf:"file_event_handler_interval"`
}

// Backend returns the enabled backend of that name.
func (c *Config) Backend(name string) (*Backend, bool) {
	for i := range c.Backends {
		if c.Backends[i].Name == name {
			return &c.Backends[i], true
		}
	}
	return nil, false
}

// Problems returns everything there is to say about the configuration: what
// failed the load, what failed single backends, then the warnings.
func (c *Config) Problems() []Problem {
	var all []Problem
	for _, list := range [][]Problem{c.problems, c.Warnings} {
		for _, p := range list {
			all = add(all, p)
		}
	}
	return all
}

// Setting is one option as it was read: written or by default, $names put in.
type Setting struct {
	Section, Option string
	// Value is the text of the value with secrets as "***".
	Value string
	// Origin is "file:line", "environment NAME" or "default".
	Origin string
	// Reach says what has to be done for another value to take effect.
	Reach Reach
	// Fingerprint stands for the value where values are compared, within one process:
	// equal values have equal ones, and nobody can tell a secret from it.
	Fingerprint string
}

// Reach is how far the change of an option reaches while the service runs.
type Reach int

// How far a change can reach.
const (
	OfService    Reach = iota + 1 // the whole service has to be restarted
	OfBackend                     // the process of the backend has to be replaced
	OfSupervisor                  // the supervisor takes it over at once; workers do not know it
	OfAll                         // all processes take it over at once
	Nowhere                       // it is without effect
)

// Effective returns every option that has an effect, section by section, for
// reports and logs. Options with an invalid value are left out.
func (c *Config) Effective() []Setting { return append([]Setting(nil), c.settings...) }

// EffectiveAfter returns the same of a process that was started with c and has taken
// over since what next has of the given reaches. Sections come and go with next.
func (c *Config) EffectiveAfter(next *Config, taken ...Reach) []Setting {
	type name struct{ section, option string }
	started := map[name]Setting{}
	for _, s := range c.settings {
		started[name{s.Section, s.Option}] = s
	}
	settings := next.Effective()
	for i, s := range settings {
		if old, known := started[name{s.Section, s.Option}]; known && !slices.Contains(taken, s.Reach) {
			settings[i] = old
		}
	}
	return settings
}
