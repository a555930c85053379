-- +goose Up
ALTER TABLE services ADD COLUMN phase_since BIGINT;
