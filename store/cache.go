package store

import (
	"context"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var (
	cacheColumns = []string{"volume_id", "host", "image", "used_at"}
	insertCached = insertInto("image_volume_cache_entries", cacheColumns)
	selectCached = "SELECT volume_id, host, image, used_at FROM image_volume_cache_entries WHERE host = $1 AND image = $2"
)

const (
	useCached          = "UPDATE image_volume_cache_entries SET used_at = $2 WHERE volume_id = $1"
	deleteCached       = "DELETE FROM image_volume_cache_entries WHERE volume_id = $1"
	selectCacheVolumes = `SELECT id, size, status,
		(SELECT used_at FROM image_volume_cache_entries WHERE volume_id = volumes.id) AS used_at FROM volumes`
	// What is no entry is the first to go.
	leastRecentlyUsed = " ORDER BY used_at NULLS FIRST, created_at, id"
)

func cachedFields(c *volume.CachedImage) []any {
	return []any{&c.VolumeID, &c.Host, &c.Image, timeOf(&c.UsedAt)}
}

// CachedImage implements operation.Tx.
func (t *tx) CachedImage(host, image string) (volume.CachedImage, error) {
	return get(t.session, cachedFields, volume.Resource{Type: volume.CachedImageResource, ID: image}, selectCached, host, image)
}

// InsertCachedImage implements operation.Tx.
func (t *tx) InsertCachedImage(c *volume.CachedImage) error {
	c.UsedAt = t.now
	n, err := t.exec(insertCached, cachedFields(c)...)
	if err == nil && n == 0 {
		err = fault.New(fault.Exists, "%s is in the cache already", volume.Resource{Type: volume.CachedImageResource, ID: c.Image})
	}
	return err
}

// UseCachedImage implements operation.Tx.
func (t *tx) UseCachedImage(volumeID string) error {
	_, err := t.exec(useCached, volumeID, timeOf(&t.now))
	return err
}

// DropCachedImage implements operation.Tx.
func (t *tx) DropCachedImage(volumeID string) error {
	_, err := t.exec(deleteCached, volumeID)
	return err
}

// CacheVolumes returns the volumes of the image cache of a service that are not deleted:
// those that are no entries, then those that have not been used for the longest time.
func (db *DB) CacheVolumes(ctx context.Context, host string) ([]volume.CacheVolume, error) {
	var q selection
	q.always("deleted_at IS NULL")
	q.equal("project_id", volume.CacheProject)
	q.onHost(host)
	return all(db.reader(ctx), func(c *volume.CacheVolume) []any {
		return []any{&c.ID, &c.Size, (*string)(&c.Status), timeOf(&c.UsedAt)}
	}, q.whole(selectCacheVolumes)+leastRecentlyUsed, q.args...)
}
