//! The queue of the edge over a Redis or Valkey stream, as a component that Spin composes with the edge.
