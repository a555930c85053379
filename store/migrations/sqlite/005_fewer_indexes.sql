-- Every index of a table is a page more in each commit, and so is the sequence of an
-- AUTOINCREMENT. One unique index now serves both to find the claims on a resource and
-- to let only one of them be exclusive; events are pruned by their age, all but the
-- newest, so that no id comes twice.

-- +goose Up
ALTER TABLE claims RENAME TO claims_before;
DROP INDEX claims_exclusive;
DROP INDEX claims_operation;
CREATE TABLE claims (
    operation_id  TEXT    NOT NULL REFERENCES operations (id) DEFERRABLE INITIALLY DEFERRED,
    resource_id   TEXT    NOT NULL,
    resource_type TEXT    NOT NULL,
    mode          TEXT    NOT NULL CHECK (mode IN ('shared', 'exclusive')),
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (operation_id, resource_id, resource_type)
) STRICT, WITHOUT ROWID;
INSERT INTO claims (operation_id, resource_id, resource_type, mode, created_at)
    SELECT operation_id, resource_id, resource_type, mode, created_at FROM claims_before;
DROP TABLE claims_before;
CREATE UNIQUE INDEX claims_resource ON claims
    (resource_id, resource_type, (CASE mode WHEN 'exclusive' THEN '' ELSE operation_id END));

CREATE TABLE events_without_sequence (
    id            INTEGER PRIMARY KEY,
    resource_type TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    operation_id  TEXT    NOT NULL DEFAULT '',
    what          TEXT    NOT NULL,
    detail        TEXT,
    created_at    INTEGER NOT NULL
) STRICT;
INSERT INTO events_without_sequence SELECT id, resource_type, resource_id, operation_id, what, detail, created_at FROM events;
DROP TABLE events;
ALTER TABLE events_without_sequence RENAME TO events;
CREATE INDEX events_resource ON events (resource_id, id);
