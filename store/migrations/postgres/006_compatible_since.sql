-- +goose Up
ALTER TABLE meta ADD COLUMN compatible_since BIGINT NOT NULL DEFAULT 0;
