package volume

// ConnectionInfo is the connection_info of Cinder: what a host attaches with.
type ConnectionInfo struct {
	DriverVolumeType string         `json:"driver_volume_type"`
	Data             map[string]any `json:"data"`
}
