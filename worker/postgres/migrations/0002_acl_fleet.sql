-- The state that all workers share to protect the authorization service: their shares of the call budget, and the controller
-- of all calls. One row, replaced by a compare-and-set on its version about once a second by each worker.
CREATE TABLE chargegate.acl_fleet (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL DEFAULT 0,
    state    text    NOT NULL DEFAULT ''
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO chargegate.acl_fleet DEFAULT VALUES;
