//! Scripts: steps that the server executes atomically, so that no other worker interferes.

use std::sync::LazyLock;

use redis::Script;

/// Adds the message `ARGV[3]` as field `ARGV[2]` to the stream `KEYS[1]`, unless the stream has `ARGV[1]` entries or
/// more; returns whether it did.
pub(super) static ENQUEUE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
        redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3])
        return 1
        ",
    )
});

/// Acks and deletes the entries `ARGV[2..]`. Not a transaction: a server whose memory is full refuses to queue commands,
/// even those that free memory.
pub(super) static ACKNOWLEDGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('XACK', KEYS[1], unpack(ARGV))
        return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
        ",
    )
});

/// Assigns those of the entries `ARGV[4..]` that still belong to consumer `ARGV[2]` to consumer `ARGV[3]`, unless the
/// heartbeat key `KEYS[2]` of the former exists; returns them.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local stream, group, from = KEYS[1], ARGV[1], ARGV[2]
        if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 then return {} end
        local ids = {}
        for i = 4, #ARGV do
          if #redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1, from) == 1 then
            ids[#ids + 1] = ARGV[i]
          end
        end
        if #ids == 0 then return {} end
        return redis.call('XCLAIM', stream, group, ARGV[3], 0, unpack(ids))
        ",
    )
});

/// Assigns those of the entries `ARGV[4]`, `ARGV[6]` and so on that still belong to consumer `ARGV[2]` to consumer
/// `ARGV[3]`, as if their last delivery had not happened. An entry is left alone unless the number of its deliveries is the
/// one that follows it: it was delivered again since, even if to the same consumer.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local stream, group, from = KEYS[1], ARGV[1], ARGV[2]
        for i = 4, #ARGV, 2 do
          local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1, from)[1]
          local deliveries = tonumber(ARGV[i + 1])
          if pending and pending[4] == deliveries then
            redis.call('XCLAIM', stream, group, ARGV[3], 0, ARGV[i], 'RETRYCOUNT', deliveries - 1, 'JUSTID')
          end
        end
        return 0
        ",
    )
});

/// Deletes the consumers of `KEYS[1]` that have no pending entries and no heartbeat key, which is `ARGV[2]` followed by
/// the consumer's name; returns their number. All keys are in one hash slot.
pub(super) static DELETE_DEAD_CONSUMERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local deleted = 0
        for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
          local name, pending = '', 1
          for i = 1, #consumer, 2 do
            if consumer[i] == 'name' then name = consumer[i + 1] end
            if consumer[i] == 'pending' then pending = consumer[i + 1] end
          end
          if pending == 0 and redis.call('EXISTS', ARGV[2] .. name) == 0 then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
            deleted = deleted + 1
          end
        end
        return deleted
        ",
    )
});

/// Returns the number of entries ever added to the stream `KEYS[2]`, and begins the next beat in the hash `KEYS[1]`,
/// unless the beat there is lower than `ARGV[1]`; see [`chargegate_storage::history::QueueObservation`].
pub(super) static OBSERVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local enqueued = 0
        if redis.call('EXISTS', KEYS[2]) == 1 then
          local info = redis.call('XINFO', 'STREAM', KEYS[2])
          for i = 1, #info, 2 do
            if info[i] == 'entries-added' then enqueued = info[i + 1] end
          end
        end
        local kept = redis.call('HMGET', KEYS[1], 'beat', 'enqueued')
        local beat, at_beat = tonumber(kept[1] or '0'), tonumber(kept[2] or '0')
        local begun = false
        if beat >= tonumber(ARGV[1]) then
          begun = beat + 1
          redis.call('HSET', KEYS[1], 'beat', begun, 'enqueued', enqueued)
        end
        return {beat, at_beat, enqueued, begun}
        ",
    )
});

/// Returns the server's time in milliseconds; the number of entries ever added to the stream `KEYS[2]`, and the newest
/// id it assigned; and the beat in the hash `KEYS[1]`, with the number at that beat.
pub(super) static SNAPSHOT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local added, newest = 0, '0-0'
        if redis.call('EXISTS', KEYS[2]) == 1 then
          local info = redis.call('XINFO', 'STREAM', KEYS[2])
          for i = 1, #info, 2 do
            if info[i] == 'entries-added' then added = info[i + 1] end
            if info[i] == 'last-generated-id' then newest = info[i + 1] end
          end
        end
        local time = redis.call('TIME')
        local kept = redis.call('HMGET', KEYS[1], 'beat', 'enqueued')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        return {now, added, newest, tonumber(kept[1] or '0'), tonumber(kept[2] or '0')}
        ",
    )
});
