//! `spin:redis` on a real server: every `open` connects, nothing has a timeout, and arrays are flattened.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value};
use url::Url;
use wasmtime::component::{Accessor, HasSelf, Linker, Resource};

use super::SpinState;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "package test:redis; world host { import spin:redis/redis@3.0.0; }",
        path: "../wit/deps/spin-redis-3.0.0",
        imports: { default: async | trappable },
        with: { "spin:redis/redis.connection": super::RedisConnection },
    });
}

use bindings::spin::redis::redis as wit;
use wit::{Error, RedisParameter, RedisResult};

pub(super) fn add_to_linker(linker: &mut Linker<SpinState>) {
    wit::add_to_linker::<_, HasSelf<SpinState>>(linker, |state| state).unwrap();
}

#[expect(unreachable_pub, reason = "the bindings name it in what they export")]
pub struct RedisConnection(MultiplexedConnection);

impl wit::Host for SpinState {}

impl wit::HostConnection for SpinState {
    async fn drop(&mut self, connection: Resource<RedisConnection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

type HostResult<T> = wasmtime::Result<Result<T, Error>>;

impl<T: Send> wit::HostConnectionWithStore<T> for HasSelf<SpinState> {
    async fn open(accessor: &Accessor<T, Self>, address: String) -> HostResult<Resource<RedisConnection>> {
        let grants = accessor.with(|mut access| Arc::clone(&access.get().grants));
        if !grants.hosts.iter().any(|host| is_same_server(host, &address)) {
            return Ok(Err(Error::InvalidAddress));
        }
        let Ok(client) = Client::open(address) else { return Ok(Err(Error::InvalidAddress)) };
        let limits = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        match client.get_multiplexed_async_connection_with_config(&limits).await {
            Ok(connection) => {
                let connection = RedisConnection(connection);
                accessor.with(|mut access| Ok(Ok(access.get().table.push(connection)?)))
            }
            Err(error) => Ok(Err(Error::Other(error.to_string()))),
        }
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<RedisConnection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> HostResult<Vec<RedisResult>> {
        let mut connection =
            accessor.with(|mut access| access.get().table.get(&connection).map(|found| found.0.clone()))?;
        let mut command = redis::cmd(&command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let mut flat = Vec::new();
        match command.query_async(&mut connection).await {
            Ok(value) => {
                flatten(value, &mut flat);
                Ok(Ok(flat))
            }
            Err(error) => Ok(Err(Error::Other(error.to_string()))),
        }
    }

    async fn publish(
        _: &Accessor<T, Self>,
        _: Resource<RedisConnection>,
        _: String,
        _: Vec<u8>,
    ) -> HostResult<()> {
        unused()
    }

    async fn get(
        _: &Accessor<T, Self>,
        _: Resource<RedisConnection>,
        _: String,
    ) -> HostResult<Option<Vec<u8>>> {
        unused()
    }

    async fn set(
        _: &Accessor<T, Self>,
        _: Resource<RedisConnection>,
        _: String,
        _: Vec<u8>,
    ) -> HostResult<()> {
        unused()
    }

    async fn incr(_: &Accessor<T, Self>, _: Resource<RedisConnection>, _: String) -> HostResult<i64> {
        unused()
    }

    async fn del(_: &Accessor<T, Self>, _: Resource<RedisConnection>, _: Vec<String>) -> HostResult<u32> {
        unused()
    }

    async fn sadd(
        _: &Accessor<T, Self>,
        _: Resource<RedisConnection>,
        _: String,
        _: Vec<String>,
    ) -> HostResult<u32> {
        unused()
    }

    async fn smembers(
        _: &Accessor<T, Self>,
        _: Resource<RedisConnection>,
        _: String,
    ) -> HostResult<Vec<String>> {
        unused()
    }

    async fn srem(
        _: &Accessor<T, Self>,
        _: Resource<RedisConnection>,
        _: String,
        _: Vec<String>,
    ) -> HostResult<u32> {
        unused()
    }
}

fn unused<T>() -> HostResult<T> {
    Err(wasmtime::Error::msg("the queue does not use this command"))
}

fn flatten(value: Value, flat: &mut Vec<RedisResult>) {
    match value {
        Value::Nil => flat.push(RedisResult::Nil),
        Value::Int(number) => flat.push(RedisResult::Int64(number)),
        Value::BulkString(bytes) => flat.push(RedisResult::Binary(bytes)),
        Value::SimpleString(text) => flat.push(RedisResult::Status(text)),
        Value::Okay => flat.push(RedisResult::Status("OK".into())),
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, flat)),
        other => panic!("RESP2 has no {other:?}"),
    }
}

/// Returns whether scheme, host and port of an address are those that the manifest allows.
fn is_same_server(allowed: &str, address: &str) -> bool {
    let server = |text: &str| {
        let url = Url::parse(text).ok()?;
        Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port()))
    };
    server(allowed).is_some_and(|allowed| server(address) == Some(allowed))
}
