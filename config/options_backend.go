package config

// backendTable is every backend section and [backend_defaults].
var backendTable = table{"backend", OfBackend, append([]option{
	{name: "volume_driver", check: checkDriver, help: "The driver: `cinder.volume.drivers.rbd.RBDDriver` or `rbd`; `mem` keeps volumes in memory, for tests. Required."},
	{name: "volume_backend_name", help: "The scheduler's name for the backend; several may share one."},
	{name: "backend_host", own: true, reach: OfService, check: checkHost, help: "Replaces the host part of `host@backend`, so that nodes of an active-passive pair are one service. Only the section's own value counts."},
	{name: "backend_availability_zone", help: "Availability zone of this backend instead of storage_availability_zone."},
	{name: "backend_native_threads_pool_size", kind: integer, def: "20", min: ptr(20), unit: "calls", help: "Blocking calls to the storage at the same time."},
	{name: "reserved_percentage", kind: integer, def: "0", min: ptr(0), max: ptr(100), unit: "%", help: "Capacity reported as not to be used."},
	{name: "max_over_subscription_ratio", def: "20.0", check: checkRatio, help: "Provisioned to real capacity, at least 1; or `auto`."},
	{name: "extra_capabilities", idle: true, kind: object, def: "{}", help: "Added to the reported capabilities."},
	{name: "filter_function", idle: true, help: "Reported for the scheduler."},
	{name: "goodness_function", idle: true, help: "Reported for the scheduler."},

	{name: "rbd_pool", def: "rbd", check: checkPool, help: "Pool with the volumes."},
	{name: "image_rbd_allow", kind: list, help: "Other pools of the cluster whose images may be cloned by `rbd://fsid/pool/image/snapshot`. **Any project may read every snapshot there.** Empty: none."},
	{name: "image_volume_cache_enabled", kind: boolean, def: "false", help: "Keep images that volumes were made of, so that further volumes are clones of them."},
	{name: "image_volume_cache_max_size_gb", kind: integer, def: "0", min: ptr(0), unit: "GiB", help: "The most that these images have together; those that were not used for the longest time go. 0: no limit."},
	{name: "image_volume_cache_max_count", kind: integer, def: "0", min: ptr(0), unit: "images", help: "The most of these images; 0: no limit."},
	{name: "rbd_user", help: "cephx user without `client.`. Unset: the library's (`admin`), and no authentication in connection info."},
	{name: "rbd_ceph_conf", help: "Ceph's configuration file. Empty: the library's default places."},
	{name: "rbd_cluster_name", def: "ceph", check: checkNotEmpty, help: "Cluster name; decides the default configuration file and keyring."},
	{name: "rbd_secret_uuid", auto: "the cluster's fsid", help: "libvirt secret in connection info."},
	{name: "rbd_flatten_volume_from_snapshot", kind: boolean, def: "false", help: "Flatten every volume made from a snapshot, in the background."},
	{name: "rbd_max_clone_depth", kind: integer, def: "5", unit: "levels", help: "The most images that a volume depends on, one above the other; 0 or less: volumes depend on nothing, always copy."},
	{name: "rbd_max_snapshots_per_image", kind: integer, def: "250", min: ptr(0), unit: "snapshots", help: "The most snapshots of a volume, with the hidden ones that live on for its clones; from three quarters of it the clones are flattened, in the background. 0: no limit."},
	{name: "rbd_store_chunk_size", kind: integer, def: "4", min: ptr(1), max: ptr(32), unit: "MiB", check: checkPowerOfTwo, help: "Object size of new images, a power of two."},
	{name: "rbd_clone_format", def: "2", choices: []string{"2", "1", "auto"}, help: "Format of new clones; `auto` leaves it to the cluster. Old kernels cannot map clones of format 2."},
	{name: "rados_connect_timeout", kind: seconds, def: "-1", min: ptr(-1), help: "Timeout of connecting and of calls on the control connection; -1: the service's own, 0: endless."},
	{name: "rados_connection_retries", idle: true, kind: integer, def: "3", min: ptr(1), unit: "tries", help: "Tries to connect, and to delete or unprotect what is busy."},
	{name: "rados_connection_interval", idle: true, kind: seconds, def: "5", min: ptr(0), help: "First wait between those tries; it doubles."},
	{name: "replication_connect_timeout", idle: true, kind: seconds, def: "5", min: ptr(-1), help: "As rados_connect_timeout, for promote and demote."},
	{name: "report_dynamic_total_capacity", kind: boolean, def: "true", help: "Report used plus available as total; false: the quota or the pool's size."},
	{name: "rbd_exclusive_cinder_pool", kind: boolean, def: "true", help: "Nothing else writes to the pool, so the sizes of all images need not be summed up."},
	{name: "enable_deferred_deletion", kind: boolean, def: "false", help: "Keep deleted volumes in the trash for deferred_deletion_delay."},
	{name: "deferred_deletion_delay", kind: seconds, def: "0", min: ptr(0), help: "How long a deleted volume can be restored."},
	{name: "deferred_deletion_purge_interval", idle: true, kind: seconds, def: "60", min: ptr(1), help: "Time between two rounds of reclaim."},
	{name: "rbd_concurrent_flatten_operations", kind: integer, def: "3", min: ptr(0), unit: "operations", help: "Flattens at the same time; 0: no limit."},
	{name: "rbd_flatten_min_rate", kind: integer, def: "4", min: ptr(1), unit: "MiB/s", help: "What all flattens together copy at least, though clients of the cluster suffer from it; where none do they are as fast as they can."},
	{name: "replication_device", idle: true, kind: devices, secret: true, help: "`backend_id:NAME,conf:PATH,user:NAME,secret_uuid:UUID`, one line per target; backend_id is required."},

	{name: "rbd_keyring_conf", kind: ignored, warn: "it was removed because it gave the key to every caller; put the keyring's path into the file named by rbd_ceph_conf"},
}, ignore(`
	driver_data_namespace trace_flags enable_unsupported_driver suppress_requests_ssl_warnings volume_clear
	volume_clear_size volume_clear_ionice driver_use_ssl driver_ssl_cert_verify driver_ssl_cert_path
	driver_client_cert driver_client_cert_key target_helper target_prefix target_protocol target_ip_address
	target_port target_secondary_ip_addresses iscsi_helper iscsi_protocol iscsi_ip_address iscsi_port
	iscsi_write_cache iscsi_iotype iscsi_target_flags iscsi_target_prefix iscsi_secondary_ip_addresses
	chap_username chap_password use_chap_auth nvmet_port_id nvmet_ns_id nvmeof_conn_info_version
	nvmeof_new_conn_info scst_target_driver scst_target_iqn_name volumes_dir volume_group
	storage_protocol report_discard_supported image_upload_use_cinder_backend
	image_upload_use_internal_tenant use_multipath_for_image_xfer enforce_multipath_for_image_xfer
	volume_dd_blocksize volume_copy_bps_limit volume_copy_blkio_cgroup_name backup_use_temp_snapshot
	num_shell_tries num_volume_device_scan_tries unmanaged_snapshot_prefix sf_volume_prefix
	vendor_name use_default_quota_class backend_name managed_replication_target
	volume_usage_by_pool rbd_iscsi_api_user rbd_iscsi_api_password rbd_iscsi_api_url
	rbd_iscsi_target_iqn glance_rbd_store_pool max_luns_per_storage_group
`)...)}
