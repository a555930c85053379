-- Ids and hosts are compared bytewise, as SQLite does.
-- Times are microseconds since 1970 UTC, NULL for never. JSON is in TEXT, NULL for nothing.

-- +goose Up
CREATE TABLE meta (
    singleton   BIGINT  NOT NULL PRIMARY KEY CHECK (singleton = 1),
    database_id TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE services (
    id                     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid                   TEXT    NOT NULL UNIQUE,
    host                   TEXT COLLATE "C" NOT NULL,
    "binary"               TEXT COLLATE "C" NOT NULL,
    topic                  TEXT    NOT NULL,
    cluster_name           TEXT    NOT NULL DEFAULT '',
    epoch                  BIGINT  NOT NULL,
    phase                  TEXT    NOT NULL,
    reason                 TEXT    NOT NULL DEFAULT '',
    report_count           BIGINT  NOT NULL DEFAULT 0,
    disabled               BOOLEAN NOT NULL DEFAULT FALSE,
    disabled_reason        TEXT    NOT NULL DEFAULT '',
    availability_zone      TEXT    NOT NULL DEFAULT '',
    node                   TEXT    NOT NULL DEFAULT '',
    ceph_addrs             TEXT,
    rpc_current_version    TEXT    NOT NULL DEFAULT '',
    object_current_version TEXT    NOT NULL DEFAULT '',
    replication_status     TEXT    NOT NULL DEFAULT '',
    active_backend_id      TEXT    NOT NULL DEFAULT '',
    frozen                 BOOLEAN NOT NULL DEFAULT FALSE,
    created_at             BIGINT  NOT NULL,
    updated_at             BIGINT  NOT NULL,
    modified_at            BIGINT,
    UNIQUE (host, "binary")
);

CREATE TABLE volumes (
    id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    _name_id            TEXT    NOT NULL DEFAULT '',
    project_id          TEXT COLLATE "C" NOT NULL,
    user_id             TEXT    NOT NULL,
    display_name        TEXT    NOT NULL,
    display_description TEXT    NOT NULL DEFAULT '',
    size                BIGINT  NOT NULL,
    status              TEXT    NOT NULL,
    previous_status     TEXT    NOT NULL DEFAULT '',
    attach_status       TEXT    NOT NULL,
    host                TEXT COLLATE "C" NOT NULL,
    cluster_name        TEXT    NOT NULL DEFAULT '',
    availability_zone   TEXT    NOT NULL DEFAULT '',
    snapshot_id         TEXT    NOT NULL DEFAULT '',
    source_volid        TEXT    NOT NULL DEFAULT '',
    volume_type_id      TEXT    NOT NULL DEFAULT '',
    bootable            BOOLEAN NOT NULL DEFAULT FALSE,
    multiattach         BOOLEAN NOT NULL DEFAULT FALSE,
    metadata            TEXT,
    image_id            TEXT    NOT NULL DEFAULT '',
    created_at          BIGINT  NOT NULL,
    updated_at          BIGINT,
    launched_at         BIGINT,
    terminated_at       BIGINT,
    deleted_at          BIGINT,
    deleted             BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED
);
CREATE INDEX volumes_created ON volumes (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX volumes_project ON volumes (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX volumes_host ON volumes (host, size) WHERE deleted_at IS NULL;

CREATE TABLE snapshots (
    id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    volume_id           TEXT COLLATE "C" NOT NULL REFERENCES volumes (id),
    project_id          TEXT COLLATE "C" NOT NULL,
    user_id             TEXT    NOT NULL,
    display_name        TEXT    NOT NULL,
    display_description TEXT    NOT NULL DEFAULT '',
    status              TEXT    NOT NULL,
    progress            TEXT    NOT NULL DEFAULT '',
    volume_size         BIGINT  NOT NULL,
    metadata            TEXT,
    created_at          BIGINT  NOT NULL,
    updated_at          BIGINT,
    deleted_at          BIGINT,
    deleted             BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED
);
CREATE INDEX snapshots_created ON snapshots (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX snapshots_project ON snapshots (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX snapshots_volume ON snapshots (volume_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE volume_attachment (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    volume_id       TEXT COLLATE "C" NOT NULL REFERENCES volumes (id),
    instance_uuid   TEXT    NOT NULL DEFAULT '',
    attached_host   TEXT    NOT NULL DEFAULT '',
    mountpoint      TEXT    NOT NULL DEFAULT '',
    attach_time     BIGINT,
    detach_time     BIGINT,
    attach_status   TEXT    NOT NULL,
    attach_mode     TEXT    NOT NULL DEFAULT '',
    connection_info TEXT,
    connector       TEXT,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT,
    deleted_at      BIGINT,
    deleted         BOOLEAN GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED
);
CREATE INDEX volume_attachment_volume ON volume_attachment (volume_id) WHERE deleted_at IS NULL;

CREATE TABLE operations (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    request_id       TEXT COLLATE "C" NOT NULL,
    project_id       TEXT COLLATE "C" NOT NULL,
    user_id          TEXT    NOT NULL DEFAULT '',
    method           TEXT    NOT NULL,
    args             TEXT,
    arg_hash         TEXT    NOT NULL DEFAULT '',
    resource_type    TEXT COLLATE "C" NOT NULL,
    resource_id      TEXT COLLATE "C" NOT NULL,
    backend          TEXT COLLATE "C" NOT NULL,
    lane             TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    step             TEXT    NOT NULL DEFAULT '',
    progress         BIGINT  NOT NULL DEFAULT 0,
    eta              BIGINT,
    attempt          BIGINT  NOT NULL DEFAULT 0,
    reason           TEXT    NOT NULL DEFAULT '',
    next_try         BIGINT,
    error            TEXT,
    result           TEXT,
    epoch            BIGINT  NOT NULL,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    traceparent      TEXT    NOT NULL DEFAULT '',
    created_at       BIGINT  NOT NULL,
    started_at       BIGINT,
    updated_at       BIGINT,
    finished_at      BIGINT,
    deadline         BIGINT,
    UNIQUE (project_id, request_id)
);
CREATE INDEX operations_created ON operations (created_at, id);
CREATE INDEX operations_project ON operations (project_id, created_at, id);
CREATE INDEX operations_resource ON operations (resource_id, created_at, id);
CREATE INDEX operations_unfinished ON operations (backend, created_at, id)
    WHERE status IN ('queued', 'running', 'waiting');

CREATE TABLE claims (
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id   TEXT COLLATE "C" NOT NULL,
    operation_id  TEXT COLLATE "C" NOT NULL REFERENCES operations (id) DEFERRABLE INITIALLY DEFERRED,
    mode          TEXT    NOT NULL CHECK (mode IN ('shared', 'exclusive')),
    created_at    BIGINT  NOT NULL,
    PRIMARY KEY (resource_id, resource_type, operation_id)
);
CREATE UNIQUE INDEX claims_exclusive ON claims (resource_id, resource_type) WHERE mode = 'exclusive';
CREATE INDEX claims_operation ON claims (operation_id);

CREATE TABLE events (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id   TEXT COLLATE "C" NOT NULL,
    operation_id  TEXT COLLATE "C" NOT NULL DEFAULT '',
    what          TEXT    NOT NULL,
    detail        TEXT,
    created_at    BIGINT  NOT NULL
);
CREATE INDEX events_resource ON events (resource_id, id);
CREATE INDEX events_operation ON events (operation_id, id);
