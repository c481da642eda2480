//! The distributed system: an edge, workers, and failing servers for queue and store.

mod faults;
mod load;
mod loss;
mod network;
mod proxy;
mod start;
mod system;
mod workers;
