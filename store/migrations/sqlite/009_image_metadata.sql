-- +goose Up
ALTER TABLE volumes ADD COLUMN image_metadata TEXT;
