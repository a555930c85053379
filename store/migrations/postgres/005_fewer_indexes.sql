-- One unique index now serves both to find the claims on a resource and to let only
-- one of them be exclusive; events are pruned by their age.

-- +goose Up
ALTER TABLE claims DROP CONSTRAINT claims_pkey;
ALTER TABLE claims ADD PRIMARY KEY (operation_id, resource_id, resource_type);
DROP INDEX claims_exclusive;
DROP INDEX claims_operation;
CREATE UNIQUE INDEX claims_resource ON claims
    (resource_id, resource_type, (CASE mode WHEN 'exclusive' THEN '' ELSE operation_id END));
DROP INDEX events_operation;
