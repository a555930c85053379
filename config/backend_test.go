package config

import (
	"strings"
	"testing"
)

// TestBadBackendFailsAlone has one good backend beside each bad one.
func TestBadBackendFailsAlone(t *testing.T) {
	const head = "[DEFAULT]\nenabled_backends = good, %\n[good]\nvolume_driver = mem\n"
	tests := map[string]struct{ enable, section, want string }{
		"misspelt volume_driver": {"rbd0", "[rbd0]\nvolume_dirver = cinder.volume.drivers.rbd.RBDDriver\n", "a.conf:6: [rbd0] volume_dirver: unknown option, and volume_driver is missing; did you mean volume_driver?"},
		"misspelt in defaults":   {"rbd0", "[rbd0]\nrbd_pool = p\n[backend_defaults]\nvolum_driver = rbd\n", "a.conf:8: [backend_defaults] volum_driver: unknown option, and volume_driver is missing"},
		"no volume_driver":       {"rbd0", "[rbd0]\nrbd_pool = p\n", "a.conf:5: [rbd0] volume_driver: is not set; write volume_driver = cinder"},
		"empty volume_driver":    {"rbd0", "[rbd0]\nvolume_driver =\n", "a.conf:6: [rbd0] volume_driver: \"\" is no driver of this service"},
		"unknown driver":         {"rbd0", "[rbd0]\nvolume_driver = cinder.volume.drivers.rdb.RBDDriver\n", "is no driver of this service; did you mean cinder.volume.drivers.rbd.RBDDriver?"},
		"other driver":           {"rbd0", "[rbd0]\nvolume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver\n", "is no driver of this service; write cinder.volume.drivers.rbd.RBDDriver"},
		"no section":             {"rbd0", "[rdb0]\nvolume_driver = rbd\n", "a.conf:2: [DEFAULT] enabled_backends: there is no section [rbd0]; did you mean rdb0?"},
		"no section like it":     {"rbd0", "", "there is no section [rbd0]; add the section"},
		"twice":                  {"good", "", `a.conf:2: [DEFAULT] enabled_backends: backend "good" is enabled twice`},
		"twice in other case":    {"GOOD", "", `backend "GOOD" is enabled twice`},
		"option's name":          {"host", "[host]\nvolume_driver = rbd\n", `backend "host" has the name of an option of [DEFAULT]`},
		"section's name":         {"database", "", `backend "database" has the name of another section`},
		"library's section":      {"Nova", "[nova]\nvolume_driver = rbd\n", `backend "Nova" has the name of another section`},
		"default":                {"default", "[default]\nvolume_driver = rbd\n", `backend "default" has the name of another section`},
		"backend_defaults":       {"backend_defaults", "", `backend "backend_defaults" has the name of another section`},
		"at":                     {"a@b", "[a@b]\nvolume_driver = rbd\n", `has a '@' in its name`},
		"hash":                   {"a#b", "", `has a '#' in its name`},
		"slash":                  {"a/b", "", `has a '/' in its name`},
		"dollar":                 {"a$$b", "", `has a '$' in its name`},
		"bracket":                {"a]b", "", `has a ']' in its name`},
		"blank":                  {"a b", "", `has a ' ' in its name`},
		"number":                 {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_max_clone_depth = five\n", `a.conf:7: [rbd0] rbd_max_clone_depth: "five" must be a whole number`},
		"number in defaults":     {"rbd0", "[good]\nrbd_exclusive_cinder_pool = yes\n[rbd0]\nvolume_driver = rbd\n[backend_defaults]\nrbd_exclusive_cinder_pool = maybe\n", `a.conf:10: [backend_defaults] rbd_exclusive_cinder_pool: "maybe" must be true or false`},
		"pool size":              {"rbd0", "[rbd0]\nvolume_driver = rbd\nbackend_native_threads_pool_size = 19\n", "must be at least 20"},
		"percentage":             {"rbd0", "[rbd0]\nvolume_driver = rbd\nreserved_percentage = 101\n", "must be at most 100"},
		"ratio":                  {"rbd0", "[rbd0]\nvolume_driver = rbd\nmax_over_subscription_ratio = 0.5\n", "at least 1, or auto"},
		"chunk not a power":      {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_store_chunk_size = 3\n", "must be a power of two; write 1, 2, 4, 8, 16 or 32"},
		"chunk too large":        {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_store_chunk_size = 64\n", "must be at most 32"},
		"chunk too small":        {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_store_chunk_size = 0\n", "must be at least 1"},
		"clone format":           {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_clone_format = 3\n", "must be 2 or 1 or auto"},
		"empty pool":             {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_pool =\n", "[rbd0] rbd_pool: \"\" must not be empty"},
		"pool with image":        {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_pool = a/b\n", "must be the name of a pool alone"},
		"empty cluster name":     {"rbd0", "[rbd0]\nvolume_driver = rbd\nrbd_cluster_name =\n", "must not be empty"},
		"retries":                {"rbd0", "[rbd0]\nvolume_driver = rbd\nrados_connection_retries = 0\n", "must be at least 1"},
		"extra_capabilities":     {"rbd0", "[rbd0]\nvolume_driver = rbd\nextra_capabilities = {x}\n", "must be a JSON object"},
		"backend_host":           {"rbd0", "[rbd0]\nvolume_driver = rbd\nbackend_host = a#b\n", "must not contain '#'"},
		"empty backend_host":     {"rbd0", "[rbd0]\nvolume_driver = rbd\nbackend_host =\n", "must not be empty"},
		"replication_device":     {"rbd0", "[rbd0]\nvolume_driver = rbd\nreplication_device = conf:/geheim\n", "a.conf:7: [rbd0] replication_device: has no backend_id"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := parse(t, strings.Replace(head, "%", tc.enable, 1)+tc.section)
			if len(c.Backends) != 2 || c.Backends[0].Err != nil || c.Backends[0].VolumeDriver != DriverMem {
				t.Fatalf("the good backend is not: %+v", c.Backends)
			}
			if c.Backends[1].Err == nil {
				t.Fatal("the bad backend may start")
			}
			mentions(t, c.problems, tc.want)
			if good, ok := c.Backend("good"); !ok || good.Err != nil {
				t.Errorf("Backend(good) = %v, %v", good, ok)
			}
		})
	}
}

func TestGoodBackends(t *testing.T) {
	for name, in := range map[string]string{
		"short name":          "volume_driver = rbd\n",
		"class path":          "volume_driver = cinder.volume.drivers.rbd.RBDDriver\n",
		"driver from default": "[backend_defaults]\nvolume_driver = rbd\n",
		"pool as host":        "volume_driver = rbd\nbackend_host = rbd:volume_pool\n",
		"auto ratio":          "volume_driver = rbd\nmax_over_subscription_ratio = auto\n",
		"chunks of 32 MiB":    "volume_driver = rbd\nrbd_store_chunk_size = 32\n",
		"clones of format 1":  "volume_driver = rbd\nrbd_clone_format = 1\n",
		"without effect":      "volume_driver = rbd\ntarget_helper = lioadm\nchap_password = x\nvolume_clear_size = -\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := healthy(t, parse(t, "[DEFAULT]\nenabled_backends = , Ceph.1 ,,\n[ceph.1]\n"+in))
			if len(c.Backends) != 1 || c.Backends[0].VolumeDriver != DriverRBD || c.Backends[0].Name != "Ceph.1" {
				t.Errorf("backends %+v", c.Backends)
			}
		})
	}
}

func TestUnknownBackend(t *testing.T) {
	if b, ok := parse(t, minimal).Backend("rbd1"); ok || b != nil {
		t.Errorf("Backend(rbd1) = %v, %v", b, ok)
	}
}
