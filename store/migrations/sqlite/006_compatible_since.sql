-- +goose Up
ALTER TABLE meta ADD COLUMN compatible_since INTEGER NOT NULL DEFAULT 0;
