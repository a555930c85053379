-- +goose Up
CREATE TABLE audits (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    backend      TEXT COLLATE "C" NOT NULL,
    operation_id TEXT COLLATE "C" NOT NULL,
    deep         BOOLEAN NOT NULL DEFAULT FALSE,
    images       BIGINT  NOT NULL DEFAULT 0,
    volumes      BIGINT  NOT NULL DEFAULT 0,
    snapshots    BIGINT  NOT NULL DEFAULT 0,
    drift        BIGINT  NOT NULL DEFAULT 0,
    notes        BIGINT  NOT NULL DEFAULT 0,
    repairs      BIGINT  NOT NULL DEFAULT 0,
    bytes        BIGINT  NOT NULL DEFAULT 0,
    repair_id    TEXT COLLATE "C" NOT NULL DEFAULT '',
    created_at   BIGINT  NOT NULL,
    finished_at  BIGINT
);
CREATE INDEX audits_created ON audits (created_at, id);

CREATE TABLE audit_findings (
    audit_id TEXT COLLATE "C" NOT NULL,
    number   BIGINT  NOT NULL,
    kind     TEXT    NOT NULL,
    step     BIGINT  NOT NULL DEFAULT 0,
    done     BOOLEAN NOT NULL DEFAULT FALSE,
    body     TEXT    NOT NULL,
    PRIMARY KEY (audit_id, number)
);
CREATE INDEX audit_findings_step ON audit_findings (audit_id, step) WHERE step > 0;

CREATE INDEX volumes_trashed ON volumes (host) WHERE deleted_at IS NOT NULL AND image_id <> '';
