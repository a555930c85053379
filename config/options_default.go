package config

// defaultTable is [DEFAULT].
var defaultTable = table{defaultSection, OfService, append([]option{
	{name: "enabled_backends", reach: OfSupervisor, kind: list, help: "Names of the backend sections to serve, one process each. Required."},
	{name: "host", auto: "the host name", check: checkHost, help: "Name of this node in `host@backend`; opaque, must stay the same over restarts."},
	{name: "my_ip", idle: true, auto: "address of the default route", help: "Address of this node, for `$my_ip`."},
	{name: "cluster", check: checkCluster, help: "Name shared by all nodes that serve the same backends together. Empty: none."},
	{name: "state_path", def: "/var/lib/volumed", check: checkAbsolute, help: "Directory for locks, sockets, the embedded database and conversions. Absolute."},
	{name: "storage_availability_zone", def: "nova", help: "Availability zone of the backends that name no other."},
	{name: "volume_name_template", def: "volume-%s", check: checkTemplate, help: "Name of a volume's image; `%s` is its id."},
	{name: "snapshot_name_template", def: "snapshot-%s", check: checkTemplate, help: "Name of a snapshot; `%s` is its id."},
	{name: "image_conversion_dir", def: "$state_path/conversion", check: checkAbsolute, help: "Directory for images that have to be had whole before they can be read. Nothing in it has a name, or outlives its process."},
	{name: "image_conversion_cpu_limit", kind: seconds, def: "60", min: ptr(0), help: "Time on the CPU that qemu-img may take to read an image's header, and again for each GiB that it converts; 0: no limit."},
	{name: "image_conversion_address_space_limit", kind: integer, def: "4", min: ptr(0), unit: "GiB", help: "Address space of qemu-img, most of which librbd reserves and does not use; 0: no limit."},
	{name: "image_file_allow", kind: list, check: checkDirectories, help: "Directories below which images may be read and written by `file:`. **Any project may read everything there.** Empty: none."},
	{name: "image_url_allow", kind: list, check: checkNetworks, help: "Addresses and networks, such as `10.1.2.0/24`, of web servers with images, beside all public ones. Private, loopback and link-local addresses are refused otherwise."},
	{name: "image_idle_timeout", kind: seconds, def: "60", min: ptr(1), help: "How long a server may be silent while an image is read from it or written to it, before the transfer is taken up anew."},
	{name: "image_min_rate", kind: integer, def: "16", min: ptr(0), unit: "KiB/s", help: "What a server has to send of an image at the least, over a minute of waiting for it; 0: anything will do."},

	{name: "report_interval", reach: OfAll, kind: seconds, def: "10", min: ptr(0), help: "Time between two heartbeats; 0: none."},
	{name: "service_down_time", reach: OfAll, kind: seconds, def: "60", min: ptr(1), help: "Age of the last heartbeat at which a service counts as down. Raised to 2.5 × report_interval when it is not above it."},
	{name: "periodic_interval", idle: true, kind: seconds, def: "60", min: ptr(0), help: "Time between two rounds of periodic tasks; 0: none."},
	{name: "periodic_fuzzy_delay", idle: true, kind: seconds, def: "60", min: ptr(0), help: "Upper bound of the random delay before the first round."},
	{name: "backend_stats_polling_interval", reach: OfAll, kind: seconds, def: "60", min: ptr(3), help: "Time between two reports of a backend's capacity."},
	{name: "graceful_shutdown_timeout", reach: OfAll, kind: seconds, def: "60", min: ptr(0), help: "Time that work in progress has to end when the service stops; 0: endless."},
	{name: "rpc_response_timeout", idle: true, kind: seconds, def: "60", min: ptr(1), help: "Longest wait for the answer to a call to another service."},
	{name: "executor_thread_pool_size", idle: true, kind: integer, def: "64", min: ptr(1), unit: "requests", old: []string{"rpc_thread_pool_size"}, help: "Requests that one backend handles at the same time."},
	{name: "operation_retention", reach: OfAll, kind: duration, def: "7d", min: ptr(60), help: "How long finished operations are kept; the same request id gives the same answer that long."},
	{name: "enable_new_services", kind: boolean, def: "true", help: "false: a backend that is seen for the first time starts disabled."},
	{name: "reinit_driver_count", idle: true, kind: integer, def: "3", min: ptr(0), unit: "tries", help: "Quick tries to set up a driver before the backend reports itself degraded; it is tried on after that."},
	{name: "init_host_max_objects_retrieval", idle: true, kind: integer, def: "0", min: ptr(0), unit: "rows", help: "Page size of the rows read at start; 0: the service's own."},
	{name: "transport_url", secret: true, help: "`nats://…` is taken as `[nats] url`. `rabbit://` and others are ignored with a warning."},
	{name: "metrics_listen", def: "127.0.0.1:18776", check: checkListen, help: "host:port of `/metrics`, `/livez` and `/readyz`; anyone who can connect can read them. Empty: none."},

	{name: "debug", reach: OfAll, kind: boolean, def: "false", help: "Log at level DEBUG instead of INFO."},
	{name: "log_file", old: []string{"logfile"}, help: "File to log to instead of stderr; relative to log_dir."},
	{name: "log_dir", old: []string{"logdir"}, help: "Directory of the log file; alone, the file is `volumed.log` in it."},
	{name: "use_json", kind: boolean, def: "false", help: "Log lines are JSON objects."},
	{name: "log_options", kind: boolean, def: "true", help: "Log all options at level DEBUG at start, secrets as `***`."},
	{name: "default_log_levels", reach: OfAll, kind: list, check: checkLevels, help: "Levels of single loggers and those below them: `name=LEVEL`, …; names in docs/logs.md."},

	{name: "log_config_append", kind: ignored, old: []string{"log_config"}, warn: "files of Python's logging are not read; use debug, log_file and default_log_levels"},
}, ignore(`
	backend_name default_availability_zone allow_availability_zone_fallback volume_manager
	run_external_periodic_tasks backdoor_port backdoor_socket volume_service_inithost_offload
	migration_create_volume_timeout_secs zoning_mode rootwrap_config default_volume_type split_loggers
	monkey_patch monkey_patch_modules rpc_ping_enabled control_exchange rpc_conn_pool_size conn_pool_min_size
	conn_pool_ttl log_date_format use_syslog use_journal use_stderr log_color syslog_log_facility
	log_rotation_type log_rotate_interval log_rotate_interval_type max_logfile_count max_logfile_size_mb
	logging_context_format_string logging_default_format_string logging_debug_format_suffix
	logging_exception_prefix logging_user_identity_format instance_format instance_uuid_format
	rate_limit_interval rate_limit_burst rate_limit_except_level publish_errors fatal_deprecations
	watch_log_file verbose rpc_backend config_source auth_strategy api_paste_config api_extensions_path
	osapi_volume_listen osapi_volume_listen_port osapi_volume_workers osapi_max_limit osapi_volume_base_URL
	osapi_volume_use_ssl public_endpoint enable_v3_api compute_api_class group_api_class volume_api_class
	volume_transfer_key_length volume_transfer_salt_length volume_group iscsi_helper target_helper
	volumes_dir volume_usage_audit_period send_actions glance_api_servers glance_api_version
	glance_api_insecure glance_api_ssl_compression glance_ca_certificates_file glance_catalog_info
	glance_core_properties glance_num_retries glance_request_timeout allowed_direct_url_schemes
	verify_glance_signatures enable_force_upload scheduler_manager scheduler_driver scheduler_host_manager
	scheduler_default_filters scheduler_default_weighers scheduler_driver_init_wait_time scheduler_max_attempts
	scheduler_weight_handler db_driver db_backend backup_driver backup_manager backup_name_template
	backup_ceph_conf backup_ceph_user backup_ceph_chunk_size backup_ceph_pool backup_ceph_stripe_unit
	backup_ceph_stripe_count backup_ceph_image_journals backup_ceph_max_snapshots backup_use_temp_snapshot
	backup_use_same_host backup_service_inithost_offload backup_workers backup_max_operations
	restore_discard_excess_bytes quota_volumes quota_snapshots quota_consistencygroups quota_groups
	quota_gigabytes quota_backups quota_backup_gigabytes quota_driver use_default_quota_class
	per_volume_size_limit no_snapshot_gb_quota reservation_expire reservation_clean_interval until_refresh max_age
	cinder_internal_tenant_project_id cinder_internal_tenant_user_id as_key_manager_enabled
	glance_volume_store_cache resource_query_filters_file use_forwarded_for enable_unsupported_driver
	nas_secure_file_operations nas_secure_file_permissions strict_ssh_host_key_policy ssh_hosts_key_file
	max_header_line tcp_keepalive tcp_keepalive_interval tcp_keepalive_count wsgi_default_pool_size
	wsgi_keep_alive client_socket_timeout storage_availability_zones image_compress_on_upload
	image_conversion_disable
	allow_compression_on_image_upload compression_format sqlalchemy_use_eventlet snapshot_same_host
	cloned_volume_same_az vendor_name transfer_api_class service_plugins
`)...)}
