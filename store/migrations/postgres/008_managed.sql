-- +goose Up
ALTER TABLE volumes ADD COLUMN adopted_parent TEXT;
ALTER TABLE snapshots ADD COLUMN previous_status TEXT NOT NULL DEFAULT '';
