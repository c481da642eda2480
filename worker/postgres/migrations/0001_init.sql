-- All objects are in a schema of their own. Times are milliseconds since 1970. Times for people are by the clock of the
-- worker that wrote them; times that are compared (recorded_at, due_at, round_started_at, closed_at, and found_at of a
-- duplicate) are by the clock of this database, so that workers with different clocks agree. Text from a client is stored
-- as bytea where it may contain a zero character, which text cannot.

CREATE FUNCTION chargegate.clock() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (extract(epoch FROM now()) * 1000)::bigint;

-- Decided requests and the time of recording; each id exists once. The table is not partitioned, because only an index
-- over all rows can refuse a second decision; so it is kept narrow.
CREATE TABLE chargegate.request (
    recorded_at bigint NOT NULL,
    request_id  uuid   PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- Ranges of time, each with a partition of decision, attempt and duplicate. All rows of a decision are in the partition
-- of the time at which the decision was recorded, so that they are dropped together. Retention expires a partition in the
-- order of its rows: rows up to (expired_until, expired_until_id) are removed from the totals and from `request`, and a
-- partition that is expired to its end is dropped.
CREATE TABLE chargegate.time_partition (
    id        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begins_at bigint  NOT NULL UNIQUE,
    ends_at   bigint  NOT NULL UNIQUE CHECK (ends_at > begins_at),
    expired_until bigint  NOT NULL,
    expired_until_id uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    expired   boolean NOT NULL DEFAULT false
);

-- Decisions. Rows are only inserted, and read for retries and by people.
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

-- Hot table: callbacks that are neither delivered nor given up. Usually a row exists for the length of one attempt, so the
-- table is narrow and vacuumed early. due_at is also the end of a lease. Every update changes the indexed due_at and so
-- cannot be a heap-only update; a lower fillfactor would not help.
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
-- Finds hosts with due callbacks without visiting the others.
CREATE INDEX callback_oldest ON chargegate.callback (due_at);

-- Attempts to deliver callbacks. The last attempt of a finished callback has closed_at set, and give_up for a dead letter.
-- Resending a callback clears both.
CREATE TABLE chargegate.attempt (
    recorded_at bigint   NOT NULL,
    started_at  bigint   NOT NULL,
    took_ms     bigint   NOT NULL,
    closed_at   bigint,
    request_id  uuid     NOT NULL,
    attempt     integer  NOT NULL,
    http_status smallint,
    result      text     NOT NULL,
    give_up     text,
    PRIMARY KEY (recorded_at, request_id, attempt),
    CHECK (give_up IS NULL OR closed_at IS NOT NULL)
) PARTITION BY RANGE (recorded_at);

CREATE INDEX attempt_dead ON chargegate.attempt (recorded_at, request_id) WHERE give_up IS NOT NULL;

-- Messages that repeated a request that was already decided.
CREATE TABLE chargegate.duplicate (
    recorded_at bigint NOT NULL,
    found_at    bigint NOT NULL,
    request_id  uuid   NOT NULL,
    message_key text   NOT NULL,
    PRIMARY KEY (recorded_at, request_id, message_key)
) PARTITION BY RANGE (recorded_at);

-- Messages that cannot be decoded. The digest distinguishes two messages to which a queue gave the same key.
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

-- Counts of the rows that retention deleted, so that reconciliation still balances.
CREATE TABLE chargegate.ledger (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    decided    bigint  NOT NULL DEFAULT 0,
    duplicates bigint  NOT NULL DEFAULT 0,
    poison     bigint  NOT NULL DEFAULT 0,
    delivered  bigint  NOT NULL DEFAULT 0,
    dead       bigint  NOT NULL DEFAULT 0
);

INSERT INTO chargegate.ledger DEFAULT VALUES;

-- The last noted state of the queue's history.
CREATE TABLE chargegate.watermark (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version   bigint  NOT NULL DEFAULT 0,
    heartbeat bigint  NOT NULL DEFAULT 0,
    enqueued  bigint  NOT NULL DEFAULT 0,
    forgotten bigint  NOT NULL DEFAULT 0
);

INSERT INTO chargegate.watermark DEFAULT VALUES;

-- The following functions run with the rights of the tables' owner, so that a worker can create and drop partitions without
-- owning them. Each has a fixed search_path and takes only numbers.

-- Creates the partitions of one time range. Each table is created separately and then attached, which waits for no reader
-- and no writer.
CREATE FUNCTION chargegate.create_partition(low bigint, high bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = chargegate, pg_temp
AS $$
DECLARE
    number bigint;
    parent text;
BEGIN
    INSERT INTO time_partition (begins_at, ends_at, expired_until) VALUES (low, high, low - 1) RETURNING id INTO number;
    FOREACH parent IN ARRAY ARRAY['decision', 'attempt', 'duplicate'] LOOP
        EXECUTE format('CREATE TABLE chargegate.%I (LIKE chargegate.%I INCLUDING ALL)', parent || '_' || number, parent);
        EXECUTE format('ALTER TABLE chargegate.%I ATTACH PARTITION chargegate.%I FOR VALUES FROM (%s) TO (%s)',
            parent, parent || '_' || number, low, high);
    END LOOP;
END
$$;

-- Creates partitions of the given width until two widths lie ahead, if less than one does. Returns the number created.
-- The first begins a minute in the past, because transactions that began earlier still insert.
CREATE FUNCTION chargegate.create_partitions(width bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    moment bigint := clock();
    added  integer := 0;
BEGIN
    IF width < 1000 THEN
        RAISE EXCEPTION 'a partition is at least one second wide' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM time_partition WHERE begins_at <= moment AND ends_at > moment)
        AND (SELECT max(ends_at) FROM time_partition) >= moment + width
    THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('chargegate.time_partition', 0));
    IF NOT EXISTS (SELECT FROM time_partition WHERE begins_at <= moment AND ends_at > moment) THEN
        PERFORM create_partition(
            greatest(moment - 60000, coalesce((SELECT max(ends_at) FROM time_partition WHERE ends_at <= moment), 0)),
            least(moment + width, (SELECT min(begins_at) FROM time_partition WHERE begins_at > moment)));
        added := added + 1;
    END IF;
    WHILE (SELECT max(ends_at) FROM time_partition) < moment + 2 * width LOOP
        PERFORM create_partition(max(ends_at), max(ends_at) + width) FROM time_partition;
        added := added + 1;
    END LOOP;
    RETURN added;
END
$$;

-- Locks the partitions of these times against retention until the transaction ends.
CREATE FUNCTION chargegate.lock_partitions(moments bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp
AS $$
BEGIN
    PERFORM FROM time_partition
    WHERE EXISTS (SELECT FROM unnest(moments) AS locked (moment) WHERE moment >= begins_at AND moment < ends_at)
    ORDER BY id FOR KEY SHARE;
END
$$;

-- Expires at most max_rows decisions whose partition ended before the given time, and adds them to the ledger. Returns
-- their number. Within a partition it stops before the first decision whose callback is pending or finished later.
CREATE FUNCTION chargegate.expire_decisions(before bigint, max_rows integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    part    time_partition%ROWTYPE;
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
    FOR part IN
        SELECT * FROM time_partition WHERE ends_at <= least(before, clock() - 60000) AND NOT expired ORDER BY begins_at
    LOOP
        -- A transaction that has locked the partition may be reopening one of its callbacks; wait for its result.
        PERFORM FROM time_partition WHERE id = part.id FOR UPDATE;
        wanted := max_rows - total;
        SELECT array_agg(recorded_at), array_agg(request_id) INTO times, ids
        FROM (
            SELECT recorded_at, request_id FROM decision
            WHERE recorded_at >= part.begins_at AND recorded_at < part.ends_at
            AND (recorded_at, request_id) > (part.expired_until, part.expired_until_id)
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
            UPDATE time_partition SET expired_until = times[cardinality(times)], expired_until_id = ids[cardinality(ids)]
            WHERE id = part.id;
            total := total + cardinality(ids);
        END IF;
        IF stop IS NULL AND found < wanted THEN
            UPDATE time_partition SET expired = true, expired_until = ends_at WHERE id = part.id;
        END IF;
        EXIT WHEN total >= max_rows;
    END LOOP;
    RETURN total;
END
$$;

-- Drops one table of a fully expired partition, or finally its row. Returns whether it dropped anything. Its lock timeout
-- is short, since later transactions queue behind it.
CREATE FUNCTION chargegate.drop_expired() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    number bigint;
    parent text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('chargegate.retention', 0)) THEN
        RETURN false;
    END IF;
    SELECT id INTO number FROM time_partition WHERE expired ORDER BY begins_at LIMIT 1;
    IF number IS NULL THEN
        RETURN false;
    END IF;
    -- Decisions first, so that no list shows a decision without its attempts.
    FOREACH parent IN ARRAY ARRAY['decision', 'attempt', 'duplicate'] LOOP
        IF to_regclass(format('chargegate.%I', parent || '_' || number)) IS NOT NULL THEN
            EXECUTE format('DROP TABLE chargegate.%I', parent || '_' || number);
            RETURN true;
        END IF;
    END LOOP;
    DELETE FROM time_partition WHERE id = number;
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END
$$;

-- Deletes at most max_rows poison messages recorded before the given time, and adds them to the ledger. Returns their
-- number.
CREATE FUNCTION chargegate.expire_poison(before bigint, max_rows integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = chargegate, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    gone integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('chargegate.retention', 0)) THEN
        RETURN 0;
    END IF;
    DELETE FROM poison WHERE (message_key, digest) IN (
        SELECT message_key, digest FROM poison WHERE recorded_at < before ORDER BY recorded_at LIMIT max_rows);
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 0 THEN
        UPDATE ledger SET poison = poison + gone;
    END IF;
    RETURN gone;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chargegate FROM PUBLIC;
