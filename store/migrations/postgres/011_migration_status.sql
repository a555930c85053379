-- +goose Up
ALTER TABLE volumes ADD COLUMN migration_status TEXT NOT NULL DEFAULT '';
