-- +goose Up
CREATE TABLE audits (
    id           TEXT    NOT NULL PRIMARY KEY,
    backend      TEXT    NOT NULL,
    operation_id TEXT    NOT NULL,
    deep         INTEGER NOT NULL DEFAULT 0 CHECK (deep IN (0, 1)),
    images       INTEGER NOT NULL DEFAULT 0,
    volumes      INTEGER NOT NULL DEFAULT 0,
    snapshots    INTEGER NOT NULL DEFAULT 0,
    drift        INTEGER NOT NULL DEFAULT 0,
    notes        INTEGER NOT NULL DEFAULT 0,
    repairs      INTEGER NOT NULL DEFAULT 0,
    bytes        INTEGER NOT NULL DEFAULT 0,
    repair_id    TEXT    NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER
) STRICT;
CREATE INDEX audits_created ON audits (created_at, id);

CREATE TABLE audit_findings (
    audit_id TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    step     INTEGER NOT NULL DEFAULT 0,
    done     INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
    body     TEXT    NOT NULL,
    PRIMARY KEY (audit_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_findings_step ON audit_findings (audit_id, step) WHERE step > 0;

CREATE INDEX volumes_trashed ON volumes (host) WHERE deleted_at IS NOT NULL AND image_id <> '';
