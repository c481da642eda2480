//! Scripts that the server runs atomically.

use std::sync::LazyLock;

use redis::Script;

/// Adds a message to stream `ARGV[2]` of all streams `KEYS`, unless `ARGV[1]` messages wait already; says whether it
/// did.
pub(super) static ENQUEUE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local waiting = 0
        for _, stream in ipairs(KEYS) do
          waiting = waiting + redis.call('XLEN', stream)
        end
        if waiting >= tonumber(ARGV[1]) then return 0 end
        redis.call('XADD', KEYS[tonumber(ARGV[2])], '*', ARGV[3], ARGV[4])
        return 1
        ",
    )
});

/// Acknowledges and deletes the entries `ARGV[2..]`. A transaction would do, but a server whose memory is full refuses to
/// queue commands, even those that make room.
pub(super) static ACKNOWLEDGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('XACK', KEYS[1], unpack(ARGV))
        return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
        ",
    )
});

/// Makes the entries `ARGV[4..]` consumer `ARGV[3]`'s, of those that are still consumer `ARGV[2]`'s, unless a key
/// `KEYS[2]` says that this one lives; answers with them.
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

/// Gives the entries `ARGV[4]`, `ARGV[6]` and so on to consumer `ARGV[3]`, of those that are still consumer `ARGV[2]`'s;
/// each with the count of deliveries that follows it.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local stream, group, from = KEYS[1], ARGV[1], ARGV[2]
        for i = 4, #ARGV, 2 do
          if #redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1, from) == 1 then
            redis.call('XCLAIM', stream, group, ARGV[3], 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
          end
        end
        return 0
        ",
    )
});

/// Deletes the consumers of `KEYS[1]` that have nothing pending and that no key says to live, its name being
/// `ARGV[2]` and the consumer's; answers with how many.
pub(super) static DELETE_IDLE_CONSUMERS: LazyLock<Script> = LazyLock::new(|| {
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

/// Counts what was ever added to the streams `KEYS[2..]`, and begins the next beat in the hash `KEYS[1]`, unless that
/// knows a lower one than `ARGV[1]`; see [`chargegate_storage::history::QueueObservation`].
pub(super) static OBSERVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local enqueued = 0
        for i = 2, #KEYS do
          if redis.call('EXISTS', KEYS[i]) == 1 then
            local info = redis.call('XINFO', 'STREAM', KEYS[i])
            for j = 1, #info, 2 do
              if info[j] == 'entries-added' then enqueued = enqueued + info[j + 1] end
            end
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

/// The server's time in milliseconds; for each of the streams `KEYS[2..]`, what was ever added and the newest id it
/// gave; and the beat that the hash `KEYS[1]` knows, with the count at that beat.
pub(super) static SNAPSHOT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local all = {}
        for i = 2, #KEYS do
          local stream, added, newest = KEYS[i], 0, '0-0'
          if redis.call('EXISTS', stream) == 1 then
            local info = redis.call('XINFO', 'STREAM', stream)
            for j = 1, #info, 2 do
              if info[j] == 'entries-added' then added = info[j + 1] end
              if info[j] == 'last-generated-id' then newest = info[j + 1] end
            end
          end
          all[i - 1] = {added, newest}
        end
        local time = redis.call('TIME')
        local kept = redis.call('HMGET', KEYS[1], 'beat', 'enqueued')
        return {time[1] * 1000 + math.floor(time[2] / 1000), all, tonumber(kept[1] or '0'), tonumber(kept[2] or '0')}
        ",
    )
});
