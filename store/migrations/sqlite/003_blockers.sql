-- +goose Up
ALTER TABLE operations ADD COLUMN blocked_by TEXT;
ALTER TABLE operations ADD COLUMN hint TEXT NOT NULL DEFAULT '';
