package config

// databaseTable is [database].
var databaseTable = table{"database", OfService, append([]option{
	{name: "connection", secret: true, def: "sqlite:///$state_path/volumed.sqlite", check: checkConnection, help: "`sqlite:////ABSOLUTE/PATH`, for the processes of one machine, or `postgresql://USER:PASSWORD@HOST/DATABASE`."},
	{name: "max_pool_size", idle: true, kind: integer, def: "5", min: ptr(0), unit: "connections", help: "Connections that one process keeps open; 0: no limit."},
	{name: "max_overflow", idle: true, kind: integer, def: "50", min: ptr(-1), unit: "connections", help: "Connections above max_pool_size while they are needed; -1: no limit."},
	{name: "pool_timeout", idle: true, kind: seconds, def: "30", min: ptr(1), help: "Longest wait for a free connection."},
	{name: "connection_recycle_time", idle: true, kind: seconds, def: "3600", min: ptr(-1), help: "Age at which an idle connection is replaced; -1: never."},
	{name: "max_retries", idle: true, kind: integer, def: "10", min: ptr(-1), unit: "tries", help: "Tries of the first connection; -1: endless."},
	{name: "retry_interval", idle: true, kind: seconds, def: "10", min: ptr(1), help: "Wait between those tries."},
}, ignore(`
	backend slave_connection connection_parameters connection_debug connection_trace use_db_reconnect
	db_retry_interval db_inc_retry_interval db_max_retry_interval db_max_retries sqlite_synchronous
	synchronous_reader mysql_sql_mode mysql_wsrep_sync_wait mysql_enable_ndb min_pool_size idle_timeout
	use_tpool asyncio_connection asyncio_slave_connection
`)...)}

// natsTable is [nats].
var natsTable = table{"nats", OfService, []option{
	{name: "url", secret: true, check: checkNATS, help: "`nats://HOST:PORT`, several separated by commas. Unset: a bus of the service's own, on this machine."},
	{name: "listen", def: "127.0.0.1:4222", check: checkListen, help: "host:port of the service's own bus."},
	{name: "creds", secret: true, help: "Path of a `.creds` file (JWT and seed)."},
	{name: "nkey", secret: true, help: "Path of a file with an nkey seed."},
	{name: "tls_ca", help: "Path of the CA certificates the server is checked against."},
	{name: "tls_cert", help: "Path of the client's certificate."},
	{name: "tls_key", help: "Path of the client's key."},
	{name: "reconnect_wait", kind: duration, def: "1", min: ptr(0), help: "Longest wait between two tries to reconnect; the first come sooner, 50 ms after the loss, 100 ms after that, and so on."},
	{name: "reconnect_jitter", kind: duration, def: "0.5", min: ptr(0), help: "Upper bound of a random addition to it."},
	{name: "ping_interval", kind: duration, def: "10", min: ptr(1), help: "Time between two pings to the server."},
	{name: "ping_max_out", kind: integer, def: "2", min: ptr(1), unit: "pings", help: "Unanswered pings at which the connection counts as lost."},
	{name: "pending_msgs_limit", kind: integer, def: "65536", min: ptr(1), unit: "messages", help: "Received requests that may wait before more are dropped."},
	{name: "pending_bytes_limit", kind: integer, def: "67108864", min: ptr(1), unit: "bytes", help: "The same in bytes."},
}}

// launcherTable is [launcher].
var launcherTable = table{"launcher", OfSupervisor, []option{
	{name: "max_parallel_init", kind: integer, def: "4", min: ptr(1), unit: "processes", help: "Backends that start up at the same time."},
	{name: "ready_timeout", kind: duration, def: "90", min: ptr(1), help: "Longest wait for backends before the service calls itself ready with those it has."},
	{name: "restart_burst", kind: integer, def: "5", min: ptr(0), unit: "restarts", help: "Deaths within 60 s after which a backend that was ready is no longer restarted at once."},
	{name: "restart_min", kind: duration, def: "1", min: ptr(0), help: "First delay of a restart; it doubles."},
	{name: "restart_max", kind: duration, def: "60", min: ptr(0), help: "Longest delay of a restart."},
	{name: "loyal_after", kind: duration, def: "60", min: ptr(0), help: "Time of being ready after which a death is forgiven."},
	{name: "crash_loop_deaths", kind: integer, def: "5", min: ptr(1), unit: "deaths", help: "Deaths before ready within 60 s above which a backend is in a crash loop."},
	{name: "watchdog_interval", idle: true, kind: duration, def: "5", min: ptr(1), help: "Time between two signs of life of a child."},
	{name: "watchdog_timeout", kind: duration, def: "30", min: ptr(1), help: "Silence after which a child is taken as hung."},
	{name: "orphan_grace", kind: duration, def: "10", min: ptr(0), help: "Time that a child has to end its work when its parent died."},
	{name: "kill_after", kind: duration, def: "2", min: ptr(0), help: "Wait after graceful_shutdown_timeout before a child is killed."},
	{name: "reload_restart", def: "changed", choices: []string{"changed", "never"}, help: "Whether a reload replaces the backends whose own options changed."},
	{name: "warm_timeout", kind: duration, def: "60", min: ptr(1), help: "Time that a replacing child has to get ready."},
	{name: "db_sync_timeout", kind: duration, def: "300", min: ptr(1), help: "Longest run of the database migrations at start."},
	{name: "control_socket", reach: OfService, def: "$state_path/volumed.sock", check: checkSocket, help: "Socket of status, reload and the like. Absolute, at most 107 bytes."},
}}

// reportsTable is [oslo_reports].
var reportsTable = table{"oslo_reports", OfService, []option{
	{name: "log_dir", check: checkAbsolute, help: "Directory of the reports about running processes. Empty: they go to stderr."},
	{name: "file_event_handler", check: checkAbsolute, help: "A file; to touch or create it asks for a report of all processes. Empty: none is watched."},
	{name: "file_event_handler_interval", kind: seconds, def: "1", min: ptr(1), help: "Time between two looks at that file."},
}}

// tables are the sections with options of the service, in the order of docs.
var tables = []*table{&defaultTable, &databaseTable, &natsTable, &launcherTable, &reportsTable}

// backendDefaults is the section whose options count for every backend.
const backendDefaults = "backend_defaults"

// ignoredSections belong to other parts of a cloud that share the file.
var ignoredSections = []string{
	"backend", "barbican", "barbican_service_user", "brcd_fabric_example", "cinder_sys_admin", "cisco_fabric_example", "compute",
	"coordination", "cors", "fc-zone-manager", "glance", "healthcheck", "key_manager",
	"keystone_authtoken", "nova", "os_brick", "oslo_concurrency", "oslo_limit", "oslo_messaging_amqp",
	"oslo_messaging_kafka", "oslo_messaging_metrics", "oslo_messaging_notifications",
	"oslo_messaging_rabbit", "oslo_messaging_zmq", "oslo_middleware", "oslo_policy",
	"oslo_versionedobjects", "privsep", "privsep_osbrick", "profiler", "sample_castellan_source",
	"sample_remote_file_source", "service_user", "ssl", "vault",
}
