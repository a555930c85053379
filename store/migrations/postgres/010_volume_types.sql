-- The QoS specs of a type are its own: a set that several types share would change all
-- their volumes at once. A type is removed with its last volume gone, so its row is, too.

-- +goose Up
CREATE TABLE volume_types (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL UNIQUE,
    description  TEXT   NOT NULL DEFAULT '',
    extra_specs  TEXT,
    qos_specs    TEXT,
    qos_consumer TEXT   NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT
);
CREATE INDEX volume_types_created ON volume_types (created_at, id);
CREATE INDEX volumes_type ON volumes (volume_type_id) WHERE volume_type_id <> '';
