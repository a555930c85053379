-- +goose Up
CREATE TABLE image_volume_cache_entries (
    volume_id TEXT    NOT NULL PRIMARY KEY,
    host      TEXT    NOT NULL,
    image     TEXT    NOT NULL,
    used_at   INTEGER NOT NULL,
    UNIQUE (host, image)
) STRICT;
