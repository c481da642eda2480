-- Everything stands in a schema of its own. Times are milliseconds since 1970: those a person reads are by the clock
-- of the worker that wrote them, and those that anything is compared with (recorded_at, due_at, closed_at, and when a
-- duplicate was found) by the clock of this database, so that workers whose clocks differ agree. Text that a client sent stands as bytea where it
-- may hold a zero character, which text cannot.

CREATE FUNCTION chargegate.clock() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (extract(epoch FROM now()) * 1000)::bigint;

-- Which requests are decided, and when that was recorded: the one place that knows each id once. It is not
-- partitioned, because only an index over all of it can refuse a second decision; so it is kept narrow.
CREATE TABLE chargegate.request (
    recorded_at bigint NOT NULL,
    request_id  uuid   PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- Slices of time, each with a partition of decision, attempt and duplicate. What belongs to a decision stands in the
-- slice the decision was recorded in, whenever it happened itself, so that all of it goes at once. Retention passes a
-- slice in the order of its rows: what stands up to (passed_at, passed_id) is gone from the books and from `request`,
-- and a slice passed to its end is dropped.
CREATE TABLE chargegate.slice (
    id        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begins_at bigint  NOT NULL UNIQUE,
    ends_at   bigint  NOT NULL UNIQUE CHECK (ends_at > begins_at),
    passed_at bigint  NOT NULL,
    passed_id uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    passed    boolean NOT NULL DEFAULT false
);

-- What a request was decided. Only inserted, and read for retries and by people.
CREATE TABLE chargegate.decision (
    recorded_at  bigint  NOT NULL,
    accepted_at  bigint  NOT NULL,
    decided_at   bigint  NOT NULL,
    request_id   uuid    NOT NULL,
    late         boolean NOT NULL,
    status       text    NOT NULL,
    reason       text    NOT NULL,
    station_id   text    NOT NULL,
    message_key  text    NOT NULL,
    driver_token bytea   NOT NULL,
    callback_url text    NOT NULL,
    traceparent  text,
    PRIMARY KEY (recorded_at, request_id)
) PARTITION BY RANGE (recorded_at);

-- The hot part: callbacks that are neither delivered nor given up. A row lives for the length of one attempt where all
-- goes well, so the table is kept narrow and is vacuumed early. due_at doubles as the end of a lease. No update can
-- stay off the indexes (each moves due_at), so there is no use in room left on its pages.
CREATE TABLE chargegate.callback (
    recorded_at      bigint  NOT NULL,
    due_at           bigint  NOT NULL,
    round_started_at bigint  NOT NULL,
    request_id       uuid    PRIMARY KEY,
    attempt          integer NOT NULL,
    round_first      integer NOT NULL,
    leased           boolean NOT NULL,
    host             text    COLLATE "C" NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.1
);

CREATE INDEX callback_due ON chargegate.callback (host, due_at);
-- Which hosts have anything due, however many have not.
CREATE INDEX callback_oldest ON chargegate.callback (due_at);

-- Attempts to call back. The last attempt of a finished callback says how it ended: closed_at is set, and give_up
-- where it is a dead letter. A callback that is sent again is opened again.
CREATE TABLE chargegate.attempt (
    recorded_at bigint   NOT NULL,
    started_at  bigint   NOT NULL,
    took_ms     bigint   NOT NULL,
    closed_at   bigint,
    finished_at bigint,
    request_id  uuid     NOT NULL,
    attempt     integer  NOT NULL,
    http_status smallint,
    result      text     NOT NULL,
    give_up     text,
    PRIMARY KEY (recorded_at, request_id, attempt),
    CHECK ((closed_at IS NULL) = (finished_at IS NULL)),
    CHECK (give_up IS NULL OR closed_at IS NOT NULL)
) PARTITION BY RANGE (recorded_at);

CREATE INDEX attempt_dead ON chargegate.attempt (recorded_at, request_id) WHERE give_up IS NOT NULL;

-- Messages that asked again what was decided already.
CREATE TABLE chargegate.duplicate (
    recorded_at bigint NOT NULL,
    found_at    bigint NOT NULL,
    request_id  uuid   NOT NULL,
    message_key text   NOT NULL,
    PRIMARY KEY (recorded_at, request_id, message_key)
) PARTITION BY RANGE (recorded_at);

-- Messages nobody can read. The digest tells two apart that a queue gave the same key.
CREATE TABLE chargegate.poison (
    recorded_at bigint NOT NULL,
    found_at    bigint NOT NULL,
    message_key text   NOT NULL,
    digest      bytea  NOT NULL,
    reason      text   NOT NULL,
    body        bytea  NOT NULL,
    PRIMARY KEY (message_key, digest)
);

CREATE INDEX poison_recorded ON chargegate.poison (recorded_at);

-- What retention deleted, so that the books still balance.
CREATE TABLE chargegate.ledger (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    decided    bigint  NOT NULL DEFAULT 0,
    duplicates bigint  NOT NULL DEFAULT 0,
    poison     bigint  NOT NULL DEFAULT 0,
    delivered  bigint  NOT NULL DEFAULT 0,
    dead       bigint  NOT NULL DEFAULT 0
);

INSERT INTO chargegate.ledger DEFAULT VALUES;

-- How far the queue's history is known.
CREATE TABLE chargegate.watermark (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version   bigint  NOT NULL DEFAULT 0,
    beat      bigint  NOT NULL DEFAULT 0,
    enqueued  bigint  NOT NULL DEFAULT 0,
    forgotten bigint  NOT NULL DEFAULT 0
);

INSERT INTO chargegate.watermark DEFAULT VALUES;

-- What follows runs with the rights of the tables' owner: a worker may have partitions cut and dropped without owning
-- anything. Each has its search_path fixed, and takes numbers only.

-- Adds a slice with its partitions. A table is created apart and then attached: that waits for no reader and no writer.
CREATE FUNCTION chargegate.add_slice(low bigint, high bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = chargegate, pg_temp
AS $$
DECLARE
    number bigint;
    parent text;
BEGIN
    INSERT INTO slice (begins_at, ends_at, passed_at) VALUES (low, high, low - 1) RETURNING id INTO number;
    FOREACH parent IN ARRAY ARRAY['decision', 'attempt', 'duplicate'] LOOP
        EXECUTE format('CREATE TABLE chargegate.%I (LIKE chargegate.%I INCLUDING ALL)', parent || '_' || number, parent);
        EXECUTE format('ALTER TABLE chargegate.%I ATTACH PARTITION chargegate.%I FOR VALUES FROM (%s) TO (%s)',
            parent, parent || '_' || number, low, high);
    END LOOP;
END
$$;

-- Where less than one width of time is ahead, cuts slices of that width until there are two; says how many it added.
-- A slice begins a minute before the moment it is cut for, because transactions begun before are still to insert.
CREATE FUNCTION chargegate.cut_slices(width bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    moment bigint := clock();
    added  integer := 0;
BEGIN
    IF width < 1000 THEN
        RAISE EXCEPTION 'a slice is a second wide at least' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM slice WHERE begins_at <= moment AND ends_at > moment)
        AND (SELECT max(ends_at) FROM slice) >= moment + width
    THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('chargegate.slice', 0));
    IF NOT EXISTS (SELECT FROM slice WHERE begins_at <= moment AND ends_at > moment) THEN
        PERFORM add_slice(
            greatest(moment - 60000, coalesce((SELECT max(ends_at) FROM slice WHERE ends_at <= moment), 0)),
            least(moment + width, (SELECT min(begins_at) FROM slice WHERE begins_at > moment)));
        added := added + 1;
    END IF;
    WHILE (SELECT max(ends_at) FROM slice) < moment + 2 * width LOOP
        PERFORM add_slice(max(ends_at), max(ends_at) + width) FROM slice;
        added := added + 1;
    END LOOP;
    RETURN added;
END
$$;

-- Keeps retention off the slices that hold these moments until the transaction ends.
CREATE FUNCTION chargegate.hold_slices(moments bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp
AS $$
BEGIN
    PERFORM FROM slice
    WHERE EXISTS (SELECT FROM unnest(moments) AS held (moment) WHERE moment >= begins_at AND moment < ends_at)
    ORDER BY id FOR KEY SHARE;
END
$$;

-- Passes decisions whose slice ended before the given moment, as many as said at most, and enters them into the
-- ledger; says how many. Within a slice it stops before the first whose callback is pending, or was finished later.
CREATE FUNCTION chargegate.pass_decisions(before bigint, at_once integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    cut     slice%ROWTYPE;
    times   bigint[];
    ids     uuid[];
    stop    integer;
    wanted  integer;
    found   integer;
    total   integer := 0;
    repeats bigint;
    arrived bigint;
    lost    bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('chargegate.retention', 0)) THEN
        RETURN 0;
    END IF;
    FOR cut IN
        SELECT * FROM slice WHERE ends_at <= least(before, clock() - 60000) AND NOT passed ORDER BY begins_at
    LOOP
        -- Whoever holds the slice may be opening one of its callbacks again; what follows sees that.
        PERFORM FROM slice WHERE id = cut.id FOR UPDATE;
        wanted := at_once - total;
        SELECT array_agg(recorded_at), array_agg(request_id) INTO times, ids
        FROM (
            SELECT recorded_at, request_id FROM decision
            WHERE recorded_at >= cut.begins_at AND recorded_at < cut.ends_at
            AND (recorded_at, request_id) > (cut.passed_at, cut.passed_id)
            ORDER BY recorded_at, request_id LIMIT wanted
        ) AS next;
        found := coalesce(cardinality(ids), 0);
        SELECT min(ordinal) INTO stop
        FROM unnest(times, ids) WITH ORDINALITY AS next (moment, id, ordinal)
        WHERE EXISTS (SELECT FROM callback WHERE request_id = next.id)
        OR EXISTS (
            SELECT FROM attempt
            WHERE recorded_at = next.moment AND request_id = next.id AND closed_at >= before);
        IF stop IS NOT NULL THEN
            times := times[:stop - 1];
            ids := ids[:stop - 1];
        END IF;
        IF cardinality(ids) > 0 THEN
            SELECT count(*) INTO repeats
            FROM unnest(times, ids) AS next (moment, id)
            JOIN duplicate ON duplicate.recorded_at = next.moment AND duplicate.request_id = next.id;
            SELECT count(*) FILTER (WHERE give_up IS NULL), count(*) FILTER (WHERE give_up IS NOT NULL)
            INTO arrived, lost
            FROM unnest(times, ids) AS next (moment, id)
            JOIN attempt ON attempt.recorded_at = next.moment AND attempt.request_id = next.id
            WHERE closed_at IS NOT NULL;
            DELETE FROM request WHERE request_id = ANY (ids);
            UPDATE ledger SET decided = decided + cardinality(ids), duplicates = duplicates + repeats,
                delivered = delivered + arrived, dead = dead + lost;
            UPDATE slice SET passed_at = times[cardinality(times)], passed_id = ids[cardinality(ids)]
            WHERE id = cut.id;
            total := total + cardinality(ids);
        END IF;
        IF stop IS NULL AND found < wanted THEN
            UPDATE slice SET passed = true, passed_at = ends_at WHERE id = cut.id;
        END IF;
        EXIT WHEN total >= at_once;
    END LOOP;
    RETURN total;
END
$$;

-- Drops one table of a slice that was passed to its end, or the last of the slice itself; says whether it did. It waits
-- only shortly for the tables, since whoever comes after it waits for it.
CREATE FUNCTION chargegate.drop_passed() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    number bigint;
    parent text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('chargegate.retention', 0)) THEN
        RETURN false;
    END IF;
    SELECT id INTO number FROM slice WHERE passed ORDER BY begins_at LIMIT 1;
    IF number IS NULL THEN
        RETURN false;
    END IF;
    -- Decisions first: no list shows one whose attempts are gone.
    FOREACH parent IN ARRAY ARRAY['decision', 'attempt', 'duplicate'] LOOP
        IF to_regclass(format('chargegate.%I', parent || '_' || number)) IS NOT NULL THEN
            EXECUTE format('DROP TABLE chargegate.%I', parent || '_' || number);
            RETURN true;
        END IF;
    END LOOP;
    DELETE FROM slice WHERE id = number;
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END
$$;

-- Deletes poison messages recorded before the given moment, as many as said at most, and enters them into the ledger;
-- says how many.
CREATE FUNCTION chargegate.pass_poison(before bigint, at_once integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    gone integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('chargegate.retention', 0)) THEN
        RETURN 0;
    END IF;
    DELETE FROM poison WHERE (message_key, digest) IN (
        SELECT message_key, digest FROM poison WHERE recorded_at < before ORDER BY recorded_at LIMIT at_once);
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 0 THEN
        UPDATE ledger SET poison = poison + gone;
    END IF;
    RETURN gone;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chargegate FROM PUBLIC;
