//! The product as a system: an edge, workers, and a queue and a store on servers of their own that fail.

mod faults;
mod load;
mod loss;
mod network;
mod proxy;
mod start;
mod system;
mod workers;
