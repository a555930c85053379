package volume

import "time"

// CacheProject owns what the services keep for themselves: the images in their caches.
// Nobody is of it: a request in its name is refused.
const CacheProject = "volumed-image-cache"

// CachedImageResource is what a service claims to bring an image into its cache; the id
// tells the service and the image.
const CachedImageResource ResourceType = "cached_image"

// CachedImage is an image that a service keeps as a volume, of which others are cloned.
type CachedImage struct {
	VolumeID string
	Host     string // host@backend
	Image    string // tells the image from all others
	UsedAt   time.Time
}

// CacheVolume is a volume of an image cache. UsedAt is zero for one that is no entry, not
// yet or not any more: no volume is made of it.
type CacheVolume struct {
	ID     string
	Size   int64 // GiB
	Status Status
	UsedAt time.Time
}
