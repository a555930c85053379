-- Who takes an image over asks which volumes have it. Those that are gone have none.

-- +goose Up
CREATE INDEX volumes_image ON volumes (image_id) WHERE image_id <> '';
