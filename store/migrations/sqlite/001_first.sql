-- Times are microseconds since 1970 UTC, NULL for never. JSON is in TEXT, NULL for nothing.

-- +goose Up
CREATE TABLE meta (
    singleton   INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    database_id TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE services (
    id                     INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid                   TEXT    NOT NULL UNIQUE,
    host                   TEXT    NOT NULL,
    "binary"               TEXT    NOT NULL,
    topic                  TEXT    NOT NULL,
    cluster_name           TEXT    NOT NULL DEFAULT '',
    epoch                  INTEGER NOT NULL,
    phase                  TEXT    NOT NULL,
    reason                 TEXT    NOT NULL DEFAULT '',
    report_count           INTEGER NOT NULL DEFAULT 0,
    disabled               INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    disabled_reason        TEXT    NOT NULL DEFAULT '',
    availability_zone      TEXT    NOT NULL DEFAULT '',
    node                   TEXT    NOT NULL DEFAULT '',
    ceph_addrs             TEXT,
    rpc_current_version    TEXT    NOT NULL DEFAULT '',
    object_current_version TEXT    NOT NULL DEFAULT '',
    replication_status     TEXT    NOT NULL DEFAULT '',
    active_backend_id      TEXT    NOT NULL DEFAULT '',
    frozen                 INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1)),
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    modified_at            INTEGER,
    UNIQUE (host, "binary")
) STRICT;

CREATE TABLE volumes (
    id                  TEXT    NOT NULL PRIMARY KEY,
    _name_id            TEXT    NOT NULL DEFAULT '',
    project_id          TEXT    NOT NULL,
    user_id             TEXT    NOT NULL,
    display_name        TEXT    NOT NULL,
    display_description TEXT    NOT NULL DEFAULT '',
    size                INTEGER NOT NULL,
    status              TEXT    NOT NULL,
    previous_status     TEXT    NOT NULL DEFAULT '',
    attach_status       TEXT    NOT NULL,
    host                TEXT    NOT NULL,
    cluster_name        TEXT    NOT NULL DEFAULT '',
    availability_zone   TEXT    NOT NULL DEFAULT '',
    snapshot_id         TEXT    NOT NULL DEFAULT '',
    source_volid        TEXT    NOT NULL DEFAULT '',
    volume_type_id      TEXT    NOT NULL DEFAULT '',
    bootable            INTEGER NOT NULL DEFAULT 0 CHECK (bootable IN (0, 1)),
    multiattach         INTEGER NOT NULL DEFAULT 0 CHECK (multiattach IN (0, 1)),
    metadata            TEXT,
    image_id            TEXT    NOT NULL DEFAULT '',
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER,
    launched_at         INTEGER,
    terminated_at       INTEGER,
    deleted_at          INTEGER,
    deleted             INTEGER GENERATED ALWAYS AS (deleted_at IS NOT NULL) VIRTUAL
) STRICT;
CREATE INDEX volumes_created ON volumes (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX volumes_project ON volumes (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX volumes_host ON volumes (host, size) WHERE deleted_at IS NULL;

CREATE TABLE snapshots (
    id                  TEXT    NOT NULL PRIMARY KEY,
    volume_id           TEXT    NOT NULL REFERENCES volumes (id),
    project_id          TEXT    NOT NULL,
    user_id             TEXT    NOT NULL,
    display_name        TEXT    NOT NULL,
    display_description TEXT    NOT NULL DEFAULT '',
    status              TEXT    NOT NULL,
    progress            TEXT    NOT NULL DEFAULT '',
    volume_size         INTEGER NOT NULL,
    metadata            TEXT,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER,
    deleted_at          INTEGER,
    deleted             INTEGER GENERATED ALWAYS AS (deleted_at IS NOT NULL) VIRTUAL
) STRICT;
CREATE INDEX snapshots_created ON snapshots (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX snapshots_project ON snapshots (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX snapshots_volume ON snapshots (volume_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE volume_attachment (
    id              TEXT    NOT NULL PRIMARY KEY,
    volume_id       TEXT    NOT NULL REFERENCES volumes (id),
    instance_uuid   TEXT    NOT NULL DEFAULT '',
    attached_host   TEXT    NOT NULL DEFAULT '',
    mountpoint      TEXT    NOT NULL DEFAULT '',
    attach_time     INTEGER,
    detach_time     INTEGER,
    attach_status   TEXT    NOT NULL,
    attach_mode     TEXT    NOT NULL DEFAULT '',
    connection_info TEXT,
    connector       TEXT,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER,
    deleted_at      INTEGER,
    deleted         INTEGER GENERATED ALWAYS AS (deleted_at IS NOT NULL) VIRTUAL
) STRICT;
CREATE INDEX volume_attachment_volume ON volume_attachment (volume_id) WHERE deleted_at IS NULL;

CREATE TABLE operations (
    id               TEXT    NOT NULL PRIMARY KEY,
    request_id       TEXT    NOT NULL,
    project_id       TEXT    NOT NULL,
    user_id          TEXT    NOT NULL DEFAULT '',
    method           TEXT    NOT NULL,
    args             TEXT,
    arg_hash         TEXT    NOT NULL DEFAULT '',
    resource_type    TEXT    NOT NULL,
    resource_id      TEXT    NOT NULL,
    backend          TEXT    NOT NULL,
    lane             TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    step             TEXT    NOT NULL DEFAULT '',
    progress         INTEGER NOT NULL DEFAULT 0,
    eta              INTEGER,
    attempt          INTEGER NOT NULL DEFAULT 0,
    reason           TEXT    NOT NULL DEFAULT '',
    next_try         INTEGER,
    error            TEXT,
    result           TEXT,
    epoch            INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    traceparent      TEXT    NOT NULL DEFAULT '',
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    updated_at       INTEGER,
    finished_at      INTEGER,
    deadline         INTEGER,
    UNIQUE (project_id, request_id)
) STRICT;
CREATE INDEX operations_created ON operations (created_at, id);
CREATE INDEX operations_project ON operations (project_id, created_at, id);
CREATE INDEX operations_resource ON operations (resource_id, created_at, id);
CREATE INDEX operations_unfinished ON operations (backend, created_at, id)
    WHERE status IN ('queued', 'running', 'waiting');

CREATE TABLE claims (
    resource_type TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    operation_id  TEXT    NOT NULL REFERENCES operations (id) DEFERRABLE INITIALLY DEFERRED,
    mode          TEXT    NOT NULL CHECK (mode IN ('shared', 'exclusive')),
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (resource_id, resource_type, operation_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX claims_exclusive ON claims (resource_id, resource_type) WHERE mode = 'exclusive';
CREATE INDEX claims_operation ON claims (operation_id);

CREATE TABLE events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    resource_type TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    operation_id  TEXT    NOT NULL DEFAULT '',
    what          TEXT    NOT NULL,
    detail        TEXT,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX events_resource ON events (resource_id, id);
CREATE INDEX events_operation ON events (operation_id, id);
