package config

import "testing"

func TestOldNames(t *testing.T) {
	c := parse(t, minimal+"[DEFAULT]\nrpc_thread_pool_size = 3\nrpc_thread_pool_size = 4\n")
	if c.Default.ExecutorThreadPoolSize != 4 {
		t.Errorf("executor_thread_pool_size %d", c.Default.ExecutorThreadPoolSize)
	}
	mentions(t, c.Warnings, "a.conf:6: [DEFAULT] rpc_thread_pool_size: is an old name; write executor_thread_pool_size")
	c = parse(t, minimal+"[DEFAULT]\nrpc_thread_pool_size = 3\nexecutor_thread_pool_size = 5\n")
	if c.Default.ExecutorThreadPoolSize != 5 {
		t.Errorf("the old name wins: %d", c.Default.ExecutorThreadPoolSize)
	}
}

func TestStrangersWarn(t *testing.T) {
	in := minimal + `rbd_secret_uid = x
report_interval = 5
volume_clear = none
rbd_keyring_conf = /x
rbd_pool = volumes # the pool
[DEFAULT]
log-file = x
quota_volumes = 10
connection = x
log_config_append = /x
[default]
debug = true
[databse]
max_retries = 1
[rbd7]
volume_driver = LVM
[oslo_messaging_rabbit]
rabbit_password = x
[nats]
rul = nats://x
`
	c := mustParse(t, sources([]string{in}, "OS_DEFAULT__HSOT=x", "OS_RBD0__VOLUME_CLEAR=x", "OS_OTHER__X=y"))
	for _, want := range []string{
		"a.conf:5: [rbd0] rbd_secret_uid: unknown option; did you mean rbd_secret_uuid?",
		"a.conf:6: [rbd0] report_interval: has no effect here; move it to [DEFAULT]",
		"a.conf:8: [rbd0] rbd_keyring_conf: has no effect; ",
		"a.conf:9: [rbd0] rbd_pool: the # and what follows it is part of the value",
		"a.conf:11: [DEFAULT] log-file: unknown option; did you mean log_file?",
		"a.conf:13: [DEFAULT] connection: has no effect here; move it to [database]",
		"a.conf:14: [DEFAULT] log_config_append: has no effect; files of Python's logging",
		"a.conf:15: [default] unknown section; write [DEFAULT] in upper case",
		"a.conf:17: [databse] unknown section; did you mean database?",
		"a.conf:24: [nats] rul: unknown option; did you mean url?",
		"environment OS_DEFAULT__HSOT: [DEFAULT] hsot: unknown option; did you mean host?",
	} {
		mentions(t, c.Warnings, want)
	}
	if len(c.Warnings) != 11 || len(c.Problems()) != 11 {
		t.Errorf("%d warnings, want 11:\n%v", len(c.Warnings), join(c.Problems()))
	}
	for _, p := range c.Warnings {
		if !p.Warning {
			t.Errorf("not marked as a warning: %v", p)
		}
	}
}
